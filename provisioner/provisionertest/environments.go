package provisionertest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// recorder is an Observer that checks what observers are promised.
type recorder struct {
	mu     sync.Mutex
	busy   atomic.Bool
	events []provisioner.Event
	broken []string
	// on runs for each event, when set.
	on func(provisioner.Event)
}

func (r *recorder) observe(e provisioner.Event) {
	if !r.busy.CompareAndSwap(false, true) {
		r.breach("the observer was called from two goroutines at a time")
		return
	}
	defer r.busy.Store(false)
	if e.At.IsZero() || e.Phase == "" {
		r.breach("an event without time or phase: " + e.Message)
	}
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
	if r.on != nil {
		r.on(e)
	}
}

func (r *recorder) breach(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.broken = append(r.broken, what)
}

// counts returns how many resources were told to be created and gone.
func (r *recorder) counts(t *testing.T) (created, gone int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.broken {
		t.Error(b)
	}
	for _, e := range r.events {
		if e.ResourceCreated {
			created++
		}
		if e.ResourceGone {
			gone++
		}
	}
	return created, gone
}

// environment is one under test.
type environment struct {
	h      Harness
	spec   provisioner.Spec
	handle provisioner.Handle
	seen   *recorder
}

// create makes an environment and has it removed at the test's end, come what may.
func (h Harness) create(t *testing.T) *environment {
	t.Helper()
	e := h.planned(t)
	if err := e.try(within(t)); err != nil {
		t.Fatalf("Create: %v", err)
	}
	return e
}

// planned returns an environment that is not created yet, its blueprint prepared.
func (h Harness) planned(t *testing.T) *environment {
	t.Helper()
	e := &environment{h: h, spec: h.NewSpec(t)}
	t.Cleanup(func() { e.cleanUp(t) })
	if err := h.Driver.Prepare(within(t), e.spec.Blueprint); err != nil {
		t.Fatalf("Prepare: %v", err)
	}
	return e
}

// try creates; the handle is kept also when it fails.
func (e *environment) try(ctx context.Context) (err error) {
	e.seen = &recorder{}
	return e.tryWith(ctx, e.seen)
}

func (e *environment) tryWith(ctx context.Context, seen *recorder) (err error) {
	e.seen = seen
	e.handle, err = e.h.Driver.Create(ctx, e.spec, seen.observe)
	return err
}

// again makes the spec that of the next attempt.
func (e *environment) again() {
	e.spec.Owner.Generation++
	e.spec.Labels = e.h.Key.Labels(e.spec.Owner)
}

func (e *environment) destroy(t *testing.T, state []byte) *recorder {
	t.Helper()
	seen := &recorder{}
	if err := e.h.Driver.Destroy(within(t), e.spec, state, seen.observe); err != nil {
		t.Fatalf("Destroy: %v", err)
	}
	return seen
}

// cleanUp destroys and sweeps. Its context is its own: the test's has ended.
func (e *environment) cleanUp(t *testing.T) {
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	if err := e.h.Driver.Destroy(ctx, e.spec, e.handle.State, func(provisioner.Event) {}); err != nil {
		t.Errorf("clean up: Destroy: %v", err)
	}
	e.sweepWith(ctx, t)
}

// sweep removes by label what is left, as the engine does after a destroy.
func (e *environment) sweep(t *testing.T) {
	t.Helper()
	e.sweepWith(within(t), t)
}

func (e *environment) sweepWith(ctx context.Context, t *testing.T) {
	t.Helper()
	var last error
	eventually(t, "the sweep finds nothing of environment "+e.spec.Owner.Environment, func() bool {
		all, err := e.h.list(ctx, provisioner.Selector{})
		if err != nil {
			t.Fatalf("sweep: List: %v", err)
		}
		left := e.h.of(all, e.spec.Owner.Environment)
		for _, f := range left {
			if last = e.h.Runtime.Remove(ctx, f.Ref, f.Environment()); last != nil && !provisioner.Is(last, provisioner.Transient) {
				t.Fatalf("sweep: Remove %s %s: %v", f.Kind, f.Name, last)
			}
		}
		return len(left) == 0
	})
}

// of picks an environment's resources, in the order in which they are to be removed.
func (h Harness) of(all []provisioner.Found, environment string) []provisioner.Found {
	var mine []provisioner.Found
	for _, f := range all {
		if f.Labels[provisioner.LabelEnvironment] == environment && h.Key.Verify(f.Labels) {
			mine = append(mine, f)
		}
	}
	slices.SortFunc(mine, func(a, b provisioner.Found) int { return h.Runtime.RemovalOrder(a.Ref, b.Ref) })
	return mine
}

// resources lists what exists of the environment, whatever its labels say besides.
func (e *environment) resources(t *testing.T) []provisioner.Found {
	t.Helper()
	return slices.DeleteFunc(e.h.mustList(t, provisioner.Selector{}), func(f provisioner.Found) bool {
		return f.Labels[provisioner.LabelEnvironment] != e.spec.Owner.Environment
	})
}

func (e *environment) wantNothing(t *testing.T) {
	t.Helper()
	for _, f := range e.resources(t) {
		t.Errorf("still there: %s %s (%s)", f.Kind, f.Name, f.ID)
	}
}

func (e *environment) wantRunning(t *testing.T) {
	t.Helper()
	status, err := e.h.Runtime.Inspect(within(t), e.handle.Sandbox.ID)
	if err != nil {
		t.Fatalf("Inspect: %v", err)
	}
	if !status.Running || status.Paused || status.StartedAt.IsZero() || status.StartedAt.After(time.Now().Add(time.Minute)) {
		t.Errorf("Inspect: %+v, want it running, with a start time", status)
	}
}

// wantOwned checks names and labels of everything that exists of the environment, and gives it.
func (e *environment) wantOwned(t *testing.T) []provisioner.Found {
	t.Helper()
	all := e.resources(t)
	name := e.spec.Owner.ResourceName()
	for _, f := range all {
		if f.Name != name && !strings.HasPrefix(f.Name, name+"-") {
			t.Errorf("%s is named %q, want %q or that and a suffix", f.Kind, f.Name, name)
		}
		if !e.h.Key.Verify(f.Labels) {
			t.Errorf("%s %s: the labels do not verify: %v", f.Kind, f.Name, f.Labels)
		}
		have := maps.Clone(f.Labels)
		maps.DeleteFunc(have, func(k, _ string) bool { _, ours := e.spec.Labels[k]; return !ours })
		if !maps.Equal(have, e.spec.Labels) {
			t.Errorf("%s %s: labels %v, want %v", f.Kind, f.Name, have, e.spec.Labels)
		}
		if f.ID == "" || f.Kind == "" {
			t.Errorf("found without id or kind: %+v", f)
		}
	}
	return all
}
