package fake_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// stage is a world with a driver that is prepared.
type stage struct {
	*fake.World
	driver  *fake.Driver
	runtime *fake.Runtime
}

func open(t *testing.T, opts fake.Options) stage {
	t.Helper()
	w := world(t, opts)
	s := stage{w, w.Driver(), w.Runtime()}
	must(t, s.driver.Prepare(t.Context(), blueprint))
	return s
}

func (s stage) inject(t *testing.T, f fake.Fault) *fake.Injection {
	t.Helper()
	in, err := s.Inject(f)
	must(t, err)
	return in
}

func (s stage) create(ctx context.Context, spec provisioner.Spec) (provisioner.Handle, error) {
	return s.driver.Create(ctx, spec, nil)
}

// kinds lists what exists of an environment.
func (s stage) kinds(t *testing.T, spec provisioner.Spec) string {
	t.Helper()
	all, err := s.All()
	must(t, err)
	var kinds []string
	for _, f := range all {
		if f.Labels[provisioner.LabelEnvironment] == spec.Owner.Environment {
			kinds = append(kinds, f.Kind)
		}
	}
	return strings.Join(kinds, " ")
}

func wantClass(t *testing.T, err error, want provisioner.Class) {
	t.Helper()
	if got := provisioner.ClassOf(err); got != want {
		t.Errorf("class %q, want %q: %v", got, want, err)
	}
}

// Each fault of a create: what is returned, what exists, what a destroy then finds.
func TestCreateFaults(t *testing.T) {
	for _, c := range []struct {
		name        string
		fault       fake.Fault
		class       provisioner.Class
		exist       string
		handle      bool
		afterwards  string // what a destroy with the handle's state leaves
		wantRunning bool
	}{
		{name: "before", fault: fake.FailBefore(fake.OpCreate, provisioner.Quota, "no room"), class: provisioner.Quota},
		{name: "after", fault: fake.FailAfter(fake.OpCreate, provisioner.Transient, "late"), class: provisioner.Transient, exist: "container", handle: true, wantRunning: true},
		{name: "reply lost", fault: fake.LoseReply(fake.OpCreate), class: provisioner.Transient, exist: "container", afterwards: "container"},
		{name: "a network is left", fault: fake.HalfCreate("network", "volume"), class: provisioner.Permanent, exist: "network volume", handle: true},
		{name: "nothing is left", fault: fake.HalfCreate(), class: provisioner.Permanent},
		{
			name: "left and not known", class: provisioner.Permanent, exist: "network", afterwards: "network",
			fault: fake.Fault{Op: fake.OpCreate, Stage: fake.Half, Leave: []string{"network"}, Forget: true, Fail: &fake.Failure{Class: provisioner.Permanent}},
		},
		{name: "corrupt state", fault: fake.CorruptState(), exist: "container", handle: true, wantRunning: true},
		{name: "exits at once", fault: fake.ExitAtOnce(3), class: provisioner.Permanent, exist: "container", handle: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, spec := open(t, fake.Options{}), spec()
			in := s.inject(t, c.fault)
			handle, err := s.create(t.Context(), spec)
			wantClass(t, err, c.class)
			if got := s.kinds(t, spec); got != c.exist {
				t.Errorf("%q exist, want %q", got, c.exist)
			}
			if has := len(handle.State) > 0; has != c.handle {
				t.Errorf("a handle with state: %v, want %v", has, c.handle)
			}
			if c.wantRunning {
				status, err := s.runtime.Inspect(t.Context(), handle.Sandbox.ID)
				if err != nil || !status.Running {
					t.Errorf("Inspect: %+v, %v", status, err)
				}
			}
			must(t, s.driver.Destroy(t.Context(), spec, handle.State, nil))
			if got := s.kinds(t, spec); got != c.afterwards {
				t.Errorf("after the destroy %q exist, want %q", got, c.afterwards)
			}
			if taken, err := in.Taken(); taken != 1 || err != nil {
				t.Errorf("the fault struck %d times, %v; want once", taken, err)
			}
		})
	}
}

