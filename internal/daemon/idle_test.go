package daemon_test

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// measured waits until the engine has read what sandboxes use, and has noted it.
func (b *bench) measured() {
	b.t.Helper()
	before := b.world.Calls(fake.OpTraffic)
	waitUntil(b.t, "use was measured", func() bool { return b.world.Calls(fake.OpTraffic) >= before+3 })
}

// idle gives a request an idle timeout.
func idle(d time.Duration) func(*service.Request) {
	return func(r *service.Request) { r.Idle = &d }
}

func (b *bench) get(id string) fleet.Environment {
	b.t.Helper()
	env, err := b.db.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	return env
}

func (b *bench) exec(id string, command ...string) error {
	b.t.Helper()
	_, err := b.engine.Exec(b.t.Context(), ann, id, provisioner.ExecRequest{Command: command}, provisioner.Streams{})
	return err
}

// TestIdleEndsTheLease: what nobody uses ends before its time, and says why.
func TestIdleEndsTheLease(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire(idle(10*time.Minute)).ID, fleet.Leased)
	b.pass(10*time.Minute - time.Microsecond)
	if got := b.get(env.ID); got.State != fleet.Leased || got.Lease.Expired(b.clock.Now()) {
		t.Fatalf("a microsecond before it is %s", got.State)
	}
	b.pass(time.Microsecond)
	b.untilState(env.ID, fleet.Destroyed)
}

// TestUseKeepsTheLease: commands, copies and heartbeats each begin the idle time anew.
func TestUseKeepsTheLease(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire(idle(10*time.Minute)).ID, fleet.Leased)
	uses := map[string]func() error{
		"exec": func() error { return b.exec(env.ID, "true") },
		"touch": func() error {
			_, err := b.engine.Touch(t.Context(), ann, env.ID)
			return err
		},
		"copy from": func() error {
			r, err := b.engine.CopyFrom(t.Context(), ann, env.ID, "/workspace", "")
			if err != nil {
				return err
			}
			return r.Close()
		},
	}
	for name, use := range uses {
		b.pass(9 * time.Minute)
		if err := use(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := b.get(env.ID).Lease.ActiveAt; !got.Equal(b.clock.Now()) {
			t.Fatalf("after %s it was last used at %s, want %s", name, got, b.clock.Now())
		}
	}
	_, err := b.engine.Touch(t.Context(), stranger, env.ID)
	wantCode(t, err, fleet.CodeNotFound)
	b.release(env.ID)
	_, err = b.engine.Touch(t.Context(), ann, env.ID)
	wantCode(t, err, fleet.CodeConflict)
}

