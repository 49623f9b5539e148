package daemon_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"slices"
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

// hanging is an engine that takes calls and never answers, while on.
type hanging struct {
	provisioner.Runtime
	on *atomic.Bool
	// deaf does not even look whether the caller has gone.
	deaf chan struct{}
}

func (h hanging) hang(ctx context.Context, op string) error {
	if h.deaf != nil {
		<-h.deaf
		return nil
	}
	<-ctx.Done()
	return &provisioner.Error{Class: provisioner.Cancelled, Op: op, Sentence: "cancelled", Err: ctx.Err()}
}

func (h hanging) Ready(ctx context.Context) error {
	if h.on.Load() {
		return h.hang(ctx, "reach")
	}
	return h.Runtime.Ready(ctx)
}

func (h hanging) List(ctx context.Context, sel provisioner.Selector) (provisioner.Page, error) {
	for h.on.Load() && h.deaf == nil {
		select {
		case <-ctx.Done():
			return provisioner.Page{}, h.hang(ctx, "list")
		case <-time.After(20 * time.Millisecond): // it may have come back
		}
	}
	return h.Runtime.List(ctx, sel)
}

// twoHosts makes a, whose engine hangs while on, and b, which is well.
func twoHosts(h hanging) func(*daemon.Config) {
	return func(c *daemon.Config) {
		bad, good := c.Hosts[0], c.Hosts[0]
		h.Runtime = bad.Runtime
		bad.Name, bad.Runtime, bad.Networks = "a", h, nil
		good.Name, good.Networks = "b", nil
		c.Hosts, c.Clock = []daemon.Host{bad, good}, nil
	}
}

// usable waits until hosts can be used.
func (b *bench) usable(names ...string) {
	b.t.Helper()
	waitUntil(b.t, "the hosts can be used", func() bool {
		hosts, err := b.db.Hosts(b.t.Context())
		usable := 0
		for _, h := range hosts {
			if slices.Contains(names, h.Name) && h.Usable(b.engine.Now()) {
				usable++
			}
		}
		return err == nil && usable == len(names)
	})
}

// notedAfter is how long a host may hang before it is avoided: ten seconds, and as many for a busy machine.
const notedAfter = 20 * time.Second

// TestAHostThatHangsIsAvoided: also when its engine does not even notice that nobody waits any more. Its late answer counts.
func TestAHostThatHangsIsAvoided(t *testing.T) {
	t.Parallel()
	for name, deaf := range map[string]chan struct{}{"patient": nil, "deaf": make(chan struct{})} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var on atomic.Bool
			b := setup(t, twoHosts(hanging{on: &on, deaf: deaf})).run()
			b.usable("a", "b")
			on.Store(true)
			began := time.Now()
			waitUntil(t, "the host is noted as down", func() bool { return b.status("a").Down != "" })
			if took := time.Since(began); took > notedAfter {
				t.Errorf("it took %s", took)
			}
			if s := b.status("b"); s.Down != "" || !s.Usable(time.Now()) {
				t.Errorf("the other host is %+v", s)
			}
			if env := b.untilState(b.acquire().ID, fleet.Leased); env.Host != "b" {
				t.Errorf("it stands on host %s", env.Host)
			}
			on.Store(false)
			if deaf != nil {
				close(deaf) // the answer to what was asked long ago
			}
			waitUntil(t, "the host can be used again", func() bool { return b.status("a").Down == "" })
		})
	}
}

// TestAHostThatHangsDelaysNoOther: everything that may run at once runs on the host that hangs, and the other does not notice.
func TestAHostThatHangsDelaysNoOther(t *testing.T) {
	t.Parallel()
	var on atomic.Bool
	b := setup(t, twoHosts(hanging{on: &on}), func(c *daemon.Config) { c.Concurrency = 1 }).run()
	b.usable("a", "b")
	drain := func(host string, drained bool) {
		t.Helper()
		if _, err := b.engine.Hosts.Drain(t.Context(), platform, host, drained); err != nil {
			t.Fatal(err)
		}
	}
	drain("b", true)
	var stuck []string
	for range 7 {
		stuck = append(stuck, b.untilState(b.acquire().ID, fleet.Leased).ID)
	}
	drain("a", true)
	drain("b", false)
	other := b.untilState(b.acquire().ID, fleet.Leased)
	on.Store(true)
	for _, id := range stuck {
		if _, err := b.engine.Release(t.Context(), operator, id); err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, "destroys of the host that hangs are under way", func() bool {
		busy := 0
		for _, id := range stuck {
			if b.get(id).Work.Worker != "" {
				busy++
			}
		}
		return busy >= 2
	})
	b.release(other.ID)
	b.untilState(other.ID, fleet.Destroyed)
	b.untilState(b.acquire().ID, fleet.Leased)
	for _, id := range stuck {
		if state := b.get(id).State; state == fleet.Destroyed {
			t.Errorf("%s is %s though its host hangs: nothing was tried", id, state)
		}
	}
	on.Store(false)
	for _, id := range stuck {
		b.untilState(id, fleet.Destroyed)
	}
}

