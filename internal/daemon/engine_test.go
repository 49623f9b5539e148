package daemon_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

func TestColdRequestIsMadeAndLeased(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)

	if got := env.Lease.End.Sub(env.Lease.Start); got != time.Hour {
		t.Errorf("lease of %s, want the blueprint's default of 1h", got)
	}
	if !env.Lease.Start.Equal(env.ReadyAt) {
		t.Errorf("the lease begins at %s, want at hand-over, %s", env.Lease.Start, env.ReadyAt)
	}
	var out bytes.Buffer
	end, err := b.engine.Exec(t.Context(), ann, env.Name, provisioner.ExecRequest{Command: []string{"echo", "hi"}}, provisioner.Streams{Stdout: &out})
	if err != nil || end.Code != 0 || out.String() != "hi\n" {
		t.Errorf("exec gave %d, %q, %v", end.Code, out.String(), err)
	}
	if breaches := b.world.Breaches(); len(breaches) > 0 {
		t.Error(breaches)
	}
}

func TestPromiseLabelBeforeCreate(t *testing.T) {
	b := setup(t).run()
	hang := b.inject(fake.Hang(fake.OpCreate, fake.Half))
	env := b.acquire()
	b.reached(hang)
	for _, f := range b.left() {
		if _, err := b.db.Get(t.Context(), f.Labels[provisioner.LabelEnvironment]); err != nil {
			t.Errorf("%s %s exists, but its row does not: %v", f.Kind, f.Name, err)
		}
	}
	if row, err := b.db.Get(t.Context(), env.ID); err != nil || (row.Network == "") == b.world.Runtime().Capabilities().Networks {
		t.Errorf("a network is used, and the row names %q, %v", row.Network, err)
	}
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Leased)
}

func TestPromiseLeaseIsReaped(t *testing.T) {
	b := setup(t).run()
	ttl := 20 * time.Second
	env := b.untilState(b.acquire(func(r *service.Request) { r.TTL = &ttl }).ID, fleet.Leased)

	b.clock.advance(ttl - time.Microsecond)
	if _, err := b.engine.Exec(t.Context(), ann, env.ID, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{}); err != nil {
		t.Errorf("a microsecond before its end it cannot be used: %v", err)
	}
	b.clock.advance(time.Microsecond)
	_, err := b.engine.Exec(t.Context(), ann, env.ID, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
	wantCode(t, err, fleet.CodeConflict)
	b.untilState(env.ID, fleet.Destroyed)
	b.nothingLeft()
}

func TestPromiseIdempotent(t *testing.T) {
	b := setup(t)
	withKey := func(r *service.Request) { r.IdempotencyKey = "k1" }
	first := b.acquire(withKey)
	second, err := b.engine.Acquire(t.Context(), service.Request{Who: ann, IdempotencyKey: "k1"})
	if err != nil || !second.Existed || second.Env.ID != first.ID {
		t.Errorf("the same key gave %s (existed %t, %v), want %s", second.Env.ID, second.Existed, err, first.ID)
	}
	_, err = b.engine.Acquire(t.Context(), service.Request{Who: ann, IdempotencyKey: "k1", Size: "small"})
	wantCode(t, err, fleet.CodeConflict)
}

func TestReleaseDuringCreate(t *testing.T) {
	// No heartbeat within the test: the release itself must stop the create.
	b := setup(t, func(c *daemon.Config) { c.WorkLease = 1000 * time.Hour }).run()
	hang := b.inject(fake.Hang(fake.OpCreate, fake.Half))
	env := b.acquire()
	b.reached(hang)
	if _, err := b.engine.Release(t.Context(), ann, env.Name); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed)
	b.nothingLeft()
}

func TestReleaseIsAcceptedInEveryState(t *testing.T) {
	b := setup(t)
	pending := b.acquire()
	gone, err := b.engine.Release(t.Context(), ann, pending.ID)
	if err != nil || gone.State != fleet.Destroyed {
		t.Fatalf("release of a pending one: %s, %v; nothing was begun, so it is gone at once", gone.State, err)
	}
	again, err := b.engine.Release(t.Context(), ann, pending.ID)
	if err != nil || again.Revision != gone.Revision {
		t.Errorf("release of what is gone changed it: %v", err)
	}
	_, err = b.engine.Release(t.Context(), ann, "no-such")
	wantCode(t, err, fleet.CodeNotFound)
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	for name, fault := range map[string]fake.Fault{
		"before anything": fake.FailBefore(fake.OpCreate, provisioner.Permanent, "the blueprint is broken"),
		"half-made":       fake.HalfCreate("network"),
		"exits at once":   fake.ExitAtOnce(3),
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t).run()
			b.inject(fault)
			env := b.untilState(b.acquire().ID, fleet.Destroyed)
			if env.Failure == nil || env.Failure.Sentence != fault.Fail.Sentence {
				t.Errorf("failure %+v, want the driver's sentence %q", env.Failure, fault.Fail.Sentence)
			}
			b.nothingLeft()
		})
	}
}

