package daemon_test

import (
	"fmt"
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

// unending keeps workers from losing their work when the clock jumps.
func unending(c *daemon.Config) { c.WorkLease = 1000 * time.Hour }

func away(op fake.Op, sentence string) fake.Fault {
	f := fake.FailBefore(op, provisioner.Transient, sentence)
	f.Fail.Unavailable, f.Times = true, fake.Always
	return f
}

// putOff waits until an environment's next try is put off, and gives for how long.
func (b *bench) putOff(id string) time.Duration {
	b.t.Helper()
	var wait time.Duration
	waitUntil(b.t, "its next try is put off", func() bool {
		row := b.get(id)
		wait = row.Work.NotBefore.Sub(b.clock.Now())
		return row.Work.Worker == "" && wait > 0
	})
	return wait
}

func (b *bench) checked(name string) service.Check {
	b.t.Helper()
	all := b.engine.CheckNow(b.t.Context())
	i := slices.IndexFunc(all, func(c service.Check) bool { return c.Name == name })
	if i < 0 {
		b.t.Fatalf("there is no check %s in %+v", name, all)
	}
	return all[i]
}

// TestRetriesOfWhatIsAwayBackOff: the wait doubles, nothing is told twice, and how often it was tried is known.
func TestRetriesOfWhatIsAwayBackOff(t *testing.T) {
	b := setup(t, unending).run()
	b.inject(away(fake.OpCreate, "port 4000 does not answer"))
	env := b.acquire()
	var events string
	for i, want := range []time.Duration{2, 4, 8, 16, 30, 30} {
		got := b.putOff(env.ID)
		if got != want*time.Second {
			t.Errorf("after try %d the next is put off for %s, want %s", i+1, got, want*time.Second)
		}
		switch told := b.events(env.ID); {
		case i == 0:
			events = told
		case told != events:
			t.Errorf("try %d told again:\n%s\nafter\n%s", i+1, told, events)
		}
		b.clock.advance(got)
	}
	b.putOff(env.ID)
	why, err := b.engine.Why(t.Context(), ann, env.ID)
	if err != nil || !strings.Contains(why.Cause, "try 8: port 4000 does not answer") || !strings.Contains(why.Next, "bothy doctor") {
		t.Errorf("why says %q, next %q, %v", why.Cause, why.Next, err)
	}
	if row := b.get(env.ID); row.Work.Attempts != 0 || service.FailedTries(row) != 7 {
		t.Errorf("attempts %d, failed tries %d; want 0 that cost it something of 7", row.Work.Attempts, service.FailedTries(row))
	}
	lines, err := b.db.Log(t.Context(), env.ID, 0, time.Time{}, 100)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	for _, l := range lines {
		if told[l.Text]++; told[l.Text] > 1 {
			t.Errorf("the log says %q %d times", l.Text, told[l.Text])
		}
	}
}

// TestNumbersMakeNoOtherCause: a sentence with another port in it is the same cause, another sentence is told.
func TestNumbersMakeNoOtherCause(t *testing.T) {
	b := setup(t, unending).run()
	for _, sentence := range []string{"port 4000 does not answer", "port 4001 does not answer", "no such host"} {
		once := away(fake.OpCreate, sentence)
		once.Times = 1
		b.inject(once)
	}
	env := b.acquire()
	for range 3 {
		b.clock.advance(b.putOff(env.ID))
	}
	b.untilState(env.ID, fleet.Leased)
	told := b.events(env.ID)
	if n := strings.Count(told, "does not answer"); n != 1 || strings.Count(told, "no such host") != 1 {
		t.Errorf("the first cause is told %d times, want 1, and the second once:\n%s", n, told)
	}
	if strings.Count(told, "ready after") != 1 {
		t.Errorf("it does not say that it is ready:\n%s", told)
	}
}

// TestTriedAtOnceWhenTheHostIsBack: however long the next try was put off.
func TestTriedAtOnceWhenTheHostIsBack(t *testing.T) {
	b := setup(t, unending).run()
	in := b.inject(away(fake.OpCreate, "the engine went away"))
	env := b.acquire()
	for range 4 {
		b.clock.advance(b.putOff(env.ID))
	}
	if wait := b.putOff(env.ID); wait != 30*time.Second {
		t.Fatalf("the next try is put off for %s, want 30s", wait)
	}
	if err := in.Lift(); err != nil {
		t.Fatal(err)
	}
	if err := b.world.SetAvailable(false); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(11 * time.Second) // what was found of the host is not believed any more
	down := func(want bool) func() bool {
		return func() bool {
			b.engine.LookAtHosts()
			hosts, err := b.db.Hosts(t.Context())
			return err == nil && (hosts[0].Down != "") == want
		}
	}
	waitUntil(t, "the host is down", down(true))
	if err := b.world.SetAvailable(true); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(3 * time.Second)
	b.untilState(env.ID, fleet.Leased)
	waitUntil(t, "the host is up", down(false))
}

// TestTriedAtOnceAfterARestart: a new process does not wait for what the one before it found.
func TestTriedAtOnceAfterARestart(t *testing.T) {
	b := setup(t, unending).run()
	in := b.inject(away(fake.OpCreate, "the engine went away"))
	env := b.acquire()
	for range 4 {
		b.clock.advance(b.putOff(env.ID))
	}
	b.putOff(env.ID)
	b.stop()
	if err := in.Lift(); err != nil {
		t.Fatal(err)
	}
	b.engine = b.newEngine("daemon-1.b", unending)
	b.run()
	b.untilState(env.ID, fleet.Leased)
}

// TestDestroyedWithoutTerraform: a provider that cannot be had keeps nothing alive, as the engine can be asked itself.
func TestDestroyedWithoutTerraform(t *testing.T) {
	b := setup(t, unending).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.inject(away(fake.OpDestroy, "the provider cannot be had"))
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	var waited time.Duration
	for range 6 {
		wait := b.putOff(env.ID)
		if !b.there(env.SandboxID) {
			t.Fatalf("after %s it is gone, and Terraform was not waited for", waited)
		}
		waited += wait
		b.clock.advance(wait)
	}
	b.untilGone(env.ID)
	b.nothingLeft()
	if waited != 90*time.Second || !lists(b.proof(env.ID), kindSandbox, env.SandboxID) {
		t.Errorf("waited %s, and the receipt says %+v", waited, b.proof(env.ID))
	}
}

// TestUnpreparedDestroyGoesByLabel: a driver that would have to fetch a provider first is not waited for, not once.
func TestUnpreparedDestroyGoesByLabel(t *testing.T) {
	b := setup(t, unending).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	fault := away(fake.OpDestroy, "the provider cannot be had")
	fault.Fail.Unprepared = true
	b.inject(fault)
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed) // with a clock that stands still, so that no other try is due
	b.nothingLeft()
}