// TestUseIsWrittenSeldom: many uses in a short time are one write, and use of what has no idle timeout none.
func TestUseIsWrittenSeldom(t *testing.T) {
	b := setup(t, patient, slowSweeps).run()
	env := b.untilState(b.acquire(idle(10*time.Minute)).ID, fleet.Leased)
	plain := b.untilState(b.acquire().ID, fleet.Leased)
	b.pass(time.Minute)
	for range 50 {
		b.clock.advance(time.Millisecond)
		for _, id := range []string{env.ID, plain.ID} {
			if err := b.exec(id, "true"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if wrote := b.get(env.ID).Revision - env.Revision; wrote != 1 {
		t.Errorf("50 uses within a moment were %d writes, want 1", wrote)
	}
	if wrote := b.get(plain.ID).Revision - plain.Revision; wrote != 0 {
		t.Errorf("uses of what is never idle were %d writes, want none", wrote)
	}
	b.pass(30 * time.Second) // a twentieth of ten minutes
	if err := b.exec(env.ID, "true"); err != nil {
		t.Fatal(err)
	}
	if wrote := b.get(env.ID).Revision - env.Revision; wrote != 2 {
		t.Errorf("%d writes after half a minute more, want 2", wrote)
	}
}

// TestLongCommandKeepsTheLease: while a command runs its environment is in use, however quiet it is.
func TestLongCommandKeepsTheLease(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire(idle(time.Minute)).ID, fleet.Leased)
	hang := b.inject(fake.Hang(fake.OpExec, fake.Before))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.engine.Exec(ctx, ann, env.ID, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
		done <- err
	}()
	b.reached(hang)
	for range 10 {
		b.pass(20 * time.Second)
		waitUntil(t, "its use is noted", func() bool { return b.get(env.ID).Lease.ActiveAt.Equal(b.clock.Now()) })
	}
	if got := b.get(env.ID); got.State != fleet.Leased {
		t.Fatalf("it is %s in the middle of a command", got.State)
	}
	cancel()
	if err := <-done; err == nil {
		t.Error("the command did not end")
	}
	b.pass(time.Minute)
	b.untilState(env.ID, fleet.Destroyed)
}

// TestSlowCopyOutKeepsTheLease: until who reads a copy closes it, the environment is in use, however slowly that one reads.
func TestSlowCopyOutKeepsTheLease(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire(idle(time.Minute)).ID, fleet.Leased)
	r, err := b.engine.CopyFrom(t.Context(), ann, env.ID, "/workspace", "")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		b.pass(20 * time.Second)
		waitUntil(t, "its use is noted", func() bool { return b.get(env.ID).Lease.ActiveAt.Equal(b.clock.Now()) })
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	for range 2 { // as the API does when its caller leaves
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b.pass(time.Minute)
	b.untilState(env.ID, fleet.Destroyed)
}

// TestTrafficKeepsTheLease: bytes over its network are use, a few of them are not.
func TestTrafficKeepsTheLease(t *testing.T) {
	needs(t, "traffic", func(can provisioner.Capabilities) bool { return can.Traffic })
	b := setup(t, patient).run()
	env := b.untilState(b.acquire(idle(time.Minute)).ID, fleet.Leased)
	b.measured() // the first reading tells nothing
	b.pass(40 * time.Second)
	if err := b.world.AddTraffic(env.SandboxID, 10<<10); err != nil {
		t.Fatal(err)
	}
	b.measured()
	if at := b.get(env.ID).Lease.ActiveAt; at.Equal(b.clock.Now()) {
		t.Error("10 KiB counted as use")
	}
	if err := b.world.AddTraffic(env.SandboxID, 10<<10+1); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "traffic is noted", func() bool { return b.get(env.ID).Lease.ActiveAt.Equal(b.clock.Now()) })
	b.pass(59 * time.Second)
	b.measured()
	if got := b.get(env.ID); got.State != fleet.Leased {
		t.Errorf("it is %s 59 s after its last traffic", got.State)
	}
	b.pass(time.Second)
	b.untilState(env.ID, fleet.Destroyed)
}

// TestWorkKeepsTheLease: processor time is use, of a job that nobody waits for as well; what a waiting daemon takes is not.
func TestWorkKeepsTheLease(t *testing.T) {
	needs(t, "counters", func(can provisioner.Capabilities) bool { return can.Counters })
	b := setup(t, patient).run()
	env := b.untilState(b.acquire(idle(time.Minute)).ID, fleet.Leased)
	work := func(d time.Duration) {
		t.Helper()
		if err := b.world.AddCPU(env.SandboxID, d); err != nil {
			t.Fatal(err)
		}
	}
	b.measured() // the first reading tells nothing
	b.pass(40 * time.Second)
	work(500 * time.Millisecond)
	b.measured()
	if at := b.get(env.ID).Lease.ActiveAt; at.Equal(b.clock.Now()) {
		t.Error("half a second of processor time in 40 s counted as use")
	}
	work(3 * time.Second)
	waitUntil(t, "work is noted", func() bool { return b.get(env.ID).Lease.ActiveAt.Equal(b.clock.Now()) })
	b.pass(59 * time.Second)
	b.measured()
	if got := b.get(env.ID); got.State != fleet.Leased {
		t.Errorf("it is %s 59 s after its last work", got.State)
	}
	b.pass(time.Second)
	b.untilState(env.ID, fleet.Destroyed)
}

// TestWorkKeepsABriefLease: where the idle time is shorter than a few sweeps, what a command left at work is use all the same.
func TestWorkKeepsABriefLease(t *testing.T) {
	needs(t, "counters", func(can provisioner.Capabilities) bool { return can.Counters })
	b := setup(t, patient, slowSweeps).run()
	env := b.untilState(b.acquire(idle(30*time.Second)).ID, fleet.Leased)
	if err := b.exec(env.ID, "true"); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		b.pass(20 * time.Second)
		waitUntil(t, "work is noted", func() bool {
			if err := b.world.AddCPU(env.SandboxID, 30*time.Second); err != nil {
				t.Fatal(err)
			}
			return b.get(env.ID).Lease.ActiveAt.Equal(b.clock.Now())
		})
	}
	if got := b.get(env.ID); got.State != fleet.Leased {
		t.Errorf("it is %s while it works", got.State)
	}
}

// TestTrafficIsReadSideBySide: a sandbox whose traffic is slow to be told keeps no other one's from being read.
func TestTrafficIsReadSideBySide(t *testing.T) {
	needs(t, "traffic", func(can provisioner.Capabilities) bool { return can.Traffic })
	b := setup(t, patient).run()
	var met []*fake.Injection
	for range 8 {
		env := b.untilState(b.acquire(idle(time.Minute)).ID, fleet.Leased)
		met = append(met, b.hangs(fake.OpTraffic, env.ID))
	}
	for _, in := range met {
		b.reached(in)
	}
	for _, in := range met {
		if err := in.Lift(); err != nil {
			t.Fatal(err)
		}
	}
}
