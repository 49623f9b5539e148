package service

import (
	"context"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
)

// checkNames refuses limits with names that do not exist: a typo would lock users out, or limit nobody. Names that are set
// may stay even if they no longer exist, and can always be removed. Any user is valid: users may be new.
func (qs *Quotas) checkNames(ctx context.Context, q fleet.Quota) error {
	var was fleet.Quota
	set, err := qs.cfg.Store.Quotas(ctx, q.Scope.Tenant)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(set, func(s fleet.Quota) bool { return s.Scope == q.Scope })
	if i >= 0 {
		was = set[i]
	} else if err := qs.checkGroup(q.Scope); err != nil {
		return err
	}
	var blueprints, sizes []string
	for _, bp := range qs.cfg.Blueprints.List() {
		blueprints = append(blueprints, bp.Ref.Name)
		for _, size := range bp.Sizes {
			sizes = append(sizes, size.Name)
		}
	}
	if name, there := unknown(q.Limits.Blueprints, was.Limits.Blueprints, blueprints); name != "" {
		return fleet.Errorf(fleet.CodeNotFound, "there is no blueprint %q", name).WithHint("there are: %s; see: bothy blueprint ls", there)
	}
	if name, there := unknown(q.Limits.Sizes, was.Limits.Sizes, sizes); name != "" {
		return fleet.Errorf(fleet.CodeNotFound, "no blueprint has a size %q", name).WithHint("there are: %s; see: bothy blueprint ls", there)
	}
	return nil
}

// unknown returns the first name that neither was set before nor exists, and a list of those that exist.
func unknown(names, before, exist []string) (name, there string) {
	slices.Sort(exist)
	exist = slices.Compact(exist)
	for _, n := range names {
		if !slices.Contains(before, n) && !slices.Contains(exist, n) {
			return n, strings.Join(exist, ", ")
		}
	}
	return "", ""
}

// checkGroup checks tenant and team of a scope against the organisation's file. Without one, every name is valid.
func (qs *Quotas) checkGroup(scope fleet.Scope) error {
	if qs.cfg.Weights == nil {
		return nil
	}
	var tenants, teams []string
	for _, team := range qs.cfg.Weights() {
		tenants = append(tenants, team.Tenant)
		if team.Tenant == scope.Tenant {
			teams = append(teams, team.Team)
		}
	}
	if len(tenants) == 0 {
		return nil
	}
	if name, there := unknown([]string{scope.Tenant}, nil, tenants); name != "" {
		return fleet.Errorf(fleet.CodeNotFound, "there is no tenant %q in the organisation's file", name).WithHint("there are: %s", there)
	}
	if scope.Kind != fleet.ScopeTeam {
		return nil
	}
	if name, there := unknown([]string{scope.Name}, nil, teams); name != "" {
		return fleet.Errorf(fleet.CodeNotFound, "tenant %s has no team %q in the organisation's file", scope.Tenant, name).
			WithHint("its teams: %s", there)
	}
	return nil
}