// TestRemovingIsTold: doctor has a row of what is to go, and of leases that are over and that nothing ends.
func TestRemovingIsTold(t *testing.T) {
	b := setup(t, patient).run()
	if c := b.checked("removing"); c.Status != service.OK || !strings.Contains(c.Message, "nothing is being deleted") {
		t.Errorf("at rest: %+v", c)
	}
	env := b.untilState(b.acquire().ID, fleet.Leased)
	held := b.hangs(fake.OpDestroy, env.ID)
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.reached(held)
	if c := b.checked("removing"); c.Status != service.OK || !strings.Contains(c.Message, "being deleted: 1") {
		t.Errorf("one is going: %+v", c)
	}
	if err := held.Lift(); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed)

	over := b.untilState(b.acquire().ID, fleet.Leased)
	b.stop()
	b.clock.advance(over.Lease.TTL + time.Minute)
	c := b.checked("removing")
	if c.Status != service.Warning || !strings.Contains(c.Message, "over for more than 30s and are not ended: 1;") ||
		!strings.Contains(c.Message, over.Name) || !strings.Contains(c.Hint, "bothy why "+over.Name) {
		t.Errorf("a lease is over: %+v", c)
	}
}

// TestBlueprintNotReady: a provider that cannot be had is told by the checks, tried again by itself, and waited for.
func TestBlueprintNotReady(t *testing.T) {
	b := setup(t, unending)
	in := b.inject(away(fake.OpPrepare, "the registry does not answer"))
	b.run()
	waitUntil(t, "the check tells it", func() bool { return b.checked("blueprints").Status == service.Down })
	c := b.checked("blueprints")
	if c.Message != "blueprint build@1.0.0 is not ready on host local, after 1 try: the registry does not answer" || c.Hint == "" {
		t.Errorf("the check says %+v", c)
	}
	env := b.acquire()
	for tries := 2; tries <= 5; tries++ {
		b.clock.advance(b.putOff(env.ID))
		waitUntil(t, "the blueprint is tried again", func() bool {
			return strings.Contains(b.checked("blueprints").Message, fmt.Sprintf("after %d tries", tries))
		})
	}
	if row := b.get(env.ID); row.State != fleet.Provisioning || !strings.HasSuffix(row.Reason, "the registry does not answer") {
		t.Errorf("it is %s: %s", row.State, row.Reason)
	}
	if wait := b.putOff(env.ID); wait != 30*time.Second {
		t.Errorf("the next try is put off for %s, want 30s", wait)
	}
	if err := in.Lift(); err != nil {
		t.Fatal(err)
	}
	// A first request has it tried at once, though its next try is half a minute off, and all go on.
	b.clock.advance(3 * time.Second)
	other := b.acquire(func(r *service.Request) { r.Name = "other" })
	b.untilState(other.ID, fleet.Leased)
	b.untilState(env.ID, fleet.Leased)
	if c := b.checked("blueprints"); c.Status != service.OK {
		t.Errorf("the check says %+v", c)
	}
}

