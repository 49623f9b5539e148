package daemon_test

import (
	"context"
	"errors"
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

func TestShutdownLetsWorkFinish(t *testing.T) {
	b := setup(t).run()
	hang := b.inject(fake.Hang(fake.OpCreate, fake.Half))
	env := b.acquire()
	b.reached(hang)
	stopped := make(chan struct{})
	go func() { b.stop(); close(stopped) }()
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	<-stopped
	if e, err := b.db.Get(t.Context(), env.ID); err != nil || e.State != fleet.Leased {
		t.Errorf("after shutdown it is %s (%v), want leased: what runs may finish", e.State, err)
	}
}

func TestShutdownInterruptsWhatDoesNotFinish(t *testing.T) {
	b := setup(t)
	hang := b.inject(fake.Hang(fake.OpCreate, fake.Half))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.engine.Run(ctx, time.Millisecond) }()
	env := b.acquire()
	b.reached(hang)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	e, err := b.db.Get(t.Context(), env.ID)
	if err != nil || e.Work.Worker != "" || e.Work.Action != fleet.Create {
		t.Fatalf("after an interrupted create: %+v, %v; want it recorded as to be taken up again", e.Work, err)
	}
	// The next process destroys what was left, and makes it anew.
	b.engine = b.newEngine("daemon-2.a")
	b.run()
	b.untilState(env.ID, fleet.Leased)
	if n := len(b.left()); n == 0 {
		t.Error("nothing exists")
	}
}

// TestPromiseFencing: a worker that was taken over cannot write its outcome.
func TestPromiseFencing(t *testing.T) {
	b := setup(t).run()
	hang := b.inject(fake.Hang(fake.OpCreate, fake.After))
	env := b.acquire()
	b.reached(hang)
	// Another process takes the work over, as after a long pause of this one.
	b.clock.advance(time.Hour)
	taken, ok, err := b.db.TakeWork(t.Context(), "worker-2", []string{"local"}, b.clock.Now(), b.clock.Now().Add(time.Hour))
	if err != nil || !ok || taken.ID != env.ID {
		t.Fatalf("take over: %v %t", err, ok)
	}
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	b.stop()
	e, err := b.db.Get(t.Context(), env.ID)
	if err != nil || e.State != fleet.Provisioning || e.Work.Worker != "worker-2" {
		t.Errorf("it is %s, worker %s (%v): the one that was taken over wrote", e.State, e.Work.Worker, err)
	}
	err = b.db.SaveState(t.Context(), env.ID, taken.Work.Generation-1, 99, []byte("late"))
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("a state of the old generation: %v, want it fenced off", err)
	}
}

// TestTakeOverFromItself: a process that slept longer than its work lease takes its own work
// again; the first try must have ended before the second begins.
func TestTakeOverFromItself(t *testing.T) {
	var solo soloDriver
	b := setup(t, func(c *daemon.Config) { solo.Driver = c.Hosts[0].Driver; c.Hosts[0].Driver = &solo }).run()
	hang := b.inject(fake.Hang(fake.OpCreate, fake.Half))
	env := b.acquire()
	b.reached(hang)
	b.clock.advance(time.Minute)
	b.untilState(env.ID, fleet.Leased)
	if solo.overlaps.Load() > 0 {
		t.Error("two tries ran on one environment at once")
	}
	for _, f := range b.left() {
		if f.Labels[provisioner.LabelGeneration] != "2" {
			t.Errorf("%s %s is of generation %s, want 2", f.Kind, f.Name, f.Labels[provisioner.LabelGeneration])
		}
	}
	if breaches := b.world.Breaches(); len(breaches) > 0 {
		t.Error(breaches)
	}
}

// soloDriver counts calls that begin while another is under way.
type soloDriver struct {
	provisioner.Driver
	busy, overlaps atomic.Int32
}

func (s *soloDriver) enter() (leave func()) {
	if s.busy.Add(1) > 1 {
		s.overlaps.Add(1)
	}
	return func() { s.busy.Add(-1) }
}

func (s *soloDriver) Create(ctx context.Context, spec provisioner.Spec, observe provisioner.Observer) (provisioner.Handle, error) {
	defer s.enter()()
	return s.Driver.Create(ctx, spec, observe)
}

func (s *soloDriver) Destroy(ctx context.Context, spec provisioner.Spec, state []byte, observe provisioner.Observer) error {
	defer s.enter()()
	return s.Driver.Destroy(ctx, spec, state, observe)
}

