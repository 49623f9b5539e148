package daemon_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// byEvents makes an engine whose sweeps are too seldom to notice anything: what its runtime tells must do.
func byEvents(c *daemon.Config) {
	brisk(c)
	c.SweepEvery = time.Hour
}

// noticing are the two ways in which what becomes of a sandbox is noticed.
var noticing = map[string]func(*daemon.Config){
	"told": byEvents,
	"swept": func(c *daemon.Config) {
		brisk(c)
		c.SweepEvery = 30 * time.Millisecond
	},
}

func eachNoticing(t *testing.T, test func(t *testing.T, b *bench)) {
	for name, change := range noticing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, change)
			if name == "swept" {
				b.world.SetSilent(true)
			}
			b.run()
			test(t, b)
		})
	}
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// kinds are the kinds of an environment's events, in order.
func (b *bench) kinds(id string) (kinds []string) {
	b.t.Helper()
	events, err := b.db.Events(b.t.Context(), id, 0, store.MaxLimit)
	b.must(err)
	for _, ev := range events {
		kinds = append(kinds, ev.Kind)
	}
	return kinds
}

func restarted(env fleet.Environment) bool {
	return env.State == fleet.Leased && strings.Contains(env.Reason, "was restarted")
}

// TestEndedLeaseIsStartedAgain: a leased sandbox that somebody stopped runs again, its files are there, and its holder reads
// what was lost.
func TestEndedLeaseIsStartedAgain(t *testing.T) {
	needs(t, "restart", func(can provisioner.Capabilities) bool { return can.Restart })
	eachNoticing(t, func(t *testing.T, b *bench) {
		env := b.untilState(b.acquire(func(r *service.Request) { r.Secrets = map[string][]byte{"token": []byte("x")} }).ID, fleet.Leased)
		b.clock.advance(time.Minute)
		b.must(b.world.Stop(env.SandboxID, 137, ""))
		got := b.until(env.ID, "restarted", restarted)
		if len(got.SecretNames) != 0 || !strings.Contains(got.Reason, "exit code 137") || !strings.Contains(got.Reason, "secrets are gone (token)") {
			t.Errorf("secrets %v, reason %q", got.SecretNames, got.Reason)
		}
		if status, err := b.world.Runtime().Inspect(t.Context(), env.SandboxID); err != nil || !status.Running {
			t.Errorf("the sandbox: %+v, %v", status, err)
		}
		if kinds := b.kinds(env.ID); !slices.Contains(kinds, "environment.restarted") {
			t.Errorf("events %v", kinds)
		}
		why, err := b.engine.Why(t.Context(), ann, env.ID)
		if err != nil || !strings.Contains(why.Cause, "secrets are gone") {
			t.Errorf("why: %q, %v", why.Cause, err)
		}
		if c := b.check("sandboxes"); c.Status != service.Warning || !strings.Contains(c.Message, env.Name) || c.Hint == "" {
			t.Errorf("doctor: %+v", c)
		}
	})
}

// TestRestartIsNoticed: a sandbox that somebody restarted runs, and yet its secrets are gone.
func TestRestartIsNoticed(t *testing.T) {
	needs(t, "restart", func(can provisioner.Capabilities) bool { return can.Restart })
	t.Parallel()
	b := setup(t, byEvents).run()
	env := b.untilState(b.acquire(func(r *service.Request) { r.Secrets = map[string][]byte{"token": []byte("x")} }).ID, fleet.Leased)
	b.clock.advance(time.Minute)
	b.must(b.world.RestartOutside(env.SandboxID))
	got := b.until(env.ID, "restarted", restarted)
	if len(got.SecretNames) != 0 || !strings.Contains(got.Reason, "somebody restarted it") {
		t.Errorf("secrets %v, reason %q", got.SecretNames, got.Reason)
	}
	if n := b.count(env.ID, "environment.restarted"); n != 1 {
		t.Errorf("%d events tell of it, want 1", n)
	}
}