func TestLostReplyIsCleanedUpAndMadeAnew(t *testing.T) {
	b := setup(t).run()
	b.inject(fake.LoseReply(fake.OpCreate))
	env := b.acquire()
	b.clock.advance(time.Minute)
	b.until(env.ID, "tried again", func(e fleet.Environment) bool { return e.Work.Attempts == 1 || e.State == fleet.Leased })
	b.clock.advance(time.Minute) // over the backoff
	env = b.untilState(env.ID, fleet.Leased)
	for _, f := range b.left() {
		if f.Labels[provisioner.LabelGeneration] != "2" {
			t.Errorf("%s %s is of generation %s: leftovers are destroyed, never adopted", f.Kind, f.Name, f.Labels[provisioner.LabelGeneration])
		}
	}
}

func TestTransientFaultsGetThreeTries(t *testing.T) {
	b := setup(t).run()
	fault := fake.FailBefore(fake.OpCreate, provisioner.Transient, "a hiccup")
	fault.Times = fake.Always
	b.inject(fault)
	env := b.acquire()
	for tries := 1; tries < 3; tries++ {
		b.until(env.ID, "tried again", func(e fleet.Environment) bool { return e.Work.Attempts >= tries })
		b.clock.advance(time.Minute)
	}
	env = b.untilState(env.ID, fleet.Destroyed)
	if calls := b.world.Calls(fake.OpCreate); calls != 3 {
		t.Errorf("%d tries, want 3", calls)
	}
	if env.Failure == nil || env.Failure.Sentence != "a hiccup" {
		t.Errorf("failure %+v", env.Failure)
	}
}

func TestEngineAwayIsWaitedFor(t *testing.T) {
	b := setup(t)
	if err := b.world.SetAvailable(false); err != nil {
		t.Fatal(err)
	}
	b.run()
	env := b.acquire()
	env = b.until(env.ID, "waiting with a reason", func(e fleet.Environment) bool { return strings.Contains(e.Reason, "switched off") })
	if env.State != fleet.Pending {
		t.Errorf("it is %s, want pending: nothing can be made now", env.State)
	}
	if err := b.world.SetAvailable(true); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(time.Minute) // the answer about readiness is believed for a while
	b.untilState(env.ID, fleet.Leased)
}

// TestEngineCutOffMidCreate: however often it goes away, that is nobody's failed try.
func TestEngineCutOffMidCreate(t *testing.T) {
	// The clock races here; workers are not to lose their work by that.
	b := setup(t, func(c *daemon.Config) { c.WorkLease = 1000 * time.Hour }).run()
	away := fake.FailBefore(fake.OpCreate, provisioner.Transient, "the engine went away")
	away.Fail.Unavailable, away.Times = true, 5
	in := b.inject(away)
	hiccup := fake.FailBefore(fake.OpCreate, provisioner.Transient, "a hiccup")
	hiccup.Times = 2 // of the three tries that there are
	b.inject(hiccup)
	env := b.acquire()
	for want := 1; want <= 5; want++ {
		waitUntil(t, "the fault struck again", func() bool {
			b.clock.advance(10 * time.Second)
			taken, err := in.Taken()
			return err == nil && taken >= want
		})
	}
	waitUntil(t, "it is leased", func() bool {
		b.clock.advance(10 * time.Second)
		e, err := b.db.Get(t.Context(), env.ID)
		return err == nil && e.State == fleet.Leased && e.Work.Attempts == 0
	})
}

