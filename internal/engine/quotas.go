package engine

import (
	"context"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/quota"
)

// Quotas gives every scope that has limits, with what it uses: the tenant's own to members, all to the platform team.
func (e *Engine) Quotas(ctx context.Context, who fleet.Identity) ([]fleet.ScopeUsage, error) {
	set, err := e.store.Quotas(ctx, who.Sees())
	if err != nil {
		return nil, err
	}
	scopes := make([]fleet.Scope, len(set))
	for i, q := range set {
		scopes[i] = q.Scope
	}
	return e.store.UsageOf(ctx, scopes, e.Now())
}

// Quota gives the limits and the usage of one scope, also of one without limits.
//
// Errors: invalid (it is not a scope), not_found (another tenant's).
func (e *Engine) Quota(ctx context.Context, who fleet.Identity, scope fleet.Scope) (fleet.ScopeUsage, error) {
	if err := checkScope(scope); err != nil {
		return fleet.ScopeUsage{}, err
	}
	if tenant := who.Sees(); tenant != "" && scope.Tenant != tenant {
		return fleet.ScopeUsage{}, fleet.Errorf(fleet.CodeNotFound, "there is no tenant %q", scope.Tenant).WithHint("yours is %s", tenant)
	}
	return e.usageOf(ctx, scope)
}

// SetQuota sets the limits of a scope; limits that do not limit remove them. A limit below what is used is
// kept: nothing is taken away for it, and nothing new is admitted.
//
// Errors: invalid (it is not a scope, or the limits are wrong), not_found (no such
// tenant, team, blueprint or size).
func (e *Engine) SetQuota(ctx context.Context, who fleet.Identity, q fleet.Quota) (fleet.ScopeUsage, error) {
	if err := checkScope(q.Scope); err != nil {
		return fleet.ScopeUsage{}, err
	}
	if err := quota.Validate(q.Limits); err != nil {
		return fleet.ScopeUsage{}, err
	}
	if err := e.checkNames(ctx, q); err != nil {
		return fleet.ScopeUsage{}, err
	}
	q.UpdatedAt, q.UpdatedBy = e.Now(), who.User
	ev := fleet.Event{At: q.UpdatedAt, Tenant: q.Scope.Tenant, Actor: who.User, Kind: "quota.set"}
	switch q.Scope.Kind {
	case fleet.ScopeTeam:
		ev.Team = q.Scope.Name
	case fleet.ScopeUser:
		ev.User = q.Scope.Name
	}
	err := e.store.SetQuota(ctx, q, func(was fleet.Limits) fleet.Event {
		ev.Message = who.User + " set the limits of " + q.Scope.String() + ": " + quota.Changes(was, q.Limits)
		return ev
	})
	if err != nil {
		return fleet.ScopeUsage{}, err
	}
	return e.usageOf(ctx, q.Scope)
}

func (e *Engine) usageOf(ctx context.Context, scope fleet.Scope) (fleet.ScopeUsage, error) {
	all, err := e.store.UsageOf(ctx, []fleet.Scope{scope}, e.Now())
	if err != nil {
		return fleet.ScopeUsage{}, err
	}
	return all[0], nil
}

func checkScope(s fleet.Scope) error {
	named := s.Kind == fleet.ScopeTeam || s.Kind == fleet.ScopeUser
	if !named && s.Kind != fleet.ScopeTenant || badName(s.Tenant) || named && badName(s.Name) || !named && s.Name != "" {
		return fleet.Errorf(fleet.CodeInvalid, "%q is not a tenant, a team or a user", s.String()).
			WithHint("give TENANT, TENANT/team/NAME or TENANT/user/NAME")
	}
	return nil
}

// badName refuses what cannot be told apart when a scope is written down.
func badName(name string) bool {
	return name == "" || len(name) > 200 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f })
}
