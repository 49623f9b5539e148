package daemon_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// frozen is a leader that will never renew its lead.
const frozen = "daemon-0.frozen"

// frozenLeader makes another daemon the leader, for ten seconds by the clock, that does nothing.
func (b *bench) frozenLeader() {
	b.t.Helper()
	waitUntil(b.t, "this daemon leads", b.engine.Leads)
	for _, resign := range []string{"daemon-1.a", frozen} {
		if err := b.db.Resign(b.t.Context(), resign); err != nil {
			b.t.Fatal(err)
		}
		l, _, err := b.db.Lead(b.t.Context(), store.Bid{Worker: frozen, For: 10 * time.Second}, b.clock.Now())
		if err != nil {
			b.t.Fatal(err)
		}
		if l.Worker == frozen {
			break
		}
	}
	waitUntil(b.t, "this daemon knows that another leads", func() bool {
		b.engine.LookForLead()
		return !b.engine.Leads()
	})
}

// TestPromiseEveryDutyPassesToTheNextLeader: what one daemon does for all is left undone by a leader that is frozen, and is done by the next.
func TestPromiseEveryDutyPassesToTheNextLeader(t *testing.T) {
	t.Parallel()
	short, wait := 9*time.Second, 5*time.Second
	var fromFile atomic.Bool
	for name, duty := range map[string]struct {
		change []func(*daemon.Config)
		// before is done while this daemon leads, due makes the duty due while nobody sees to it; done says that it was done.
		before, due func(b *bench)
		done        func(b *bench) bool
	}{
		"a lease ends": {
			before: func(b *bench) {
				b.untilState(b.acquire(func(r *service.Request) { r.Name, r.TTL = "mine", &short }).ID, fleet.Leased)
			},
			due:  func(*bench) {},
			done: func(b *bench) bool { return b.recorded("lease.expired") == 1 },
		},
		"a holder is warned": {
			before: func(b *bench) {
				ttl := 20 * time.Second // 11 s pass
				b.untilState(b.acquire(func(r *service.Request) { r.Name, r.TTL = "mine", &ttl }).ID, fleet.Leased)
			},
			due:  func(b *bench) { b.clock.advance(8 * time.Second) },
			done: func(b *bench) bool { return b.recorded("lease.low") == 1 },
		},
		"a request is begun": {
			due:  func(b *bench) { b.acquire(func(r *service.Request) { r.Name = "mine" }) },
			done: func(b *bench) bool { return b.recorded("environment.ready") == 1 },
		},
		"a place in the queue is told": {
			before: func(b *bench) { b.drain() },
			due:    func(b *bench) { b.acquire() },
			done:   func(b *bench) bool { return b.recorded("environment.waiting") == 1 },
		},
		"a request that waited long enough is refused": {
			before: func(b *bench) { b.drain() },
			due:    func(b *bench) { b.acquire(func(r *service.Request) { r.QueueTimeout = &wait }) },
			done:   func(b *bench) bool { return b.recorded("environment.refused") == 1 },
		},
		"a pool is filled": {
			due:  func(b *bench) { b.pool("builders", 2) },
			done: func(b *bench) bool { return len(b.warm()) == 2 },
		},
		"a pool that keeps failing is held": {
			due: func(b *bench) {
				b.inject(refusing(fake.Always))
				b.pool("builders", 1)
			},
			done: func(b *bench) bool { return b.recorded("pool.held") == 1 },
		},
		"the file of pools is followed": {
			change: []func(*daemon.Config){func(c *daemon.Config) {
				c.Pools = func() ([]fleet.Pool, error) {
					if !fromFile.Load() {
						return nil, nil
					}
					return []fleet.Pool{{Name: "filed", Blueprint: "build", Target: 1, Max: 1}}, nil
				}
			}},
			due:  func(*bench) { fromFile.Store(true) },
			done: func(b *bench) bool { return b.recorded("pool.set") == 1 },
		},
		"a lost host is told": {
			before: func(b *bench) { b.elsewhere("") },
			due:    func(b *bench) { b.clock.advance(fleet.LostAfter) },
			done:   func(b *bench) bool { return strings.Contains(b.kindsOf("r2"), "host.lost") },
		},
		"what failed is taken away": {
			before: func(b *bench) {},
			due: func(b *bench) {
				b.inject(refusing(1))
				b.acquire(func(r *service.Request) { r.Name = "mine" })
			},
			done: func(b *bench) bool { return b.recorded("environment.destroyed") == 1 },
		},
		"the time of the last plan is kept": {
			due: func(b *bench) {
				if err := b.db.SetSetting(b.t.Context(), "plan.last", ""); err != nil {
					b.t.Fatal(err)
				}
			},
			done: func(b *bench) bool {
				last, err := b.db.Setting(b.t.Context(), "plan.last")
				return err == nil && last != ""
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, append(duty.change, unending)...).run().served()
			if duty.before != nil {
				duty.before(b)
			}
			b.frozenLeader()
			duty.due(b)
			if duty.done(b) {
				t.Error("it was done while another daemon leads")
			}
			if c := b.check("leader"); c.Status != service.OK && !strings.Contains(c.Message, "no daemon plans") {
				t.Errorf("while another leads doctor says %+v", c)
			}
			b.clock.advance(11 * time.Second) // over at the latest now
			b.engine.LookForLead()
			waitUntil(t, "it is done by the next leader", func() bool { return duty.done(b) })
			if l, _, err := b.db.Leader(t.Context(), b.clock.Now()); err != nil || l.Worker != "daemon-1.a" || l.Generation != 3 {
				t.Errorf("%+v leads, %v", l, err)
			}
			if c := b.check("leader"); c.Status != service.OK || !strings.HasPrefix(c.Message, "this daemon plans") {
				t.Errorf("doctor says %+v", c)
			}
		})
	}
}

