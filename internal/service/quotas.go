package service

import (
	"context"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/quota"
)

// QuotasConfig is what Quotas needs.
type QuotasConfig struct {
	Base
	Blueprints Blueprints
	// Weights returns all teams of the organisation's file; nil or none if any name is valid.
	Weights func() []fleet.Weight
}

// Quotas are the use cases of limits.
type Quotas struct{ cfg QuotasConfig }

// NewQuotas makes it.
func NewQuotas(c QuotasConfig) *Quotas { return &Quotas{cfg: c} }

// List returns every scope with limits, and its usage: members get those of their tenant, the platform role gets all.
func (qs *Quotas) List(ctx context.Context, who fleet.Identity) ([]fleet.ScopeUsage, error) {
	set, err := qs.cfg.Store.Quotas(ctx, who.Sees())
	if err != nil {
		return nil, err
	}
	scopes := make([]fleet.Scope, len(set))
	for i, q := range set {
		scopes[i] = q.Scope
	}
	return qs.cfg.Store.UsageOf(ctx, scopes, qs.cfg.Clock.Now())
}

// Get returns the limits and the usage of a scope, also of one without limits.
//
// Errors: invalid (not a scope), not_found (another tenant's).
func (qs *Quotas) Get(ctx context.Context, who fleet.Identity, scope fleet.Scope) (fleet.ScopeUsage, error) {
	if err := checkScope(scope); err != nil {
		return fleet.ScopeUsage{}, err
	}
	if tenant := who.Sees(); tenant != "" && scope.Tenant != tenant {
		return fleet.ScopeUsage{}, fleet.Errorf(fleet.CodeNotFound, "there is no tenant %q", scope.Tenant).WithHint("yours is %s", tenant)
	}
	return qs.usageOf(ctx, scope)
}

// Set sets the limits of a scope; limits without a limit remove them. A limit may be below the usage: that
// deletes nothing, and admits nothing new.
//
// Errors: invalid (not a scope, or wrong limits), not_found (no such
// tenant, team, blueprint or size).
func (qs *Quotas) Set(ctx context.Context, who fleet.Identity, q fleet.Quota) (fleet.ScopeUsage, error) {
	if err := checkScope(q.Scope); err != nil {
		return fleet.ScopeUsage{}, err
	}
	if err := quota.Validate(q.Limits); err != nil {
		return fleet.ScopeUsage{}, err
	}
	if err := qs.checkNames(ctx, q); err != nil {
		return fleet.ScopeUsage{}, err
	}
	q.UpdatedAt, q.UpdatedBy = qs.cfg.Clock.Now(), who.User
	ev := fleet.Event{At: q.UpdatedAt, Tenant: q.Scope.Tenant, Actor: who.User, Kind: "quota.set"}
	switch q.Scope.Kind {
	case fleet.ScopeTeam:
		ev.Team = q.Scope.Name
	case fleet.ScopeUser:
		ev.User = q.Scope.Name
	}
	err := qs.cfg.Store.SetQuota(ctx, q, func(was fleet.Limits) fleet.Event {
		ev.Message = who.User + " set the limits of " + q.Scope.String() + ": " + quota.Changes(was, q.Limits)
		return ev
	})
	if err != nil {
		return fleet.ScopeUsage{}, err
	}
	return qs.usageOf(ctx, q.Scope)
}

func (qs *Quotas) usageOf(ctx context.Context, scope fleet.Scope) (fleet.ScopeUsage, error) {
	all, err := qs.cfg.Store.UsageOf(ctx, []fleet.Scope{scope}, qs.cfg.Clock.Now())
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

// badName refuses names that make the text of a scope ambiguous.
func badName(name string) bool {
	return name == "" || len(name) > 200 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r == '/' || r == 0x7f })
}