func TestExitedSandboxTellsItsCode(t *testing.T) {
	s, spec := open(t, fake.Options{}), spec()
	s.inject(t, fake.ExitAtOnce(3))
	handle, err := s.create(t.Context(), spec)
	if !strings.Contains(provisioner.Sentence(err), "code 3") {
		t.Errorf("the error does not say the code: %v", err)
	}
	status, err := s.runtime.Inspect(t.Context(), handle.Sandbox.ID)
	if err != nil || status.Running || status.ExitCode != 3 {
		t.Errorf("Inspect: %+v, %v", status, err)
	}
	_, err = s.runtime.Exec(t.Context(), handle.Sandbox.ID, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
	wantClass(t, err, provisioner.Conflict)
}

// A corrupt state is no loss while the working file is there, and is one when it is not.
func TestCorruptState(t *testing.T) {
	s, spec := open(t, fake.Options{}), spec()
	s.inject(t, fake.CorruptState())
	handle, err := s.create(t.Context(), spec)
	must(t, err)
	must(t, s.Forget(spec.Owner.Environment))
	told := 0
	must(t, s.driver.Destroy(t.Context(), spec, handle.State, func(e provisioner.Event) {
		if e.Error {
			told++
		}
	}))
	if got := s.kinds(t, spec); got != "container" || told != 1 {
		t.Errorf("%q exist and %d diagnostics were told, want the container and one", got, told)
	}
}

func TestFaultsChooseTheirCalls(t *testing.T) {
	s := open(t, fake.Options{})
	a, b := spec(), spec()
	in := s.inject(t, fake.Fault{
		Op: fake.OpCreate, Environment: b.Owner.Environment, Skip: 1, Times: 2, Fail: &fake.Failure{Class: provisioner.Transient},
	})
	_, err := s.create(t.Context(), a)
	must(t, err)
	var classes []provisioner.Class
	for range 4 {
		handle, err := s.create(t.Context(), b)
		classes = append(classes, provisioner.ClassOf(err))
		must(t, s.driver.Destroy(t.Context(), b, handle.State, nil))
	}
	if want := []provisioner.Class{"", provisioner.Transient, provisioner.Transient, ""}; !slices.Equal(classes, want) {
		t.Errorf("classes %q, want %q", classes, want)
	}
	must(t, in.Lift())
	if n := s.Calls(fake.OpCreate); n != 5 {
		t.Errorf("%d creates were counted, want 5", n)
	}
	s.inject(t, fake.Fault{Op: fake.OpInventory, Times: fake.Always, Fail: &fake.Failure{Class: provisioner.Transient}})
	for range 3 {
		_, err := provisioner.ListAll(t.Context(), s.runtime, provisioner.Selector{Instance: instance})
		wantClass(t, err, provisioner.Transient)
	}
}

// Every operation can be struck before and after.
func TestEveryOperationCanFail(t *testing.T) {
	s := open(t, fake.Options{Spare: 1})
	handle, err := s.create(t.Context(), spec())
	must(t, err)
	ctx, id := t.Context(), handle.Sandbox.ID
	victim, err := s.Place("container", "victim", nil)
	must(t, err)
	ways := make(chan provisioner.Stage, 5) // opened before anything is struck
	for range cap(ways) {
		ways <- way(t, s.runtime, id)
	}
	calls := map[fake.Op]func() error{
		fake.OpDriverReady:  func() error { return s.driver.Ready(ctx) },
		fake.OpPrepare:      func() error { return s.driver.Prepare(ctx, blueprint) },
		fake.OpCreate:       func() error { _, err := s.create(ctx, spec()); return err },
		fake.OpDestroy:      func() error { return s.driver.Destroy(ctx, spec(), nil, nil) },
		fake.OpRuntimeReady: func() error { return s.runtime.Ready(ctx) },
		fake.OpResolveImage: func() error { _, err := s.runtime.ResolveImage(ctx, "bothy/build"); return err },
		fake.OpInspect:      func() error { _, err := s.runtime.Inspect(ctx, id); return err },
		fake.OpCopyTo:       func() error { return s.runtime.CopyTo(ctx, id, "/tmp", "", strings.NewReader("")) },
		fake.OpCopyFrom:     func() error { _, err := s.runtime.CopyFrom(ctx, id, "/etc", "root"); return err },
		fake.OpInventory: func() error {
			_, err := provisioner.ListAll(ctx, s.runtime, provisioner.Selector{Instance: instance})
			return err
		},
		fake.OpRemove:        func() error { return s.runtime.Remove(ctx, provisioner.Ref{ID: "gone"}, "") },
		fake.OpReserve:       func() error { _, err := s.runtime.Reserve(ctx, provisioner.Owner{}); return err },
		fake.OpRelease:       func() error { return s.runtime.Release(ctx, "gone") },
		fake.OpReconcile:     func() error { return s.runtime.Reconcile(ctx, nil) },
		fake.OpCloseNetworks: func() error { return s.runtime.Close(ctx) },
		fake.OpPause:         func() error { return s.runtime.Pause(ctx, id) },
		fake.OpUnpause:       func() error { return s.runtime.Unpause(ctx, id) },
		fake.OpTraffic:       func() error { _, err := s.runtime.Traffic(ctx, id); return err },
		fake.OpUsage:         func() error { _, err := s.runtime.Usage(ctx, id); return err },
		fake.OpRestart:       func() error { return s.runtime.Restart(ctx, id) },
		fake.OpWatch: func() error {
			ctx, stop := context.WithCancel(ctx)
			err := s.runtime.Watch(ctx, instance, stop, func(provisioner.Found) {})
			if ctx.Err() != nil && provisioner.Is(err, provisioner.Cancelled) {
				return nil // it was begun, and ends as its context does
			}
			return err
		},
		fake.OpKill: func() error {
			_, err := s.runtime.Kill(ctx, victim.Ref, victim.Environment())
			return err
		},
		fake.OpStage: func() error {
			way, err := s.runtime.Stage(ctx, id, "")
			if err != nil {
				return err
			}
			return way.Close()
		},
		fake.OpMark: func() error { return s.runtime.Mark(ctx, "mark", nil) },
		fake.OpDeliver: func() error {
			return (<-ways).Deliver(ctx, nil)
		},
		fake.OpLogs: func() error {
			return s.runtime.Logs(ctx, id, provisioner.LogsRequest{}, func(provisioner.LogLine) error { return nil })
		},
		fake.OpExec: func() error {
			_, err := s.runtime.Exec(ctx, id, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
			return err
		},
	}
	for op, call := range calls {
		for _, at := range []fake.Stage{fake.Before, fake.After} {
			s.inject(t, fake.Fault{Op: op, Stage: at, Fail: &fake.Failure{Class: provisioner.Quota, Sentence: "struck", Unavailable: true}})
			err := call()
			if !provisioner.Is(err, provisioner.Quota) || !provisioner.IsUnavailable(err) || provisioner.Sentence(err) != "struck" {
				t.Errorf("%s, struck %s: %v", op, at, err)
			}
			if err := call(); err != nil {
				t.Errorf("%s, after it was struck %s: %v", op, at, err)
			}
		}
		must(t, s.SetAvailable(false))
		if err := call(); !provisioner.Is(err, provisioner.Transient) || !provisioner.IsUnavailable(err) {
			t.Errorf("%s, while the provider is away: %v", op, err)
		}
		must(t, s.SetAvailable(true))
		must(t, s.runtime.Unpause(ctx, id)) // the next may be any other, and one that is paused takes nothing
	}
}

func TestHold(t *testing.T) {
	t.Run("lifted", func(t *testing.T) {
		s, spec := open(t, fake.Options{}), spec()
		in := s.inject(t, fake.Hang(fake.OpCreate, fake.After))
		done := make(chan error, 1)
		go func() { _, err := s.create(t.Context(), spec); done <- err }()
		must(t, in.Reached(t.Context()))
		if got := s.kinds(t, spec); got != "container" {
			t.Errorf("held after: %q exist", got)
		}
		select {
		case err := <-done:
			t.Errorf("the held call returned: %v", err)
		default:
		}
		must(t, in.Lift())
		must(t, <-done)
	})
	t.Run("reached when all of it is there", func(t *testing.T) {
		s, spec := open(t, fake.Options{}), spec()
		var leave []string
		for i := range 200 {
			leave = append(leave, fmt.Sprintf("volume%03d", i))
		}
		in := s.inject(t, fake.Fault{Op: fake.OpCreate, Stage: fake.Half, Leave: leave, Hold: true})
		done := make(chan error, 1)
		go func() { _, err := s.create(t.Context(), spec); done <- err }()
		must(t, in.Reached(t.Context()))
		if got := strings.Fields(s.kinds(t, spec)); len(got) != len(leave) {
			t.Errorf("%d of %d resources exist by the time that the fault is said to have struck", len(got), len(leave))
		}
		must(t, in.Lift())
		must(t, <-done)
	})
	t.Run("cancelled", func(t *testing.T) {
		s, spec := open(t, fake.Options{}), spec()
		in := s.inject(t, fake.Fault{Op: fake.OpCreate, Stage: fake.Half, Leave: []string{"network"}, Hold: true})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := s.create(ctx, spec); done <- err }()
		must(t, in.Reached(t.Context()))
		stop()
		wantClass(t, <-done, provisioner.Cancelled)
		if got := s.kinds(t, spec); got != "network" {
			t.Errorf("%q exist, want the network", got)
		}
	})
	t.Run("destroy, halfway", func(t *testing.T) {
		s, spec := open(t, fake.Options{}), spec()
		s.inject(t, fake.HalfCreate("network", "volume"))
		handle, err := s.create(t.Context(), spec)
		wantClass(t, err, provisioner.Permanent)
		s.inject(t, fake.Fault{Op: fake.OpDestroy, Stage: fake.Half, Fail: &fake.Failure{Class: provisioner.Transient}})
		wantClass(t, s.driver.Destroy(t.Context(), spec, handle.State, nil), provisioner.Transient)
		if got := s.kinds(t, spec); got != "volume" {
			t.Errorf("%q exist, want the volume", got)
		}
		must(t, s.driver.Destroy(t.Context(), spec, handle.State, nil))
		if got := s.kinds(t, spec); got != "" {
			t.Errorf("%q exist after the second destroy", got)
		}
	})
}

// A delay passes on the clock of a synctest bubble, so tests of slow providers are quick.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, fake.Options{})
		s.inject(t, fake.Fault{Op: fake.OpCreate, Delay: time.Hour})
		began := time.Now()
		_, err := s.create(t.Context(), spec())
		must(t, err)
		if took := time.Since(began); took != time.Hour {
			t.Errorf("it took %v, want an hour", took)
		}
		s.inject(t, fake.Fault{Op: fake.OpCreate, Delay: time.Hour})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		_, err = s.create(ctx, spec())
		wantClass(t, err, provisioner.Cancelled)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the cause is lost: %v", err)
		}
	})
}