func (b *bench) count(id, kind string) (n int) {
	b.t.Helper()
	for _, k := range b.kinds(id) {
		if k == kind {
			n++
		}
	}
	return n
}

// TestRestartWhileDown: what happened while no daemon ran is noticed when one starts.
func TestRestartWhileDown(t *testing.T) {
	needs(t, "restart", func(can provisioner.Capabilities) bool { return can.Restart })
	t.Parallel()
	b := setup(t, byEvents).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.stop()
	b.clock.advance(time.Minute)
	b.must(b.world.RestartOutside(env.SandboxID))
	b.engine = b.newEngine("daemon-1.b", byEvents)
	b.run()
	b.until(env.ID, "restarted", restarted)
}

// TestNetworkLost: a sandbox whose network's holder ended gets it back.
func TestNetworkLost(t *testing.T) {
	needs(t, "networks", func(can provisioner.Capabilities) bool { return can.Networks })
	t.Parallel()
	b := setup(t, byEvents).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.clock.advance(time.Minute)
	b.must(b.world.CutNetwork(env.SandboxID))
	got := b.until(env.ID, "restarted", restarted)
	if !strings.Contains(got.Reason, "its network ended") {
		t.Errorf("reason %q", got.Reason)
	}
	if off, err := b.world.Runtime().OffNetwork(t.Context(), env.SandboxID); err != nil || off {
		t.Errorf("off its network: %v, %v", off, err)
	}
	if n := b.count(env.ID, "holder.restarted"); n != 1 {
		t.Errorf("%d events tell of it, want 1", n)
	}
}

// TestEndsAtOnce: what ends as soon as it is started is not started for ever: its lease fails, and its bill ends when it ended.
func TestEndsAtOnce(t *testing.T) {
	needs(t, "restart", func(can provisioner.Capabilities) bool { return can.Restart })
	eachNoticing(t, func(t *testing.T, b *bench) {
		env := b.untilState(b.acquire().ID, fleet.Leased)
		b.clock.advance(time.Second)
		ended := b.clock.Now()
		b.must(b.world.Stop(env.SandboxID, 3, ""))
		b.until(env.ID, "restarted", restarted)
		b.must(b.world.Stop(env.SandboxID, 3, ""))
		b.clock.advance(11 * time.Second)
		gone := b.untilState(env.ID, fleet.Destroyed)
		if gone.Failure == nil || !strings.Contains(gone.Failure.Sentence, "exit code 3") || gone.Failure.Hint == "" {
			t.Errorf("failure %+v", gone.Failure)
		}
		if !gone.BilledUntil.Equal(ended) {
			t.Errorf("billed until %s, and it ended at %s", gone.BilledUntil, ended)
		}
		b.nothingLeft()
	})
}

// TestRestartSeenHalfway: a sandbox that somebody restarts soon after bothy did, and that is seen between its end and its start,
// is not taken for one that ends by itself.
func TestRestartSeenHalfway(t *testing.T) {
	needs(t, "restart", func(can provisioner.Capabilities) bool { return can.Restart })
	eachNoticing(t, func(t *testing.T, b *bench) {
		env := b.untilState(b.acquire().ID, fleet.Leased)
		b.clock.advance(time.Second)
		b.must(b.world.Stop(env.SandboxID, 137, ""))
		b.until(env.ID, "restarted", restarted)
		b.clock.advance(time.Second)
		b.must(b.world.Stop(env.SandboxID, 137, ""))
		looked := b.world.Calls(fake.OpInspect)
		waitUntil(t, "it is looked at", func() bool { return b.world.Calls(fake.OpInspect) > looked })
		b.must(b.world.RestartOutside(env.SandboxID))
		b.until(env.ID, "restarted again", func(env fleet.Environment) bool { return b.count(env.ID, "environment.restarted") == 2 })
		if got := b.until(env.ID, "leased", restarted); !strings.Contains(got.Reason, "somebody restarted it") {
			t.Errorf("reason %q", got.Reason)
		}
	})
}