// hookedRuntime does something just before a sandbox is inspected, between apply and hand-over.
type hookedRuntime struct {
	*fake.Runtime
	before func(id string)
}

func (h *hookedRuntime) Inspect(ctx context.Context, id string) (provisioner.Status, error) {
	h.before(id)
	return h.Runtime.Inspect(ctx, id)
}

// TestASandboxRemovedWhileItIsMadeIsMadeAgain (R19): somebody removes a container between its create and its hand-over.
func TestASandboxRemovedWhileItIsMadeIsMadeAgain(t *testing.T) {
	var b *bench
	var once sync.Once
	b = setup(t, patient, func(c *daemon.Config) {
		c.Hosts[0].Runtime = &hookedRuntime{c.Hosts[0].Runtime.(*fake.Runtime), func(id string) {
			once.Do(func() {
				for _, f := range b.left() {
					if f.ID != id {
						continue
					}
					if err := b.world.Runtime().Remove(t.Context(), f.Ref, f.Environment()); err != nil {
						t.Error(err)
					}
				}
			})
		}}
	}).run()
	env := b.acquire()
	b.until(env.ID, "put off", func(e fleet.Environment) bool { return e.Work.Attempts == 1 || e.Failure != nil })
	b.clock.advance(5 * time.Second)
	b.untilState(env.ID, fleet.Leased)
	if calls := b.world.Calls(fake.OpCreate); calls != 2 {
		t.Errorf("it was made %d times, want twice", calls)
	}
}

// TestSandboxThatEndedIsNotHandedOver: the provider may report success for a container that exits at once.
func TestSandboxThatEndedIsNotHandedOver(t *testing.T) {
	var b *bench
	b = setup(t, func(c *daemon.Config) {
		c.Hosts[0].Runtime = &hookedRuntime{c.Hosts[0].Runtime.(*fake.Runtime), func(id string) {
			if err := errors.Join(b.world.Say(id, "no such program", true), b.world.Stop(id, 3, "")); err != nil {
				t.Error(err)
			}
		}}
	}).run()
	env := b.untilState(b.acquire().ID, fleet.Destroyed)
	if env.Failure == nil || !strings.Contains(env.Failure.Sentence, "exit code 3") {
		t.Errorf("failure %+v, want the exit code told", env.Failure)
	}
	said := false
	err := b.engine.Logs(t.Context(), ann, env.ID, time.Time{}, false, func(l fleet.LogLine) error {
		said = said || l.Source == "sandbox" && l.Text == "no such program"
		return nil
	})
	if err != nil || !said {
		t.Errorf("its own last words are not in the log (%v)", err)
	}
	b.nothingLeft()
}

// TestReleaseJustBeforeHandOver: what was given back in the last moment is never handed over.
func TestReleaseJustBeforeHandOver(t *testing.T) {
	var b *bench
	var id string
	b = setup(t, func(c *daemon.Config) {
		c.Hosts[0].Runtime = &hookedRuntime{c.Hosts[0].Runtime.(*fake.Runtime), func(string) {
			// As another process would record it: this one's worker hears nothing of it.
			_, err := b.db.Change(t.Context(), id, store.Expect{}, func(env *fleet.Environment) (store.Writes, error) {
				env.State, env.Work.Action = fleet.Destroying, fleet.Destroy
				return store.Writes{}, nil
			})
			if err != nil {
				t.Error(err)
			}
		}}
	})
	id = b.acquire().ID
	b.run()
	env := b.untilState(id, fleet.Destroyed)
	if env.Lease.Held() || env.Failure != nil {
		t.Errorf("lease %+v, failure %+v: it was handed over or failed", env.Lease, env.Failure)
	}
	b.nothingLeft()
}

func TestPanicFailsOneEnvironmentOnly(t *testing.T) {
	b := setup(t, func(c *daemon.Config) { c.Hosts[0].Driver = panicky{c.Hosts[0].Driver} }).run()
	env := b.acquire()
	b.until(env.ID, "given back", func(e fleet.Environment) bool { return e.Work.Attempts == 1 })
	if _, _, err := b.engine.Environments.List(t.Context(), ann, service.Selection{}); err != nil {
		t.Errorf("the daemon is not well: %v", err)
	}
}

type panicky struct{ provisioner.Driver }

func (panicky) Create(context.Context, provisioner.Spec, provisioner.Observer) (provisioner.Handle, error) {
	panic("a fault inside")
}
