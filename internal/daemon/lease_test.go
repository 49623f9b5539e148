package daemon_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// limit sets a quota of ann's team.
func (b *bench) limit(l fleet.Limits) {
	b.t.Helper()
	scope := fleet.Scope{Kind: fleet.ScopeTeam, Tenant: ann.Tenant, Name: ann.Team}
	if _, err := b.engine.Quotas.Set(b.t.Context(), platform, fleet.Quota{Scope: scope, Limits: l}); err != nil {
		b.t.Fatal(err)
	}
}

// TestExtendHoldsMore: what is extended is held of the budget too, and all of it is given back at the end.
func TestExtendHoldsMore(t *testing.T) {
	b := setup(t, patient).run()
	b.limit(fleet.Limits{MicrosPerDay: new(int64(7_200_000))}) // two hours
	env := b.untilState(b.acquire().ID, fleet.Leased)
	longer, err := b.engine.Extend(t.Context(), ann, env.ID, 30*time.Minute)
	if err != nil || longer.HeldMicros != 5_400_000 || longer.HeldFor != 90*time.Minute {
		t.Fatalf("held %d for %s (%v), want the price of 90 minutes", longer.HeldMicros, longer.HeldFor, err)
	}
	_, err = b.engine.Extend(t.Context(), ann, env.ID, 30*time.Minute+time.Second)
	wantCode(t, err, fleet.CodeQuota)
	if !strings.Contains(err.Error(), "allowed 7.20") {
		t.Errorf("the refusal says %q, want what is allowed", err)
	}
	if _, err := b.engine.Extend(t.Context(), ann, env.ID, 30*time.Minute); err != nil {
		t.Errorf("the last half hour of the budget: %v", err)
	}
	b.limit(fleet.Limits{MaxTTL: new(2 * time.Hour)})
	_, err = b.engine.Extend(t.Context(), ann, env.ID, time.Second)
	wantCode(t, err, fleet.CodePolicy)
	b.oracles()
	b.release(env.ID)
	b.oracles()
}

// TestExtensionsShareABudget: at any number of extensions at once, no more is held than there is.
func TestExtensionsShareABudget(t *testing.T) {
	b := setup(t, patient).run()
	first := b.untilState(b.acquire().ID, fleet.Leased)
	second := b.untilState(b.acquire().ID, fleet.Leased)
	b.limit(fleet.Limits{MicrosPerDay: new(int64(2*3_600_000 + 10*60_000))}) // ten minutes more
	var granted, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			id := []string{first.ID, second.ID}[i%2]
			_, err := b.engine.Extend(context.WithoutCancel(t.Context()), ann, id, time.Minute)
			switch fleet.CodeOf(err) {
			case "":
				granted.Add(1)
			case fleet.CodeQuota:
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if granted.Load() != 10 || refused.Load() != 30 {
		t.Errorf("%d extensions were granted and %d refused, want 10 and 30", granted.Load(), refused.Load())
	}
	b.oracles()
}

// TestExtendMakesAWarningTrueAgain: who was warned and extends is warned again when it is due.
func TestExtendMakesAWarningTrueAgain(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.pass(55 * time.Minute)
	b.until(env.ID, "warned", func(e fleet.Environment) bool { return e.Lease.Warned })
	longer, err := b.engine.Extend(t.Context(), ann, env.ID, time.Hour)
	if err != nil || longer.Lease.Warned {
		t.Fatalf("after the extension it counts as warned (%v)", err)
	}
	b.pass(55 * time.Minute)
	b.until(env.ID, "warned again", func(e fleet.Environment) bool { return e.Lease.Warned })
}

// TestTenantsApartInLeases (promise 13): another tenant's environment is not there.
func TestTenantsApartInLeases(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	_, err := b.engine.Release(t.Context(), stranger, env.ID)
	wantCode(t, err, fleet.CodeNotFound)
	_, err = b.engine.Extend(t.Context(), stranger, env.ID, time.Minute)
	wantCode(t, err, fleet.CodeNotFound)
	if got := b.get(env.ID); got.Revision != env.Revision {
		t.Error("a stranger changed it")
	}
}