func TestLaggingInventory(t *testing.T) {
	s, first, second := open(t, fake.Options{}), spec(), spec()
	_, err := s.create(t.Context(), first)
	must(t, err)
	must(t, s.FreezeInventory(instance))
	_, err = s.create(t.Context(), second)
	must(t, err)
	must(t, s.driver.Destroy(t.Context(), first, nil, nil))
	seen := func() string {
		all, err := provisioner.ListAll(t.Context(), s.runtime, provisioner.Selector{Instance: instance})
		must(t, err)
		var environments []string
		for _, f := range all {
			environments = append(environments, f.Labels[provisioner.LabelEnvironment])
		}
		return strings.Join(environments, " ")
	}
	if got := seen(); got != first.Owner.Environment {
		t.Errorf("frozen, it shows %q, want %q", got, first.Owner.Environment)
	}
	s.ThawInventory()
	if got := seen(); got != second.Owner.Environment {
		t.Errorf("thawed, it shows %q, want %q", got, second.Owner.Environment)
	}
}

func TestForeignResources(t *testing.T) {
	s := open(t, fake.Options{})
	forged := maps.Clone(spec().Labels)
	forged[provisioner.LabelEnvironment] = "forged"
	f, err := s.Place("network", "someone-elses", forged)
	must(t, err)
	all, err := provisioner.ListAll(t.Context(), s.runtime, provisioner.Selector{Instance: instance})
	if err != nil || len(all) != 1 || all[0].ID != f.ID || key.Verify(all[0].Labels) {
		t.Errorf("%+v, %v; want the forged one, not verifying", all, err)
	}
	_, err = s.Place("network", "someone-elses", nil)
	wantClass(t, err, provisioner.Conflict)
}