// TestAPanicKeepsItsStackAndHoldsNothing: what it worked on is free at once, and the log says where it was.
func TestAPanicKeepsItsStackAndHoldsNothing(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	b := setup(t, func(c *daemon.Config) {
		c.Hosts[0].Driver = panicky{c.Hosts[0].Driver}
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	}).run()
	env := b.acquire()
	row := b.until(env.ID, "given back", func(e fleet.Environment) bool { return e.Work.Attempts == 1 })
	if row.Work.Worker != "" {
		t.Errorf("it is still held by %s", row.Work.Worker)
	}
	if text := log.String(); !strings.Contains(text, "panicky") || !strings.Contains(text, "hang_test.go") && !strings.Contains(text, "worker_test.go") {
		t.Errorf("the log does not say where it panicked: %s", text)
	}
}

// lockedBuffer is written by an engine and read by its test.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// sleepy is a runtime whose process sleeps between its look at a warm environment and the freeze: another daemon hands it over meanwhile.
type sleepy struct {
	*fake.Runtime
	asleep *atomic.Pointer[func()]
}

func (s sleepy) Pause(ctx context.Context, id string) error {
	if f := s.asleep.Swap(nil); f != nil {
		(*f)()
	}
	return s.Runtime.Pause(ctx, id)
}

