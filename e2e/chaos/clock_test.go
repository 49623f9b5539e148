package chaos_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
)

// TestClockJumps: the machine's clock jumps by a day, forward and back, under a running daemon. No lease gets
// longer or shorter by it.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for _, off := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			t.Parallel()
			h := mustHouse(t, setup{daemons: 1})
			s := &script{h: h}
			hour, brief := int64(3600), int64(3)
			if err := s.lease(t.Context(), "stays", wire.CreateRequest{TTLSeconds: &hour, NoPool: true}); err != nil {
				t.Fatal(err)
			}
			before, err := h.store.Get(t.Context(), s.orders[0].id)
			if err != nil {
				t.Fatal(err)
			}
			if err := h.daemons[0].setClock(off); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			if err := s.lease(t.Context(), "ends", wire.CreateRequest{TTLSeconds: &brief, NoPool: true}); err != nil {
				t.Fatal(err)
			}
			if err := s.untilStates(t.Context(), "ends", fleet.Destroyed); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took < 3*time.Second || took > 3*time.Second+time.Minute {
				t.Errorf("a lease of 3 s lasted %s", took)
			}
			after, err := h.store.Get(t.Context(), before.ID)
			if err != nil {
				t.Fatal(err)
			}
			if after.State != fleet.Leased || !after.Lease.End.Equal(before.Lease.End) {
				t.Errorf("a lease of an hour was %s until %s, and is %s until %s", before.State, before.Lease.End, after.State, after.Lease.End)
			}
			h.wantHistories(t)
		})
	}
}

// TestClockJumpWhileDown: the daemon comes back to a clock that is a day ahead. Within one start of the machine it knows better.
// After another start it cannot, all leases are overdue, and the brake stops at a quarter of them.
func TestClockJumpWhileDown(t *testing.T) {
	t.Parallel()
	h := mustHouse(t, setup{daemons: 1})
	s := &script{h: h}
	const fleetSize, quarter = 24, 6
	hour := int64(3600)
	for n := range fleetSize {
		if err := s.ask(t.Context(), fmt.Sprintf("e%d", n), wire.CreateRequest{TTLSeconds: &hour, NoPool: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range s.orders {
		if err := s.untilStates(t.Context(), o.req.Name, fleet.Leased); err != nil {
			t.Fatal(err)
		}
	}
	d := h.daemons[0]
	if err := d.setClock(24 * time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := d.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := h.laterPlan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if live, err := h.live(t.Context()); err != nil || len(live) != fleetSize {
		t.Fatalf("%d of %d are left by a clock that is ahead (%v)", len(live), fleetSize, err)
	}
	err := d.killThen(func() error {
		return h.store.SetSetting(t.Context(), "plan.clock", fmt.Sprintf(`{"at":%q,"boot":"another"}`, time.Now().UTC().Format(time.RFC3339Nano)))
	})
	if err != nil {
		t.Fatal(err)
	}
	left := 0
	err = until(t.Context(), "the brake has let a quarter go", func() (bool, string, error) {
		live, err := h.live(t.Context())
		left = len(live)
		return err == nil && left <= fleetSize-quarter, describe(live), err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Without the brake, the plans until a later one is noted would let more go.
	if err := h.laterPlan(t.Context()); err != nil {
		t.Fatal(err)
	}
	live, err := h.live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(live) != fleetSize-quarter {
		t.Errorf("%d of %d are left, the brake was to stop at %d", len(live), fleetSize, fleetSize-quarter)
	}
	for _, env := range live {
		if env.State != fleet.Leased {
			t.Errorf("%s is %s behind the brake", env.Name, env.State)
		}
	}
	h.wantHistories(t)
}

// laterPlan waits until a plan is noted that was made after this call.
func (h *house) laterPlan(ctx context.Context) error {
	noted, err := h.store.Setting(ctx, "plan.last")
	if err != nil {
		return err
	}
	return until(ctx, "a later plan is noted", func() (bool, string, error) {
		later, err := h.store.Setting(ctx, "plan.last")
		return err == nil && later > noted, later, err
	})
}