func TestWhatARealProviderWouldRefuse(t *testing.T) {
	s := open(t, fake.Options{})
	for name, change := range map[string]func(*provisioner.Spec){
		"not prepared":     func(s *provisioner.Spec) { s.Blueprint.Digest = "sha256:" + strings.Repeat("cd", 32) },
		"no environment":   func(s *provisioner.Spec) { s.Owner.Environment = "" },
		"no labels":        func(s *provisioner.Spec) { s.Labels = nil },
		"another's labels": func(s *provisioner.Spec) { s.Labels = spec().Labels },
		"no such image":    func(s *provisioner.Spec) { s.Sandbox.Image = "bothy/build" },
		"no such network":  func(s *provisioner.Spec) { s.Sandbox.Network = "nowhere" },
	} {
		wrong := spec()
		change(&wrong)
		if _, err := s.create(t.Context(), wrong); !provisioner.Is(err, provisioner.Permanent) {
			t.Errorf("%s: %v, want class permanent", name, err)
		}
	}
	wantClass(t, s.driver.Prepare(t.Context(), provisioner.Blueprint{Digest: blueprint.Digest, Dir: "/no/such/folder"}), provisioner.Permanent)
}

func TestTwoOnOneNetworkIsABreach(t *testing.T) {
	w := fake.New(fake.Options{Key: key, Instance: instance})
	s := stage{w, w.Driver(), w.Runtime()}
	must(t, s.driver.Prepare(t.Context(), blueprint))
	a, b := specWithNetwork(t, s.runtime), spec()
	b.Sandbox.Network = a.Sandbox.Network
	for _, spec := range []provisioner.Spec{a, b} {
		_, err := s.create(t.Context(), spec)
		must(t, err)
	}
	if got := s.Breaches(); len(got) != 1 || !strings.Contains(got[0], strings.TrimPrefix(string(a.Sandbox.Network), "join:")) {
		t.Errorf("breaches %q, want one that names the network", got)
	}
}