// TestAPauseThatRacesAClaim: whoever freezes late thaws what is somebody's by then.
func TestAPauseThatRacesAClaim(t *testing.T) {
	needs(t, "pause", func(can provisioner.Capabilities) bool { return can.Pause })
	t.Parallel()
	var asleep atomic.Pointer[func()]
	b := setup(t, unending, func(c *daemon.Config) { c.Hosts[0].Runtime = sleepy{c.Hosts[0].Runtime.(*fake.Runtime), &asleep} }).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	// The claim and the hand-over of another daemon, as its rows are.
	claimed := func() {
		_, err := b.db.Change(context.Background(), warm.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			e.State, e.Tenant, e.Team, e.Owner, e.Name, e.Paused, e.HeldAt = fleet.Leased, ann.Tenant, ann.Team, ann.User, "mine", false, b.clock.Now()
			e.Lease.TTL, e.Lease.MaxTTL, e.Lease.Start, e.Lease.End = time.Hour, time.Hour, b.clock.Now(), b.clock.Now().Add(time.Hour)
			return store.Writes{}, nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	asleep.Store(&claimed)
	b.pool("builders", 1, func(p *fleet.Pool) { p.Pause = true })
	waitUntil(t, "it is frozen late", func() bool { return asleep.Load() == nil && b.get(warm.ID).State == fleet.Leased })
	waitUntil(t, "it is thawed", func() bool {
		status, err := b.world.Runtime().Inspect(t.Context(), warm.SandboxID)
		return err == nil && status.Running && !status.Paused
	})
	b.stop()
	if status, err := b.world.Runtime().Inspect(context.Background(), warm.SandboxID); err != nil || status.Paused {
		t.Errorf("the leased one is %+v, %v", status, err)
	}
}

// TestWorkOutlivesHolds: a create takes longer than a hold, and the host changes hands all the while. It is made once, by who began it.
func TestWorkOutlivesHolds(t *testing.T) {
	t.Parallel()
	b := setup(t).run()
	hang := b.inject(fake.Hang(fake.OpCreate, fake.Half))
	env := b.acquire()
	b.reached(hang)
	generation := b.get(env.ID).Work.Generation
	before, last := "daemon-1.a", ""
	for _, worker := range []string{"daemon-2.a", "daemon-3.a", "daemon-2.b"} {
		if err := b.db.LeaveHosts(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		now := b.clock.Now()
		if _, err := b.db.HoldHosts(t.Context(), store.Hold{Worker: worker, Names: []string{"local"}}, now, now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		before, last = worker, worker
	}
	b.engine.LookForHolds()
	waitUntil(t, "the worker knows that it lost the host", func() bool { return !b.engine.Serves("local") })
	if h := b.status("local").Host; h.Worker != last {
		t.Errorf("the host is held by %s, want %s", h.Worker, last)
	}
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	made := b.untilState(env.ID, fleet.Leased)
	if made.Work.Generation != generation || b.world.Calls(fake.OpCreate) != 1 {
		t.Errorf("it was made at generation %d, begun at %d", made.Work.Generation, generation)
	}
}

// TestATwinIsTold: another process renews a hold under this daemon's id.
func TestATwinIsTold(t *testing.T) {
	t.Parallel()
	renewed := atomic.Int32{}
	b := setup(t, brisk, func(c *daemon.Config) {
		other := c.Hosts[0]
		other.Name = "shared"
		c.Hosts = append(c.Hosts, other)
		c.Worker = "daemon-1.b"
		c.NewID = func() error { renewed.Add(1); return nil }
	})
	if err := b.db.DeclareHost(t.Context(), fleet.Host{Name: "shared", SeenAt: b.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	if c := b.check("identity"); c.Status != service.OK {
		t.Errorf("doctor says %+v", c)
	}
	see := b.engine.SeeTwin
	see(fleet.Host{Name: "shared", Worker: "daemon-2.x", Until: b.clock.Now()})
	see(fleet.Host{Name: "shared", Worker: "daemon-2.x", Until: b.clock.Now().Add(time.Second)})
	see(fleet.Host{Name: "shared", Worker: "daemon-1.a", Until: b.clock.Now()}) // it may be an earlier process
	see(fleet.Host{Name: "shared", Worker: "daemon-1.a", Until: b.clock.Now()})
	if c := b.check("identity"); c.Status != service.OK || renewed.Load() != 0 {
		t.Errorf("of one that renews nothing doctor says %+v", c)
	}
	for range 3 {
		b.clock.advance(time.Second)
		see(fleet.Host{Name: "shared", Worker: "daemon-1.a", Until: b.clock.Now()})
	}
	if c := b.check("identity"); c.Status != service.Warning || !strings.Contains(c.Message, "daemon-1.a") || c.Hint == "" || renewed.Load() != 1 {
		t.Errorf("doctor says %+v, another id was taken %d times", c, renewed.Load())
	}
}

// TestAStallAfterTheApplyIsNoFailure: the database does not answer in time when the state is saved. The sandbox is not thrown away, nor the
// request failed.
func TestAStallAfterTheApplyIsNoFailure(t *testing.T) {
	t.Parallel()
	b := setup(t).run()
	hang := b.inject(fake.Hang(fake.OpCreate, fake.After))
	env := b.acquire()
	b.reached(hang)
	unlock := b.lockDatabase()
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(7 * time.Second) // longer than SQLite waits for a lock: that is what is tried
	unlock()
	if made := b.untilState(env.ID, fleet.Leased); made.Work.Attempts != 0 || made.Failure != nil {
		t.Errorf("%d tries failed, %+v", made.Work.Attempts, made.Failure)
	}
	if n := b.world.Calls(fake.OpCreate); n != 1 {
		t.Errorf("it was made %d times", n)
	}
}

// lockDatabase keeps everybody from writing until it is unlocked.
func (b *bench) lockDatabase() (unlock func()) {
	b.t.Helper()
	db, err := sql.Open("sqlite", strings.TrimPrefix(b.dsn, "sqlite://"))
	if err != nil {
		b.t.Fatal(err)
	}
	conn, err := db.Conn(b.t.Context())
	if err == nil {
		_, err = conn.ExecContext(b.t.Context(), "PRAGMA busy_timeout=20000; BEGIN IMMEDIATE")
	}
	if err != nil {
		b.t.Fatal(err)
	}
	unlock = sync.OnceFunc(func() {
		if _, err := conn.ExecContext(context.Background(), "ROLLBACK"); err != nil {
			b.t.Error(err)
		}
		if err := errors.Join(conn.Close(), db.Close()); err != nil {
			b.t.Error(err)
		}
	})
	b.t.Cleanup(unlock)
	return unlock
}