func waitUntil(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

func TestPromiseNoSilentFailureOfDestroy(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	fault := fake.FailBefore(fake.OpRemove, provisioner.Transient, "removal is stuck")
	fault.Times = 4
	in := b.inject(fault)
	refuse := fake.FailBefore(fake.OpDestroy, provisioner.Permanent, "Terraform is broken")
	refuse.Times = fake.Always
	b.inject(refuse)
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the environment is gone although Terraform never worked", func() bool {
		b.clock.advance(time.Minute)
		e, err := b.db.Get(t.Context(), env.ID)
		if err != nil {
			t.Fatal(err)
		}
		if e.State == fleet.Destroyed && len(b.left()) > 0 {
			t.Fatalf("destroyed is claimed although there is still %+v", b.left())
		}
		return e.State == fleet.Destroyed
	})
	if taken, err := in.Taken(); err != nil || taken != 4 {
		t.Errorf("the stuck removal was met %d times (%v), want 4", taken, err)
	}
	b.nothingLeft()
}

func TestPromiseOnlyOurs(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	// Forged: our instance and environment, but a MAC that we never made.
	forged := map[string]string{
		provisioner.LabelInstance: instance, provisioner.LabelEnvironment: env.ID, provisioner.LabelMAC: strings.Repeat("0", 32),
	}
	if _, err := b.world.Place(kindSandbox, "someone-elses", forged); err != nil {
		t.Fatal(err)
	}
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed)
	before := b.world.Calls(fake.OpInventory)
	waitUntil(t, "two more sweeps ran", func() bool { return b.world.Calls(fake.OpInventory) >= before+2 })
	left := b.left()
	if len(left) != 1 || left[0].Name != "someone-elses" {
		t.Errorf("left: %+v, want the foreign container untouched", left)
	}
}

// TestLateLandingIsSwept: a create whose reply was lost may land after its environment is gone.
func TestLateLandingIsSwept(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	labels := b.left()[0].Labels
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed)
	if _, err := b.world.Place(kindSandbox, "late", labels); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "it is swept", func() bool { return len(b.left()) == 0 })
}

func TestPromiseCost(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.clock.advance(90 * time.Second)
	// 3.6 units an hour are 1,000 micro-units a second.
	if got := ledger.Accrued(env, b.engine.Now()); got != 90_000 {
		t.Errorf("after 90 s it cost %d, want 90000", got)
	}
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	env = b.untilState(env.ID, fleet.Destroyed)
	b.clock.advance(time.Hour)
	entries, err := b.db.Entries(t.Context(), env.ID)
	entries = slices.DeleteFunc(entries, func(e ledger.Entry) bool { return e.Credit != ledger.AccountCapacity })
	if err != nil || len(entries) != 1 {
		t.Fatalf("entries of time %+v, %v", entries, err)
	}
	if e := entries[0]; e.AmountMicros != 90_000 || e.AmountMicros != ledger.Accrued(env, b.engine.Now()) {
		t.Errorf("booked %d, shown %d, want 90000: what is gone costs no more", e.AmountMicros, ledger.Accrued(env, b.engine.Now()))
	}
}

func TestExtend(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	longer, err := b.engine.Extend(t.Context(), ann, env.ID, time.Hour)
	if err != nil || longer.Lease.End.Sub(env.Lease.End) != time.Hour {
		t.Errorf("extended until %s (%v), want one hour after %s", longer.Lease.End, err, env.Lease.End)
	}
	for by, code := range map[time.Duration]fleet.Code{
		0: fleet.CodeInvalid, -time.Hour: fleet.CodeInvalid, 7 * time.Hour: fleet.CodePolicy, 1<<63 - 1: fleet.CodePolicy,
	} {
		_, err := b.engine.Extend(t.Context(), ann, env.ID, by)
		wantCode(t, err, code)
	}
	if now, _ := b.db.Get(t.Context(), env.ID); !now.Lease.End.Equal(longer.Lease.End) {
		t.Error("a refused extension moved the lease")
	}
}

