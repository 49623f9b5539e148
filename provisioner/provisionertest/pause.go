package provisionertest

import (
	"context"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

var pauseObligations = []inside{
	{"declared or absent", func(t *testing.T, e *environment) {
		if _, is := provisioner.Can[provisioner.Pauser](e.h.Runtime); is != e.h.Capabilities.Pause {
			t.Errorf("the runtime is a Pauser: %v; declared: %v", is, e.h.Capabilities.Pause)
		}
	}},
	{"frozen and thawed, as often as one likes", pausing(testPause)},
	{"a context that has ended", pausing(testPauseCancelled)},
}

var trafficObligations = []inside{
	{"declared or absent", func(t *testing.T, e *environment) {
		if _, is := provisioner.Can[provisioner.Meter](e.h.Runtime); is != e.h.Capabilities.Traffic {
			t.Errorf("the runtime is a Meter: %v; declared: %v", is, e.h.Capabilities.Traffic)
		}
	}},
	{"it never goes back", testTraffic},
	{"nor do the counters of a gauge", testGauge},
	{"what it uses now", testUsage},
}

func pausing(test func(t *testing.T, e *environment, p provisioner.Pauser)) func(t *testing.T, e *environment) {
	return func(t *testing.T, e *environment) {
		if !e.h.Capabilities.Pause {
			t.Log("pausing is declared absent; the first subtest has tested that it is")
			return
		}
		test(t, e, e.h.Runtime.(provisioner.Pauser))
	}
}

// pause freezes a sandbox, and thaws it with the test.
func (e *environment) pause(t *testing.T, p provisioner.Pauser) {
	t.Helper()
	if err := p.Pause(within(t), e.handle.Sandbox.ID); err != nil {
		t.Fatalf("Pause: %v", err)
	}
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), patience) // the test's own has ended
		defer stop()
		if err := p.Unpause(ctx, e.handle.Sandbox.ID); err != nil {
			t.Errorf("clean up: Unpause: %v", err)
		}
	})
}

func (e *environment) wantPaused(t *testing.T, paused bool) {
	t.Helper()
	status, err := e.h.Runtime.Inspect(within(t), e.handle.Sandbox.ID)
	if err != nil || status.Paused != paused || status.Running == paused {
		t.Errorf("Inspect: %+v, error %v; want paused %v, and running when not", status, err, paused)
	}
}

