package fake_test

import (
	"context"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// way opens a stage, past whatever faults are injected for it.
func way(t *testing.T, r *fake.Runtime, id string) provisioner.Stage {
	t.Helper()
	s, err := r.Stage(t.Context(), id, "")
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func read(t *testing.T, r *fake.Runtime, id, file string) (text string, there bool) {
	t.Helper()
	var out strings.Builder
	code, err := r.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"cat", file}}, provisioner.Streams{Stdout: &out})
	must(t, err)
	return out.String(), code == 0
}

// TestDeliverLosesReply: the files are there, and who sent them does not know.
func TestDeliverLosesReply(t *testing.T) {
	s, spec := open(t, fake.Options{}), spec()
	handle, err := s.create(t.Context(), spec)
	must(t, err)
	s.inject(t, fake.LoseReply(fake.OpDeliver))
	err = way(t, s.runtime, handle.Sandbox.ID).Deliver(t.Context(), []provisioner.File{{Name: "token", Mode: 0o400, Data: []byte("x")}})
	wantClass(t, err, provisioner.Transient)
	if text, there := read(t, s.runtime, handle.Sandbox.ID, "/run/bothy/token"); !there || text != "x" {
		t.Errorf("the file is there: %v, %q", there, text)
	}
}

// TestDeliverHeld: a delivery that hangs ends with its context, and has written nothing.
func TestDeliverHeld(t *testing.T) {
	s, spec := open(t, fake.Options{}), spec()
	handle, err := s.create(t.Context(), spec)
	must(t, err)
	in := s.inject(t, fake.Hang(fake.OpDeliver, fake.Before))
	ctx, stop := context.WithCancel(t.Context())
	done, w := make(chan error, 1), way(t, s.runtime, handle.Sandbox.ID)
	go func() { done <- w.Deliver(ctx, []provisioner.File{{Name: "token", Mode: 0o400}}) }()
	must(t, in.Reached(t.Context()))
	stop()
	wantClass(t, <-done, provisioner.Cancelled)
	if _, there := read(t, s.runtime, handle.Sandbox.ID, "/run/bothy/token"); there {
		t.Error("a delivery that was called off has written")
	}
}

// TestFlap: every second call fails, the first one too, until the fault is lifted.
func TestFlap(t *testing.T) {
	s, spec := open(t, fake.Options{}), spec()
	handle, err := s.create(t.Context(), spec)
	must(t, err)
	in := s.inject(t, fake.Flap(fake.OpDeliver, provisioner.NotFound))
	var got []bool
	for i := range 6 {
		if i == 5 {
			must(t, in.Lift())
		}
		got = append(got, way(t, s.runtime, handle.Sandbox.ID).Deliver(t.Context(), nil) == nil)
	}
	want := []bool{false, true, false, true, false, true}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("deliveries that worked: %v, want %v", got, want)
		}
	}
	if n, err := in.Taken(); err != nil || n != 3 {
		t.Errorf("%d calls were struck, error %v", n, err)
	}
}

// TestOpenStages: a leak of stages can be seen.
func TestOpenStages(t *testing.T) {
	s, spec := open(t, fake.Options{}), spec()
	handle, err := s.create(t.Context(), spec)
	must(t, err)
	used, closed := way(t, s.runtime, handle.Sandbox.ID), way(t, s.runtime, handle.Sandbox.ID)
	s.inject(t, fake.FailAfter(fake.OpStage, provisioner.Transient, "lost"))
	if _, err := s.runtime.Stage(t.Context(), handle.Sandbox.ID, ""); err == nil {
		t.Fatal("the fault did not strike")
	}
	if n := s.OpenStages(); n != 2 {
		t.Errorf("%d stages are open, want 2", n)
	}
	must(t, used.Deliver(t.Context(), nil))
	must(t, closed.Close())
	if n := s.OpenStages(); n != 0 || len(s.Processes(handle.Sandbox.ID)) != 0 {
		t.Errorf("%d stages are open, %v run; want none", n, s.Processes(handle.Sandbox.ID))
	}
}

// TestStageStopped: what has ended takes no stage, is not paused, and has no traffic.
func TestStageStopped(t *testing.T) {
	s, spec := open(t, fake.Options{}), spec()
	handle, err := s.create(t.Context(), spec)
	must(t, err)
	w := way(t, s.runtime, handle.Sandbox.ID)
	must(t, s.runtime.Pause(t.Context(), handle.Sandbox.ID))
	must(t, s.Stop(handle.Sandbox.ID, 3, "killed"))
	wantClass(t, w.Deliver(t.Context(), nil), provisioner.NotFound)
	_, err = s.runtime.Stage(t.Context(), handle.Sandbox.ID, "")
	wantClass(t, err, provisioner.Conflict)
	wantClass(t, s.runtime.Pause(t.Context(), handle.Sandbox.ID), provisioner.Conflict)
	wantClass(t, s.runtime.Unpause(t.Context(), handle.Sandbox.ID), provisioner.Conflict)
	_, err = s.runtime.Traffic(t.Context(), handle.Sandbox.ID)
	wantClass(t, err, provisioner.Conflict)
}

// TestSharedFolder: what one process froze and another staged is one sandbox; stages stay their process's own.
func TestStageSharedFolder(t *testing.T) {
	dir := t.TempDir()
	s, spec := open(t, fake.Options{Dir: dir}), spec()
	handle, err := s.create(t.Context(), spec)
	must(t, err)
	other := world(t, fake.Options{Dir: dir})
	w := way(t, other.Runtime(), handle.Sandbox.ID)
	must(t, s.runtime.Pause(t.Context(), handle.Sandbox.ID))
	done := make(chan error, 1)
	go func() {
		done <- w.Deliver(t.Context(), []provisioner.File{{Name: "token", Mode: 0o400, Data: []byte("x")}})
	}()
	status, err := other.Runtime().Inspect(t.Context(), handle.Sandbox.ID)
	if err != nil || !status.Paused {
		t.Errorf("the other process sees %+v, error %v", status, err)
	}
	must(t, s.runtime.Unpause(t.Context(), handle.Sandbox.ID))
	must(t, <-done)
	must(t, other.AddTraffic(handle.Sandbox.ID, 1500))
	if n, err := s.runtime.Traffic(t.Context(), handle.Sandbox.ID); err != nil || n != 1500 {
		t.Errorf("traffic %d, error %v; want 1500", n, err)
	}
	if text, there := read(t, s.runtime, handle.Sandbox.ID, "/run/bothy/token"); !there || text != "x" {
		t.Errorf("the file is there: %v, %q", there, text)
	}
	if s.OpenStages() != 0 || other.OpenStages() != 0 {
		t.Error("a stage is open")
	}
}

// BenchmarkClaim is what a claim asks of the fake: a stage, a delivery. It must stay far above 2,000 a second.
func BenchmarkClaim(b *testing.B) {
	w := fake.New(fake.Options{})
	r, d := w.Runtime(), w.Driver()
	if err := d.Prepare(b.Context(), blueprint); err != nil {
		b.Fatal(err)
	}
	for range 1000 {
		if _, err := d.Create(b.Context(), spec(), func(provisioner.Event) {}); err != nil {
			b.Fatal(err)
		}
	}
	handle, err := d.Create(b.Context(), spec(), func(provisioner.Event) {})
	if err != nil {
		b.Fatal(err)
	}
	files := []provisioner.File{{Name: "token", Mode: 0o400, Data: make([]byte, 200)}}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s, err := r.Stage(b.Context(), handle.Sandbox.ID, "dev")
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Deliver(b.Context(), files); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "claims/s")
}
