package daemon_test

import (
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// chargedFor is the time that an environment's entries charge.
func (b *bench) chargedFor(id string) (sum time.Duration) {
	b.t.Helper()
	entries, err := b.db.Entries(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Credit == ledger.AccountCapacity {
			sum += e.Until.Sub(e.From)
		}
	}
	return sum
}

// existed is the time that the provider's events tell of an environment's containers.
func (b *bench) existed(id string) (sum time.Duration) {
	b.t.Helper()
	lives, err := b.world.Lives()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, l := range lives {
		if l.Environment == id {
			sum += l.Until.Sub(l.From)
		}
	}
	return sum
}

// TestNothingIsChargedBetweenTries: what a first try left is removed, and then its image is away for ten minutes. The bill has a gap
// of that time, in the entries, in what is shown and in the receipt.
func TestNothingIsChargedBetweenTries(t *testing.T) {
	b := setup(t, patient).run()
	b.inject(fake.LoseReply(fake.OpCreate))
	away := fake.Hang(fake.OpResolveImage, fake.Before)
	away.Skip = 1
	hang := b.inject(away)
	env := b.acquire(func(r *service.Request) { r.NoPool = true })
	b.until(env.ID, "put off", func(e fleet.Environment) bool { return e.Work.Attempts == 1 && e.Work.Worker == "" })
	b.pass(2 * time.Second)
	b.reached(hang)
	b.pass(10 * time.Minute)
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	env = b.untilState(env.ID, fleet.Leased)
	if got := ledger.Accrued(env, b.clock.Now()); got > 60_000 {
		t.Errorf("it cost %d before it was handed over, a second costs 1000", got)
	}
	b.pass(time.Minute)
	env = b.release(env.ID)
	if got, want := b.chargedFor(env.ID), b.existed(env.ID); (got - want).Abs() > billSlack {
		t.Errorf("charged for %s, its containers existed for %s", got, want)
	}
	if got, want := b.proof(env.ID).CostMicros, ledger.Charge(env.Size.RateMicros, env.BilledFrom, env.BilledFrom.Add(b.chargedFor(env.ID))); got != want {
		t.Errorf("the receipt says %d, the entries %d", got, want)
	}
	b.oracles()
}

// billSlack is how far the clock of a test, which release moves on, may go between an end and its record.
const billSlack = 30 * time.Second

// TestARemovalThatDiedIsChargedUntilItWasSeen: a daemon that removed a sandbox dies before it could say so, and is away for a day.
// Nothing is there when the next one looks, so that day is nobody's to pay.
func TestARemovalThatDiedIsChargedUntilItWasSeen(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.pass(time.Minute)
	hang := b.inject(fake.Hang(fake.OpDestroy, fake.After))
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.reached(hang)
	b.stop()
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	b.pass(24 * time.Hour)
	b.engine = b.newEngine("daemon-1.b", patient)
	b.run()
	b.untilGone(env.ID)
	if got, want := b.chargedFor(env.ID), b.existed(env.ID); (got - want).Abs() > billSlack {
		t.Errorf("charged for %s, its container existed for %s", got, want)
	}
	b.oracles()
}

// TestARemovalIsChargedToItsEnd: what takes long to be removed exists, and is paid for, until it is gone.
func TestARemovalIsChargedToItsEnd(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	hang := b.inject(fake.Hang(fake.OpDestroy, fake.Before))
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.reached(hang)
	b.clock.advance(2 * billSlack)
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	b.untilGone(env.ID)
	if got, want := b.chargedFor(env.ID), b.existed(env.ID); (got - want).Abs() > billSlack {
		t.Errorf("charged for %s, its container existed for %s", got, want)
	}
	b.oracles()
}

// TestASandboxThatVanishedIsChargedUntilItWasSeen: somebody removes a sandbox while no daemon runs.
func TestASandboxThatVanishedIsChargedUntilItWasSeen(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire(func(r *service.Request) { r.TTL = ptr(8 * time.Hour) }).ID, fleet.Leased)
	b.pass(time.Minute)
	noted := b.clock.Now()
	waitUntil(t, "the time of the last plan is noted", func() bool {
		text, err := b.db.Setting(t.Context(), "plan.last")
		return err == nil && text >= noted.Format(time.RFC3339)
	})
	b.stop()
	for _, f := range b.left() {
		if err := b.take(f.ID); err != nil {
			t.Fatal(err)
		}
	}
	b.pass(2 * time.Hour)
	b.engine = b.newEngine("daemon-1.b", patient)
	b.run()
	b.untilGone(env.ID)
	if got, want := b.chargedFor(env.ID), b.existed(env.ID); (got - want).Abs() > billSlack {
		t.Errorf("charged for %s, its container existed for %s", got, want)
	}
	b.oracles()
}