func testPause(t *testing.T, e *environment, p provisioner.Pauser) {
	if err := p.Unpause(within(t), e.handle.Sandbox.ID); err != nil {
		t.Errorf("Unpause of what runs: %v", err)
	}
	e.wantPaused(t, false)
	for range 2 {
		e.pause(t, p)
		e.wantPaused(t, true)
	}
	_, err := e.h.Runtime.Exec(within(t), e.handle.Sandbox.ID, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
	wantClass(t, "Exec in a paused sandbox", err, provisioner.Conflict)
	for range 2 {
		if err := p.Unpause(within(t), e.handle.Sandbox.ID); err != nil {
			t.Errorf("Unpause: %v", err)
		}
		e.wantPaused(t, false)
	}
	e.wantExec(t, 0, "true")
}

func testPauseCancelled(t *testing.T, e *environment, p provisioner.Pauser) {
	ctx, stop := context.WithCancel(within(t))
	stop()
	wantClass(t, "Pause with a context that has ended", p.Pause(ctx, e.handle.Sandbox.ID), provisioner.Cancelled)
	wantClass(t, "Unpause with a context that has ended", p.Unpause(ctx, e.handle.Sandbox.ID), provisioner.Cancelled)
	e.wantPaused(t, false)
}

func testTraffic(t *testing.T, e *environment) {
	if !e.h.Capabilities.Traffic {
		t.Log("traffic is declared absent; the first subtest has tested that it is")
		return
	}
	meter, last := e.h.Runtime.(provisioner.Meter), int64(0)
	for range 2 {
		now, err := meter.Traffic(within(t), e.handle.Sandbox.ID)
		if err != nil || now < last {
			t.Errorf("Traffic: %d bytes after %d, error %v", now, last, err)
		}
		last = now
	}
}

func testGauge(t *testing.T, e *environment) {
	gauge, is := provisioner.Can[provisioner.Gauge](e.h.Runtime)
	if !is {
		t.Log("the runtime is no Gauge")
		return
	}
	cpu, kills := time.Duration(0), int64(-1)
	for range 2 {
		now, err := gauge.CPUTime(within(t), e.handle.Sandbox.ID)
		if err != nil || now < cpu {
			t.Errorf("CPUTime: %s after %s, error %v", now, cpu, err)
		}
		ended, err := gauge.OOMKills(within(t), e.handle.Sandbox.ID)
		if err != nil || ended < kills {
			t.Errorf("OOMKills: %d after %d, error %v", ended, kills, err)
		}
		if refused, err := gauge.ForksRefused(within(t), e.handle.Sandbox.ID); err != nil || refused > 0 {
			t.Errorf("ForksRefused: %d, error %v", refused, err)
		}
		cpu, kills = now, ended
		e.wantExec(t, 0, "true")
	}
}

// testUsage: a sandbox that runs has a process, and nothing that is known is negative or beyond reason; one that is not there has nothing.
func testUsage(t *testing.T, e *environment) {
	surveyor, is := provisioner.Can[provisioner.Surveyor](e.h.Runtime)
	if !is {
		t.Log("the runtime is no Surveyor")
		return
	}
	used, err := surveyor.Usage(within(t), e.handle.Sandbox.ID)
	if err != nil {
		t.Fatalf("Usage: %v", err)
	}
	for what, n := range map[string]float64{"CPUs": used.CPUs, "memory": float64(used.Memory), "processes": float64(used.Pids), "disk": float64(used.Disk)} {
		if n < 0 && n != -1 || n > 1<<50 {
			t.Errorf("%s: %g is neither known nor said not to be", what, n)
		}
	}
	if used.Pids == 0 {
		t.Error("a sandbox that runs has no process")
	}
	_, err = surveyor.Usage(within(t), gone)
	wantClass(t, "Usage of a sandbox that is not there", err, provisioner.NotFound)
}

// testDeliverThawed: a way opened before Pause is good after Unpause.
func testDeliverThawed(t *testing.T, s staged) {
	if !s.h.Capabilities.Pause {
		t.Log("pausing is declared absent")
		return
	}
	p := s.h.Runtime.(provisioner.Pauser)
	way := s.open(t)
	f := provisioner.File{Name: "thawed", Mode: 0o400, Data: []byte("x")}
	s.pause(t, p)
	done := make(chan error, 1)
	ctx := within(t)
	go func() { done <- way.Deliver(ctx, []provisioner.File{f}) }()
	s.wantPaused(t, true)
	select {
	case err := <-done:
		t.Errorf("Deliver into a paused sandbox returned: %v", err)
	default:
	}
	if err := p.Unpause(within(t), s.handle.Sandbox.ID); err != nil {
		t.Fatalf("Unpause: %v", err)
	}
	if err := receive(t, "the end of Deliver", done); err != nil {
		t.Fatalf("Deliver after Unpause: %v", err)
	}
	s.wantFile(t, f)
}

// testStagePaused: nothing can be opened into a paused sandbox, and who waits for one can be called off.
func testStagePaused(t *testing.T, s staged) {
	if !s.h.Capabilities.Pause {
		t.Log("pausing is declared absent")
		return
	}
	p := s.h.Runtime.(provisioner.Pauser)
	called, closed := s.open(t), s.open(t)
	s.pause(t, p)
	_, err := s.Stage(within(t), s.handle.Sandbox.ID, s.h.User)
	wantClass(t, "Stage of a paused sandbox", err, provisioner.Conflict)
	ctx, stop := context.WithCancel(within(t))
	done, given := make(chan error, 1), make(chan error, 1)
	go func() { done <- called.Deliver(ctx, nil) }()
	go func() { given <- closed.Deliver(within(t), nil) }()
	stop()
	wantClass(t, "Deliver that was called off", receive(t, "the end of Deliver", done), provisioner.Cancelled)
	if err := closed.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wantClass(t, "Deliver whose way was closed", receive(t, "the end of Deliver", given), provisioner.NotFound)
	if err := p.Unpause(within(t), s.handle.Sandbox.ID); err != nil {
		t.Fatalf("Unpause: %v", err)
	}
	eventually(t, "the end of the processes inside", func() bool { return s.waiting(t) == 0 })
}
