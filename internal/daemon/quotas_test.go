package daemon_test

import (
	"errors"
	"testing"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
)

// TestQuotaOfWhatIsThere: limits that name what does not exist are refused with what there is.
func TestQuotaOfWhatIsThere(t *testing.T) {
	var teams []fleet.Weight
	b := setup(t, func(c *daemon.Config) { c.Weights = func() []fleet.Weight { return teams } })
	set := func(scope fleet.Scope, l fleet.Limits) error {
		_, err := b.engine.Quotas.Set(t.Context(), platform, fleet.Quota{Scope: scope, Limits: l})
		return err
	}
	tenant := func(name string) fleet.Scope { return fleet.Scope{Kind: fleet.ScopeTenant, Tenant: name} }
	team := func(tenant, name string) fleet.Scope {
		return fleet.Scope{Kind: fleet.ScopeTeam, Tenant: tenant, Name: name}
	}
	some := fleet.Limits{Environments: ptr(int64(3))}
	// Where nobody keeps a file, any name may come.
	if err := set(team("gone", "web"), some); err != nil {
		t.Fatal(err)
	}
	teams = []fleet.Weight{{Tenant: "acme", Team: "core", Weight: 1}, {Tenant: "acme", Team: "web", Weight: 2}, {Tenant: "beta", Team: "ops", Weight: 1}}
	for name, c := range map[string]struct {
		scope          fleet.Scope
		limits         fleet.Limits
		sentence, hint string
	}{
		"tenant":             {tenant("acne"), some, `there is no tenant "acne" in the organisation's file`, "there are: acme, beta"},
		"tenant of a user":   {fleet.Scope{Kind: fleet.ScopeUser, Tenant: "acne", Name: "ada"}, some, `there is no tenant "acne" in the organisation's file`, "there are: acme, beta"},
		"team":               {team("acme", "ops"), some, `tenant acme has no team "ops" in the organisation's file`, "its teams: core, web"},
		"blueprint":          {tenant("acme"), fleet.Limits{Blueprints: []string{"build", "nosuch"}}, `there is no blueprint "nosuch"`, "there are: build; see: bothy blueprint ls"},
		"size":               {tenant("acme"), fleet.Limits{Sizes: []string{"huge"}}, `no blueprint has a size "huge"`, "there are: small; see: bothy blueprint ls"},
		"blueprint as size":  {tenant("acme"), fleet.Limits{Sizes: []string{"build"}}, `no blueprint has a size "build"`, "there are: small; see: bothy blueprint ls"},
		"of a team that was": {team("gone", "web"), fleet.Limits{Blueprints: []string{"nosuch"}}, `there is no blueprint "nosuch"`, "there are: build; see: bothy blueprint ls"},
	} {
		err := set(c.scope, c.limits)
		if refused, ok := errors.AsType[*fleet.Error](err); !ok || refused.Code != fleet.CodeNotFound || refused.Sentence != c.sentence || refused.Hint != c.hint {
			t.Errorf("%s: %v (%#v), want %s (%s)", name, err, refused, c.sentence, c.hint)
		}
	}
	for name, scope := range map[string]fleet.Scope{
		"a tenant": tenant("beta"), "a team": team("acme", "web"), "a user who may be new": {Kind: fleet.ScopeUser, Tenant: "acme", Name: "zoe"},
		"what was set before": team("gone", "web"),
	} {
		if err := set(scope, fleet.Limits{Blueprints: []string{"build"}, Sizes: []string{"small"}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := set(scope, fleet.Limits{}); err != nil {
			t.Errorf("%s, taken away: %v", name, err)
		}
	}
}

// TestQuotaKeepsWhatIsGone: another limit can be changed though a blueprint that is listed is no longer on offer.
func TestQuotaKeepsWhatIsGone(t *testing.T) {
	b := setup(t)
	q := fleet.Quota{Scope: fleet.Scope{Kind: fleet.ScopeTenant, Tenant: "acme"}, Limits: fleet.Limits{Blueprints: []string{"old"}, Sizes: []string{"tiny"}}}
	if err := b.db.SetQuota(t.Context(), q, func(fleet.Limits) fleet.Event { return fleet.Event{Kind: "quota.set"} }); err != nil {
		t.Fatal(err)
	}
	q.Limits.Environments = ptr(int64(1))
	if _, err := b.engine.Quotas.Set(t.Context(), platform, q); err != nil {
		t.Errorf("beside what is gone: %v", err)
	}
	q.Limits.Blueprints = []string{"old", "older"}
	_, err := b.engine.Quotas.Set(t.Context(), platform, q)
	wantCode(t, err, fleet.CodeNotFound)
}