// TestBillEndsWithTheSandbox: the time after a sandbox's end is not paid for, however late that is noticed.
func TestBillEndsWithTheSandbox(t *testing.T) {
	needs(t, "restart", func(can provisioner.Capabilities) bool { return can.Restart })
	t.Parallel()
	b := setup(t, byEvents).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.clock.advance(2 * time.Second)
	b.must(b.world.Stop(env.SandboxID, 1, ""))
	b.until(env.ID, "restarted", restarted)
	b.stop()
	b.clock.advance(3 * time.Second)
	b.must(b.world.Stop(env.SandboxID, 1, ""))
	b.clock.advance(20 * time.Second)
	b.engine = b.newEngine("daemon-1.b", byEvents)
	b.run()
	gone := b.untilState(env.ID, fleet.Destroyed)
	entries, err := b.db.Entries(t.Context(), env.ID)
	b.must(err)
	var paid time.Duration
	for _, e := range entries {
		if e.Debit == ledger.AccountLeased || e.Debit == ledger.AccountFailed || e.Debit == ledger.AccountDestroying {
			paid += e.Until.Sub(e.From)
		}
	}
	if paid != 5*time.Second || gone.BilledUntil.Sub(env.Lease.Start) != 5*time.Second {
		t.Errorf("%s are paid for, until %s; the sandbox lived for 5s from %s", paid, gone.BilledUntil, env.Lease.Start)
	}
}

// TestWarmMemberThatEnded: a pool replaces a member that stopped, was restarted or lost its network, before anybody claims it.
func TestWarmMemberThatEnded(t *testing.T) {
	needs(t, "networks", func(can provisioner.Capabilities) bool { return can.Networks })
	needs(t, "restart", func(can provisioner.Capabilities) bool { return can.Restart })
	for name, befall := range map[string]func(*bench, string) error{
		"stopped":     func(b *bench, id string) error { return b.world.Stop(id, 137, "") },
		"restarted":   func(b *bench, id string) error { return b.world.RestartOutside(id) },
		"network cut": func(b *bench, id string) error { return b.world.CutNetwork(id) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, byEvents).run()
			b.pool("builders", 1)
			before := b.untilWarm(1)[0]
			b.clock.advance(time.Minute)
			b.must(befall(b, before.SandboxID))
			b.untilState(before.ID, fleet.Destroyed)
			if after := b.untilWarm(1)[0]; after.ID == before.ID {
				t.Error("it was not replaced")
			}
			if b.count(before.ID, "environment.ended")+b.count(before.ID, "environment.restarted") != 1 {
				t.Errorf("events %v", b.kinds(before.ID))
			}
		})
	}
}

// TestPausedLeaseIsThawed: a lease whose sandbox somebody froze is of use again.
func TestPausedLeaseIsThawed(t *testing.T) {
	needs(t, "pause", func(can provisioner.Capabilities) bool { return can.Pause })
	t.Parallel()
	b := setup(t, byEvents).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.must(b.world.Runtime().Pause(t.Context(), env.SandboxID))
	waitUntil(t, "it is thawed", func() bool {
		status, err := b.world.Runtime().Inspect(t.Context(), env.SandboxID)
		return err == nil && status.Running && b.count(env.ID, "environment.thawed") == 1
	})
}

// TestExpiredIsNotStarted: a sandbox that ended is not started again once its lease is over.
func TestExpiredIsNotStarted(t *testing.T) {
	t.Parallel()
	b := setup(t, byEvents).run()
	env := b.untilState(b.acquire(func(r *service.Request) { ttl := time.Minute; r.TTL = &ttl }).ID, fleet.Leased)
	b.stop()
	b.clock.advance(2 * time.Minute)
	b.must(b.world.Stop(env.SandboxID, 137, ""))
	b.engine = b.newEngine("daemon-1.b", byEvents)
	b.run()
	b.untilState(env.ID, fleet.Destroyed)
	if n := b.world.Calls("restart"); n != 0 {
		t.Errorf("it was started %d times after the end of its lease", n)
	}
}