// TestExtendInSmallSteps: 600 extensions of a second hold what one of 600 s holds, and a budget ends them where it ends that.
func TestExtendInSmallSteps(t *testing.T) {
	cheap := testBlueprint(t.TempDir())
	cheap.Sizes[0].RateMicros = 3_000
	b := setup(t, patient, func(c *daemon.Config) { c.Blueprints = shelf{cheap} }).run()
	minute := func(r *service.Request) { r.TTL = ptr(time.Minute) }
	once, steps := b.untilState(b.acquire(minute).ID, fleet.Leased), b.untilState(b.acquire(minute).ID, fleet.Leased)
	once, err := b.engine.Extend(t.Context(), ann, once.ID, 600*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for range 600 {
		if steps, err = b.engine.Extend(t.Context(), ann, steps.ID, time.Second); err != nil {
			t.Fatal(err)
		}
		if most := ledger.AtExpiry(steps, b.clock.Now()); steps.HeldMicros < most {
			t.Fatalf("%d is held for what will cost %d", steps.HeldMicros, most)
		}
	}
	if steps.HeldMicros != once.HeldMicros || steps.HeldMicros != 550 {
		t.Errorf("%d is held in steps, %d at once, want 550", steps.HeldMicros, once.HeldMicros)
	}
	b.limit(fleet.Limits{MicrosPerDay: ptr(int64(1_110))})
	for n := 0; ; n++ {
		_, err := b.engine.Extend(t.Context(), ann, steps.ID, time.Second)
		if err == nil && n < 12 { // the last ten micro-units are twelve seconds
			continue
		}
		wantCode(t, err, fleet.CodeQuota)
		if n != 12 {
			t.Errorf("refused after %d steps, want 12", n)
		}
		break
	}
	brief := func(r *service.Request) { r.TTL = ptr(time.Second) }
	if _, err := b.engine.Acquire(t.Context(), service.Request{Who: ann, TTL: ptr(time.Second)}); fleet.CodeOf(err) != fleet.CodeQuota {
		t.Errorf("a second more: %v, want it refused", err)
	}
	b.limit(fleet.Limits{})
	if env := b.acquire(brief); env.HeldMicros != 1 {
		t.Errorf("a second holds %d, want 1", env.HeldMicros)
	}
	b.oracles()
}

// TestWhatASandboxLeavesIsNotCharged: a sandbox ended by itself, and its volume takes until the next process to be removed.
func TestWhatASandboxLeavesIsNotCharged(t *testing.T) {
	needs(t, "restart", func(can provisioner.Capabilities) bool { return can.Restart })
	b := setup(t, byEvents, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	for _, f := range b.left() {
		if f.ID == env.SandboxID {
			if _, err := b.world.Place(kindData, "data", f.Labels); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.clock.advance(time.Second)
	b.must(b.world.Stop(env.SandboxID, 3, ""))
	b.until(env.ID, "restarted", restarted)
	b.clock.advance(time.Second)
	ended := b.clock.Now()
	b.must(b.world.Stop(env.SandboxID, 3, ""))
	stuck := b.hangs(fake.OpRemove, env.ID)
	b.clock.advance(11 * time.Second)
	b.reached(stuck)
	b.stop()
	b.must(stuck.Lift())
	b.pass(time.Hour)
	b.engine = b.newEngine("daemon-1.b", patient)
	b.run()
	gone := b.untilState(env.ID, fleet.Destroyed)
	if !gone.BilledUntil.Equal(ended) {
		t.Errorf("billed until %s, and it ended at %s", gone.BilledUntil, ended)
	}
	b.oracles()
}
