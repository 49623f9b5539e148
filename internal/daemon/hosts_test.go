package daemon_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// unswept is for two daemons on one provider: the sweep of one takes a network for nobody's that the other has just reserved.
func unswept(c *daemon.Config) { c.SweepEvery = time.Hour }

// TestHostIsServedByOneDaemon: a second daemon stands by, and takes the host over with its work when the
// first one's time is over; the first cannot write any more.
func TestHostIsServedByOneDaemon(t *testing.T) {
	b := setup(t, unswept).run()
	hang := b.inject(fake.Hang(fake.OpCreate, fake.Half))
	env := b.acquire()
	b.reached(hang)

	first, stopFirst := b.engine, b.stop
	// For the second one time goes on; the first sleeps, for longer than it may, and does not know.
	var asleep atomic.Int64
	b.engine = b.newEngine("daemon-2.a", func(c *daemon.Config) {
		c.Clock = func() time.Time { return b.clock.Now().Add(time.Duration(asleep.Load())) }
		c.WorkLease = 4 * time.Second
	}, unswept)
	b.run()
	holder := func() fleet.Host {
		t.Helper()
		all, err := first.Hosts.List(t.Context(), platform)
		if err != nil || len(all) != 1 {
			t.Fatalf("hosts: %v, %v", all, err)
		}
		return all[0].Host
	}
	if got := holder(); got.Worker != "daemon-1.a" {
		t.Errorf("the host is served by %q while its daemon works", got.Worker)
	}
	before := holder().Generation
	asleep.Store(int64(5 * time.Minute))
	b.untilState(env.ID, fleet.Leased)
	after := holder()
	if after.Worker == "" || after.Generation <= before {
		t.Errorf("after the takeover: worker %q, generation %d, was %d", after.Worker, after.Generation, before)
	}
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	stopFirst()
	got, err := b.db.Get(t.Context(), env.ID)
	if err != nil || got.State != fleet.Leased {
		t.Errorf("it is %s, %v: the daemon that woke up wrote", got.State, err)
	}
	if breaches := b.world.Breaches(); len(breaches) > 0 {
		t.Error(breaches)
	}
}

// TestALaterProcessOfTheSameDaemonTakesOverAtOnce: after a crash nobody waits for the old hold to end.
func TestALaterProcessOfTheSameDaemonTakesOverAtOnce(t *testing.T) {
	b := setup(t)
	now := b.clock.Now()
	if err := b.db.DeclareHost(t.Context(), fleet.Host{Name: "local", SeenAt: now}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.db.HoldHosts(t.Context(), store.Hold{Worker: "daemon-1.crashed", Names: []string{"local"}}, now, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	b.run()
	b.untilState(b.acquire().ID, fleet.Leased)
}

// TestDrainedHost gets nothing new and keeps what it has; what waits says why.
func TestDrainedHost(t *testing.T) {
	b := setup(t).run()
	kept := b.untilState(b.acquire().ID, fleet.Leased)
	_, err := b.engine.Hosts.Drain(t.Context(), platform, "nosuch", true)
	wantCode(t, err, fleet.CodeNotFound)
	got, err := b.engine.Hosts.Drain(t.Context(), platform, "local", true)
	if err != nil || !got.Drained || got.Used.Environments != 1 {
		t.Fatalf("drained: %+v, %v", got, err)
	}
	waiting := b.acquire()
	waiting = b.until(waiting.ID, "told why it waits", func(e fleet.Environment) bool { return e.State == fleet.Pending && e.Reason != "" })
	if e, err := b.db.Get(t.Context(), kept.ID); err != nil || e.State != fleet.Leased {
		t.Errorf("what stood there is %s, %v", e.State, err)
	}
	if _, err := b.engine.Hosts.Drain(t.Context(), platform, "local", false); err != nil {
		t.Fatal(err)
	}
	b.untilState(waiting.ID, fleet.Leased)
}

// TestTwoHosts: environments are spread by free capacity, and a host that is full gets no more.
func TestTwoHosts(t *testing.T) {
	b := setup(t, func(c *daemon.Config) {
		second := c.Hosts[0]
		c.Hosts[0].Name, second.Name = "a", "b"
		c.Hosts[0].Capacity = provisioner.Capacity{Environments: 2}
		second.Capacity = provisioner.Capacity{Environments: 1}
		c.Hosts = append(c.Hosts, second)
	}).run()
	var on []string
	for range 3 {
		on = append(on, b.untilState(b.acquire().ID, fleet.Leased).Host)
	}
	slices.Sort(on)
	if !slices.Equal(on, []string{"a", "a", "b"}) {
		t.Errorf("placed on %v", on)
	}
	full := b.acquire()
	b.until(full.ID, "waiting for room", func(e fleet.Environment) bool { return e.State == fleet.Pending && e.Queue.Rank == 1 })
}

// TestLostHostIsReported: what stood on a host that nobody serves any more is named, not dropped.
func TestLostHostIsReported(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.stop()
	b.clock.advance(2 * fleet.LostAfter)
	all, err := b.engine.Hosts.List(context.Background(), platform)
	if err != nil || len(all) != 1 || !all[0].Lost || !slices.Equal(all[0].Environments, []string{env.Name}) {
		t.Errorf("hosts: %+v, %v; want it lost, with %s named", all, err, env.Name)
	}
}