func TestAcquireRefuses(t *testing.T) {
	b := setup(t)
	b.acquire(func(r *service.Request) { r.Name = "taken" })
	ttl := func(d time.Duration) func(*service.Request) { return func(r *service.Request) { r.TTL = &d } }
	for name, tc := range map[string]struct {
		change func(*service.Request)
		code   fleet.Code
	}{
		"a name that is taken":     {func(r *service.Request) { r.Name = "taken" }, fleet.CodeConflict},
		"a name with a slash":      {func(r *service.Request) { r.Name = "../x" }, fleet.CodeInvalid},
		"a name of 64 letters":     {func(r *service.Request) { r.Name = strings.Repeat("a", 64) }, fleet.CodeInvalid},
		"a ttl of 0":               {ttl(0), fleet.CodeInvalid},
		"a negative ttl":           {ttl(-time.Second), fleet.CodeInvalid},
		"a ttl above the maximum":  {ttl(8*time.Hour + 1), fleet.CodePolicy},
		"no such size":             {func(r *service.Request) { r.Size = "huge" }, fleet.CodeInvalid},
		"no such blueprint":        {func(r *service.Request) { r.Blueprint = "nope" }, fleet.CodeNotFound},
		"an input that is unknown": {func(r *service.Request) { r.Inputs = map[string]any{"x": 1} }, fleet.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			req := service.Request{Who: ann}
			tc.change(&req)
			_, err := b.engine.Acquire(t.Context(), req)
			wantCode(t, err, tc.code)
		})
	}
	if live, err := b.db.Live(t.Context()); err != nil || len(live) != 1 {
		t.Errorf("%d rows (%v), want 1: what is refused leaves nothing", len(live), err)
	}
}

// TestMadeUpNameIsTaken: a name that nobody asked for never refuses a request, whether it may be sent again or not.
func TestMadeUpNameIsTaken(t *testing.T) {
	names := []string{"taken", "free-1", "taken", "free-2"}
	b := setup(t, func(c *daemon.Config) {
		c.NewName = func() (name string) {
			name, names = names[0], names[1:]
			return name
		}
	})
	b.acquire(func(r *service.Request) { r.Name = "taken" })
	for _, want := range []struct{ key, name string }{{"", "free-1"}, {"once", "free-2"}} {
		got, err := b.engine.Acquire(t.Context(), service.Request{Who: ann, IdempotencyKey: want.key})
		if err != nil || got.Env.Name != want.name {
			t.Errorf("with the key %q: %q, %v; want %q", want.key, got.Env.Name, err, want.name)
		}
	}
}

func TestExecRefusesOtherUsers(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	_, err := b.engine.Exec(t.Context(), ann, env.ID, provisioner.ExecRequest{Command: []string{"true"}, User: "daemon"}, provisioner.Streams{})
	wantCode(t, err, fleet.CodePolicy)
	_, err = b.engine.Exec(t.Context(), ann, env.ID, provisioner.ExecRequest{}, provisioner.Streams{})
	wantCode(t, err, fleet.CodeInvalid)
}

func TestLogsOutliveTheEnvironment(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	if err := b.world.Say(env.SandboxID, "from inside", false); err != nil {
		t.Fatal(err)
	}
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed)
	var text []string
	err := b.engine.Logs(t.Context(), ann, env.Name, time.Time{}, true, func(l fleet.LogLine) error {
		text = append(text, l.Source+": "+l.Text)
		return nil
	})
	if err != nil || !strings.Contains(strings.Join(text, "\n"), "sandbox: from inside") {
		t.Errorf("log %q, %v: want the sandbox's own line", text, err)
	}
}

// TestPromiseState: ready only after the state is here, and it is nowhere in plain.
func TestPromiseState(t *testing.T) {
	var spy stateSpy
	b := setup(t, func(c *daemon.Config) { spy.Driver = c.Hosts[0].Driver; c.Hosts[0].Driver = &spy }).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	sealed, _, err := b.db.LatestState(t.Context(), env.ID)
	if err != nil || len(sealed) == 0 {
		t.Fatalf("a leased environment has no state: %v", err)
	}
	b.stop()
	path := strings.TrimPrefix(b.dsn, "sqlite://")
	found := false
	for _, name := range []string{path, path + "-wal"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(raw, spy.state) {
			t.Errorf("%s holds the state in plain", filepath.Base(name))
		}
		found = found || bytes.Contains(raw, sealed)
	}
	if !found || len(spy.state) == 0 {
		t.Error("the sealed state is in no file: this search would find nothing in plain either")
	}
}

// stateSpy remembers the state that a driver gave.
type stateSpy struct {
	provisioner.Driver
	state []byte
}

func (s *stateSpy) Create(ctx context.Context, spec provisioner.Spec, observe provisioner.Observer) (provisioner.Handle, error) {
	h, err := s.Driver.Create(ctx, spec, observe)
	s.state = h.State
	return h, err
}
