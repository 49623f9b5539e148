package daemon_test

import (
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// running begins a command that lasts, and gives how it is sent KILL and how it ended.
func (b *bench) running(env fleet.Environment) (kill func(), ended func() fleet.ExecEnd) {
	b.t.Helper()
	signals, done := make(chan string, 1), make(chan fleet.ExecEnd, 1)
	go func() {
		end, err := b.engine.Exec(b.t.Context(), ann, env.ID, provisioner.ExecRequest{Command: []string{"sleep", "infinity"}}, provisioner.Streams{Signals: signals})
		if err != nil {
			b.t.Errorf("what ends with its environment is no error: %v", err)
		}
		done <- end
	}()
	waitUntil(b.t, "the command runs", func() bool { return len(b.world.Processes(env.SandboxID)) == 1 })
	return func() { signals <- "KILL" }, func() fleet.ExecEnd {
		b.t.Helper()
		select {
		case end := <-done:
			return end
		case <-time.After(2 * time.Minute):
			b.t.Fatal("the command does not end")
			return fleet.ExecEnd{}
		}
	}
}

// TestExecEndHasItsCause: a command that ends with 137 says whether its lease ended, somebody deleted the environment, its
// sandbox stopped, it ran out of memory, or something inside killed it.
func TestExecEndHasItsCause(t *testing.T) {
	needs(t, "counters", func(can provisioner.Capabilities) bool { return can.Counters })
	for name, c := range map[string]struct {
		happens func(b *bench, env fleet.Environment, kill func())
		want    fleet.EndCause
	}{
		"killed inside": {func(_ *bench, _ fleet.Environment, kill func()) { kill() }, fleet.EndedKilled},
		"out of memory": {func(b *bench, env fleet.Environment, kill func()) {
			if err := b.world.AddOOMKill(env.SandboxID); err != nil {
				b.t.Fatal(err)
			}
			kill()
		}, fleet.EndedOutOfMemory},
		"lease ended": {func(b *bench, env fleet.Environment, _ func()) { b.pass(time.Hour); b.untilGone(env.ID) }, fleet.EndedExpired},
		"released":    {func(b *bench, env fleet.Environment, _ func()) { b.release(env.ID) }, fleet.EndedReleased},
		"stopped": {func(b *bench, env fleet.Environment, _ func()) {
			if err := b.world.Stop(env.SandboxID, 1, "somebody stopped it"); err != nil {
				b.t.Fatal(err)
			}
		}, fleet.EndedStopped},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, slowSweeps).run()
			env := b.untilState(b.acquire().ID, fleet.Leased)
			kill, ended := b.running(env)
			c.happens(b, env, kill)
			end := ended()
			if end.Cause != c.want || end.Code != 137 {
				t.Errorf("got cause %q, code %d; want %q, 137", end.Cause, end.Code, c.want)
			}
			if end.Cause == fleet.EndedReleased && end.By != ann.User {
				t.Errorf("released by %q, want %q", end.By, ann.User)
			}
			if end.Cause == fleet.EndedOutOfMemory && (end.Killed != 1 || end.Size.MemoryMiB != 1024) {
				t.Errorf("%+v does not say how many, and of how much memory", end)
			}
		})
	}
}

// TestExecEndAtTheProcessLimit: a command that fails in a sandbox that was refused a process meanwhile says so; one that was
// killed says that.
func TestExecEndAtTheProcessLimit(t *testing.T) {
	needs(t, "counters", func(can provisioner.Capabilities) bool { return can.Counters })
	b := setup(t, slowSweeps).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	for signal, want := range map[string]fleet.EndCause{"TERM": fleet.EndedProcesses, "KILL": fleet.EndedKilled} {
		signals, done := make(chan string), make(chan fleet.ExecEnd, 1)
		go func() {
			end, err := b.engine.Exec(t.Context(), ann, env.ID, provisioner.ExecRequest{Command: []string{"sleep", "infinity"}}, provisioner.Streams{Signals: signals})
			if err != nil {
				t.Error(err)
			}
			done <- end
		}()
		waitUntil(t, "the command runs", func() bool { return len(b.world.Processes(env.SandboxID)) == 1 })
		if err := b.world.AddForkRefused(env.SandboxID); err != nil {
			t.Fatal(err)
		}
		signals <- signal
		if end := <-done; end.Cause != want || end.Size.Pids == 0 {
			t.Errorf("%s: %+v, want cause %q", signal, end, want)
		}
	}
}

// TestExecEndOOMOfAChild: a command that goes on when a child of its ran out of memory, and fails, says so, too. The record
// of one environment tells it a few times.
func TestExecEndOOMOfAChild(t *testing.T) {
	needs(t, "counters", func(can provisioner.Capabilities) bool { return can.Counters })
	b := setup(t, slowSweeps).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	for range 5 {
		signals, done := make(chan string), make(chan fleet.ExecEnd, 1)
		go func() {
			end, err := b.engine.Exec(t.Context(), ann, env.ID, provisioner.ExecRequest{Command: []string{"sleep", "infinity"}}, provisioner.Streams{Signals: signals})
			if err != nil {
				t.Error(err)
			}
			done <- end
		}()
		waitUntil(t, "the command runs", func() bool { return len(b.world.Processes(env.SandboxID)) == 1 })
		if err := b.world.AddOOMKill(env.SandboxID); err != nil {
			t.Fatal(err)
		}
		signals <- "TERM"
		if end := <-done; end.Code != 143 || end.Cause != fleet.EndedOutOfMemory {
			t.Fatalf("%+v", end)
		}
	}
	if n := b.recorded("environment.oom"); n != 3 {
		t.Errorf("%d events tell of a want of memory, want 3", n)
	}
}