// refusing makes creates fail for good.
func refusing(times int) fake.Fault {
	f := fake.FailBefore(fake.OpCreate, provisioner.Permanent, "the test says no")
	f.Times = times
	return f
}

// drain keeps everything off the host.
func (b *bench) drain() {
	b.t.Helper()
	if _, err := b.engine.Hosts.Drain(b.t.Context(), platform, "local", true); err != nil {
		b.t.Fatal(err)
	}
}

// TestDoctorTellsWhoPlans: nobody, another one, and one whose last plan is old.
func TestDoctorTellsWhoPlans(t *testing.T) {
	t.Parallel()
	b := setup(t)
	want := func(status, message string) {
		t.Helper()
		if c := b.check("leader"); c.Status != status || !strings.Contains(c.Message, message) || (c.Hint == "") != (status == service.OK) {
			t.Errorf("doctor says %+v, want %s: %s", c, status, message)
		}
	}
	want(service.Warning, "no daemon plans now: no lease ends")
	lead := func(worker, address string, planned time.Time) {
		t.Helper()
		bid := store.Bid{Worker: worker, Address: address, For: time.Hour, PlannedAt: planned}
		if _, _, err := b.db.Lead(t.Context(), bid, b.clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	lead("daemon-2.p", "https://two:8443", time.Time{})
	want(service.OK, "daemon-2 at https://two:8443 plans; its first plan is not made yet")
	lead("daemon-2.p", "", b.clock.Now().Add(-3*time.Second))
	want(service.OK, "the daemon daemon-2 plans; its last plan is 3s old")
	b.clock.advance(10 * time.Minute)
	want(service.Warning, "the daemon daemon-2 plans, but its last plan is 10m3s old")
	b.clock.advance(time.Hour)
	want(service.Warning, "no daemon plans now")
}

// stuckPools is a file of pools that is read for ever, as a file of a network that is away may be.
type stuckPools struct {
	on, met atomic.Bool
	free    chan struct{}
}

func (s *stuckPools) read() ([]fleet.Pool, error) {
	if s.on.Load() {
		s.met.Store(true)
		<-s.free
	}
	return nil, nil
}

// TestAControllerThatHangsIsReplaced: the process lives, renews everything else, and plans nothing any more.
func TestAControllerThatHangsIsReplaced(t *testing.T) {
	t.Parallel()
	stuck := &stuckPools{free: make(chan struct{})}
	free := sync.OnceFunc(func() { close(stuck.free) })
	short := func(c *daemon.Config) { c.WorkLease = 200 * time.Millisecond }
	b := setup(t, short, func(c *daemon.Config) { c.Pools = stuck.read }).run()
	t.Cleanup(free) // before the engine is stopped
	waitUntil(t, "the first daemon leads", b.engine.Leads)
	first := b.engine
	stuck.on.Store(true)
	waitUntil(t, "its controller hangs", stuck.met.Load)
	b.engine = b.newEngine("daemon-2.a", short)
	b.run()
	t.Cleanup(free)
	waitUntil(t, "the second one leads", b.engine.Leads)
	if first.Leads() {
		t.Error("both lead")
	}
	b.engine = first
	if c := b.check("leader"); c.Status != service.Warning || !strings.Contains(c.Message, "does not end") {
		t.Errorf("doctor of the one that hangs says %+v", c)
	}
	free()
}

// TestALateLeaderWritesNothing: a leader that slept in the middle of a plan wakes up when another leads. What it was about to write is refused.
func TestALateLeaderWritesNothing(t *testing.T) {
	t.Parallel()
	var b *bench
	var armed, written atomic.Bool
	// The weights of teams are read in the middle of a plan, after everything that another may change.
	b = setup(t, unending, func(c *daemon.Config) {
		c.Weights = func() []fleet.Weight {
			if armed.CompareAndSwap(true, false) {
				_ = b.db.Resign(context.Background(), "daemon-1.a")
				l, _, err := b.db.Lead(context.Background(), store.Bid{Worker: frozen, For: time.Hour}, b.clock.Now())
				written.Store(err == nil && l.Worker == frozen)
			}
			return nil
		}
	}).run()
	waitUntil(t, "this daemon leads", b.engine.Leads)
	before := b.recorded("environment.provisioning")
	armed.Store(true)
	env := b.acquire()
	waitUntil(t, "another leads in the middle of a plan", func() bool { return written.Load() && !b.engine.Leads() })
	if now := b.get(env.ID); now.State != fleet.Pending || b.recorded("environment.provisioning") != before {
		t.Errorf("the former leader wrote: it is %s", now.State)
	}
}
