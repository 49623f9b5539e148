package daemon_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// hangs makes every call of an operation for an environment hang.
func (b *bench) hangs(op fake.Op, environment string) *fake.Injection {
	b.t.Helper()
	f := fake.Hang(op, fake.Before)
	f.Times, f.Environment = fake.Always, environment
	return b.inject(f)
}

// impatient makes a destroy slow in no time.
func impatient(c *daemon.Config) { c.SlowAfter = 100 * time.Millisecond }

// TestPromiseHungDestroysHoldNoSlot: however many destroys hang, what others create and destroy goes on.
func TestPromiseHungDestroysHoldNoSlot(t *testing.T) {
	needs(t, "kill", func(can provisioner.Capabilities) bool { return can.Kill })
	b := setup(t, patient, impatient, func(c *daemon.Config) { c.Concurrency = 2 })
	b.world.DisarmKill()
	b.run()
	var hung []fleet.Environment
	for range 6 {
		hung = append(hung, b.untilState(b.acquire().ID, fleet.Leased))
	}
	var met []*fake.Injection
	for _, env := range hung {
		met = append(met, b.hangs(fake.OpDestroy, env.ID))
		if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
			t.Fatal(err)
		}
	}
	for _, in := range met {
		b.reached(in)
	}
	other := b.acquire(func(r *service.Request) { r.Who = stranger })
	b.untilState(other.ID, fleet.Leased)
	if _, err := b.engine.Release(t.Context(), stranger, other.ID); err != nil {
		t.Fatal(err)
	}
	b.untilState(other.ID, fleet.Destroyed)
	for _, env := range hung {
		if row := b.get(env.ID); row.State != fleet.Destroying {
			t.Errorf("%s is %s: the test proves nothing", row.Name, row.State)
		}
	}
	for _, in := range met {
		if err := in.Lift(); err != nil {
			t.Fatal(err)
		}
	}
	for _, env := range hung {
		b.untilState(env.ID, fleet.Destroyed)
	}
	b.nothingLeft()
}

// TestPromiseBlockedDestroyIsKilled: a destroy that does not end has what it is to remove killed from the host.
func TestPromiseBlockedDestroyIsKilled(t *testing.T) {
	needs(t, "kill", func(can provisioner.Capabilities) bool { return can.Kill })
	b := setup(t, patient, impatient).run()
	env, spared := b.untilState(b.acquire().ID, fleet.Leased), b.untilState(b.acquire().ID, fleet.Leased)
	in := b.hangs(fake.OpDestroy, env.ID)
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.reached(in)
	status := func(id string) provisioner.Status {
		s, err := b.world.Runtime().Inspect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	waitUntil(t, "the sandbox is killed", func() bool { return !status(env.SandboxID).Running })
	if err := in.Lift(); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed)
	if !status(spared.SandboxID).Running {
		t.Error("another environment's sandbox was killed")
	}
	if n := b.world.Calls(fake.OpRemove); n != 0 {
		t.Errorf("%d resources were removed by label, though the driver could do it", n)
	}
}

// TestUnansweredDestroyIsTold: where nothing can be killed, the driver does not keep a destroy that its engine does not answer
// for, and people are told.
func TestUnansweredDestroyIsTold(t *testing.T) {
	needs(t, "kill", func(can provisioner.Capabilities) bool { return can.Kill })
	b := setup(t, patient, impatient)
	b.world.DisarmKill()
	b.run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	if c := b.checked("removing"); c.Status != service.OK {
		t.Fatalf("before: %+v", c)
	}
	b.hangs(fake.OpDestroy, env.ID)
	b.hangs(fake.OpInspect, env.ID)
	remove := b.hangs(fake.OpRemove, env.ID)
	b.pass(time.Hour + 3*time.Minute) // the lease ended 3 min ago
	b.reached(remove)                 // without the driver, which hangs
	why, err := b.engine.Why(t.Context(), ann, env.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"lease is over since 3m0s", "cannot be removed yet", "the engine does not answer for it", "on another machine"} {
		if !strings.Contains(why.Cause, want) {
			t.Errorf("why does not say %q: %s", want, why.Cause)
		}
	}
	c := b.checked("removing")
	for _, want := range []string{"more than 30s: 1;", env.Name, "3m0s", "the engine does not answer for it"} {
		if !strings.Contains(c.Message, want) || c.Status != service.Warning {
			t.Errorf("doctor does not say %q: %+v", want, c)
		}
	}
	if err := remove.Lift(); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed)
	b.nothingLeft()
	if c := b.checked("removing"); c.Status != service.OK {
		t.Errorf("afterwards: %+v", c)
	}
}

// TestSlowDestroyIsLeftAlone: a driver that only takes its time, on an engine that answers, is not ended.
func TestSlowDestroyIsLeftAlone(t *testing.T) {
	needs(t, "kill", func(can provisioner.Capabilities) bool { return can.Kill })
	b := setup(t, patient, impatient)
	b.world.DisarmKill()
	b.run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	in := b.hangs(fake.OpDestroy, env.ID)
	before := b.world.Calls(fake.OpInspect)
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.reached(in)
	waitUntil(t, "the engine is asked whether it answers, three times", func() bool { return b.world.Calls(fake.OpInspect) >= before+3 })
	if err := in.Lift(); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed)
	if n := b.world.Calls(fake.OpRemove); n != 0 {
		t.Errorf("%d resources were removed by label: the driver was ended", n)
	}
}

// TestKeptLogIsBounded: of a sandbox that said a lot, the end is kept, within its bounds, and what was cut is told.
func TestKeptLogIsBounded(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	for range 100 {
		if err := b.world.Say(env.SandboxID, strings.Repeat("é", 8<<10), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.world.Say(env.SandboxID, "the last words", true); err != nil {
		t.Fatal(err)
	}
	b.release(env.ID)
	lines, err := b.db.Log(t.Context(), env.ID, 0, time.Time{}, 5000)
	if err != nil {
		t.Fatal(err)
	}
	lines = slices.DeleteFunc(lines, func(l fleet.LogLine) bool { return l.Source != "sandbox" })
	total := 0
	for i, l := range lines {
		total += len(l.Text)
		if len(l.Text) > 4<<10+40 {
			t.Errorf("line %d has %d bytes", i, len(l.Text))
		}
	}
	if total > 257<<10 || total < 200<<10 {
		t.Errorf("%d bytes are kept, want at most 256 KiB and not much less", total)
	}
	if first := lines[0].Text; !strings.Contains(first, "more bytes in") || !strings.Contains(first, "earlier lines were cut") {
		t.Errorf("the first line does not say what was cut: %.80q", first)
	}
	if !strings.Contains(lines[1].Text, "... 12288 more bytes were cut") {
		t.Errorf("a long line does not say what was cut: %q", lines[1].Text[len(lines[1].Text)-60:])
	}
	if last := lines[len(lines)-1].Text; last != "the last words" {
		t.Errorf("the last line is %.80q", last)
	}
}
