package daemon_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
)

// renewable is a bench whose blueprint is replaced by another digest.
func renewable(t *testing.T) (b *bench, renew func()) {
	books := &changing{}
	b = setup(t, func(c *daemon.Config) { books.shelf = c.Blueprints.(shelf); c.Blueprints = books }).run()
	return b, func() { books.version.Add(1) }
}

// renewed waits until the pool builders has only members of its digest. It gives how few were ready and how many there were.
func (b *bench) renewed(target int) (least, most int) {
	b.t.Helper()
	least = target
	waitUntil(b.t, "all are of the new digest", func() bool {
		live, err := b.db.Live(b.t.Context())
		p, perr := b.engine.Pools.One(b.t.Context(), ann, "builders")
		if err != nil || perr != nil {
			b.t.Fatal(err, perr)
		}
		warm := 0
		for _, env := range live {
			if env.State == fleet.Warm {
				warm++
			}
		}
		least, most = min(least, warm), max(most, len(live))
		return p.Stale == 0 && p.Warm == target && len(live) == target
	})
	return least, most
}

func (b *bench) poolCheck() service.Check {
	b.t.Helper()
	checks := b.engine.CheckNow(b.t.Context())
	i := slices.IndexFunc(checks, func(c service.Check) bool { return c.Name == "pools" })
	if i < 0 {
		b.t.Fatal("pools are not checked")
	}
	return checks[i]
}

// TestPoolThatMayNotShrinkRollsOver: by default there is room for one more.
func TestPoolThatMayNotShrinkRollsOver(t *testing.T) {
	b, renew := renewable(t)
	b.pool("builders", 2, func(p *fleet.Pool) { p.Min = 2 })
	b.untilWarm(2)
	renew()
	if least, most := b.renewed(2); least < 2 || most > 3 {
		t.Errorf("%d were ready and %d there while it was rolled over, want 2 and 3", least, most)
	}
}

// TestNeverMoreThanTheMaximum: a surge goes no further.
func TestNeverMoreThanTheMaximum(t *testing.T) {
	b, renew := renewable(t)
	b.pool("builders", 2, func(p *fleet.Pool) { p.Max, p.Surge = 2, 1 })
	b.untilWarm(2)
	renew()
	if _, most := b.renewed(2); most != 2 {
		t.Errorf("there were %d while it was rolled over, the maximum is 2", most)
	}
}

// TestStuckPoolIsTold: a pool of before, with bounds that are refused now, works until its blueprint changes; that it
// is not rolled over is told, and what to do is right.
func TestStuckPoolIsTold(t *testing.T) {
	b, renew := renewable(t)
	p := fleet.Pool{Name: "builders", Blueprint: "build", Target: 2, Min: 2, Max: 2, Surge: 1}
	if _, err := b.db.SetPool(t.Context(), p, fleet.Event{At: b.engine.Now(), Kind: "pool.set", Pool: "builders"}); err != nil {
		t.Fatal(err)
	}
	b.untilWarm(2)
	if got, err := b.engine.Pools.One(t.Context(), ann, "builders"); err != nil || got.Stuck != "" || b.poolCheck().Status != service.OK {
		t.Fatalf("before anything has changed: %+v, %v, %+v", got, err, b.poolCheck())
	}
	renew()
	const reason = "its minimum of 2 lets no old member go first, and its maximum of 2 no new one be made beside them"
	const hint = "give it a maximum above 2, or a minimum below 2; set it with bothy pool set builders"
	got, err := b.engine.Pools.One(t.Context(), ann, "builders")
	if err != nil || got.Stale != 2 || got.Stuck != reason || got.StuckHint != hint {
		t.Errorf("it shows %+v (%v), want it stuck", got, err)
	}
	all, err := b.engine.Pools.All(t.Context(), ann)
	if err != nil || len(all) != 1 || all[0].Stuck != reason {
		t.Errorf("they show %+v (%v), want it stuck", all, err)
	}
	if c := b.poolCheck(); c.Status != service.Warning || c.Message != "pool builders cannot replace its old members: "+reason || c.Hint != hint {
		t.Errorf("the doctor finds %+v", c)
	}
	// Changed without its bounds, it is told the same; with a maximum it goes on.
	_, err = b.engine.Pools.Set(t.Context(), platform, p)
	wantCode(t, err, fleet.CodeInvalid)
	if !strings.Contains(err.Error(), "could never be rolled over") {
		t.Errorf("refused with %v", err)
	}
	p.Max = 3
	if _, err := b.engine.Pools.Set(t.Context(), platform, p); err != nil {
		t.Fatal(err)
	}
	b.renewed(2)
	if c := b.poolCheck(); c.Status != service.OK {
		t.Errorf("at the end the doctor finds %+v", c)
	}
}

// TestPoolOnADrainedHostIsTold: with nowhere else to go its members stay, and that is told.
func TestPoolOnADrainedHostIsTold(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	b.untilWarm(1)
	if _, err := b.engine.Hosts.Drain(t.Context(), platform, "local", true); err != nil {
		t.Fatal(err)
	}
	p, err := b.engine.Pools.One(t.Context(), ann, "builders")
	if err != nil || !strings.Contains(p.Stuck, "no host has room") || !strings.HasPrefix(p.StuckHint, "make room on a host") {
		t.Errorf("it shows %+v (%v), want it stuck", p, err)
	}
	if _, err := b.engine.Hosts.Drain(t.Context(), platform, "local", false); err != nil {
		t.Fatal(err)
	}
	if p, err := b.engine.Pools.One(t.Context(), ann, "builders"); err != nil || p.Stuck != "" {
		t.Errorf("in use again it shows %+v (%v)", p, err)
	}
}