// TestBlueprintAtFault: one that cannot be made ready is a warning, and its request fails with the cause.
func TestBlueprintAtFault(t *testing.T) {
	b := setup(t, unending)
	fault := fake.FailBefore(fake.OpPrepare, provisioner.Permanent, "main.tf:3: no")
	fault.Times = fake.Always
	b.inject(fault)
	b.run()
	waitUntil(t, "the check tells it", func() bool { return b.checked("blueprints").Status == service.Warning })
	env := b.untilState(b.acquire().ID, fleet.Destroyed)
	if env.Failure == nil || env.Failure.Sentence != "main.tf:3: no" {
		t.Errorf("failure %+v", env.Failure)
	}
}

// TestFullPoolOfNetworksIsWaitedFor: a request for which there is no free network waits, says for what, and is made once
// there is one, however often it was tried.
func TestFullPoolOfNetworksIsWaitedFor(t *testing.T) {
	needs(t, "networks", func(can provisioner.Capabilities) bool { return can.Networks })
	b := setup(t, unending).run()
	full := fake.FailBefore(fake.OpReserve, provisioner.Quota, "no free network: 4 of 4 in the pool 172.30.0.0/26 are in use")
	full.Fail.Unavailable, full.Times = true, 5
	b.inject(full)
	env := b.acquire()
	for range 5 {
		wait := b.putOff(env.ID)
		why, err := b.engine.Why(t.Context(), ann, env.ID)
		if err != nil || !strings.Contains(why.Cause, "no free network: 4 of 4") || !strings.Contains(why.Next, "it continues by itself") {
			t.Errorf("why says %q, next %q, %v", why.Cause, why.Next, err)
		}
		b.clock.advance(wait)
	}
	waitUntil(t, "it is made", func() bool { return b.get(env.ID).State == fleet.Leased })
}
