package daemon_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// TestPromiseOneClaimant: a thousand claimants on one warm environment, one winner.
func TestPromiseOneClaimant(t *testing.T) {
	b := setup(t)
	warm := b.stopped(1)[0]
	var mu sync.Mutex
	winners := map[string]int{}
	var wg sync.WaitGroup
	slots := make(chan struct{}, 32)
	for i := range 1000 {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			got, err := b.request(func(r *service.Request) { r.Who.User = fmt.Sprintf("user-%d", i) })
			if err != nil {
				t.Error(err)
				return
			}
			if got.Claimed {
				mu.Lock()
				winners[got.Env.ID]++
				mu.Unlock()
			} else if got.Env.State != fleet.Pending {
				t.Errorf("a loser's is %s", got.Env.State)
			}
		})
	}
	wg.Wait()
	if len(winners) != 1 || winners[warm.ID] != 1 {
		t.Errorf("winners: %v, want %s once", winners, warm.ID)
	}
}

// TestPromiseHealthProbeAtClaim: what does not work is destroyed, and the next one tried within the same request.
func TestPromiseHealthProbeAtClaim(t *testing.T) {
	// A claim that has nothing to deliver must prove as much.
	for name, secrets := range map[string]map[string][]byte{"with a secret": {"token": []byte("x")}, "with none": nil} {
		t.Run(name, func(t *testing.T) { probedAtClaim(t, secrets) })
	}
}

func probedAtClaim(t *testing.T, secrets map[string][]byte) {
	t.Helper()
	b := setup(t)
	warm := b.stopped(3)
	oldest := map[string]string{}
	for _, env := range warm {
		oldest[env.ID] = env.SandboxID
	}
	// All but one are dead, whichever comes first.
	good := warm[1]
	for _, env := range warm {
		if env.ID == good.ID {
			continue
		}
		if err := b.world.Stop(env.SandboxID, 137, "out of memory"); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for range 2 {
		acquired, err := b.request(func(r *service.Request) { r.Secrets = secrets })
		if err != nil {
			t.Fatal(err)
		}
		if acquired.Claimed {
			got = append(got, acquired.Env.ID)
			continue
		}
		if acquired.Env.State != fleet.Pending || acquired.Env.Cold == "" {
			t.Errorf("not claimed, it is %s, cold because %q", acquired.Env.State, acquired.Env.Cold)
		}
	}
	if len(got) != 1 || got[0] != good.ID {
		t.Fatalf("claimed %v, want the good one, %s", got, good.ID)
	}
	b.run1(good.ID, "true")
	for _, env := range warm {
		row, err := b.db.Get(t.Context(), env.ID)
		if err != nil {
			t.Fatal(err)
		}
		if env.ID != good.ID && (row.State != fleet.Destroying || row.Tenant+row.Owner != "" || row.Name != row.ID) {
			t.Errorf("a bad one is %s of %q, called %s: want it nobody's and going", row.State, row.Owner, row.Name)
		}
	}
	for _, check := range []func(context.Context) ([]string, error){b.db.CheckUsage, b.db.CheckSpend} {
		if wrong, err := check(t.Context()); err != nil || len(wrong) > 0 {
			t.Errorf("%v, %v", wrong, err)
		}
	}
}

func TestOnlyBadOnesGoesCold(t *testing.T) {
	b := setup(t)
	warm := b.stopped(1)[0]
	if err := b.world.Stop(warm.SandboxID, 1, ""); err != nil {
		t.Fatal(err)
	}
	got, err := b.request(func(r *service.Request) { r.Name, r.IdempotencyKey = "mine", "k" })
	if err != nil || got.Claimed || got.Env.Name != "mine" {
		t.Fatalf("%+v, %v", got, err)
	}
	if !strings.HasPrefix(got.Env.Cold, "the ready one of pool builders that it was given was bad: ") {
		t.Errorf("cold because %q", got.Env.Cold)
	}
	again, err := b.request(func(r *service.Request) { r.Name, r.IdempotencyKey = "mine", "k" })
	if err != nil || !again.Existed || again.Env.ID != got.Env.ID {
		t.Errorf("the same key gave %s (%t, %v), want %s", again.Env.ID, again.Existed, err, got.Env.ID)
	}
	b.engine = b.newEngine("daemon-1.b")
	b.run()
	b.untilState(got.Env.ID, fleet.Leased)
	b.untilState(warm.ID, fleet.Destroyed)
}

// TestPoisonedDigestIsNotHandedOver: a row whose key says something else than what it was made from.
func TestPoisonedDigestIsNotHandedOver(t *testing.T) {
	b := setup(t)
	warm := b.stopped(1)[0]
	_, err := b.db.Change(t.Context(), warm.ID, store.Expect{}, func(env *fleet.Environment) (store.Writes, error) {
		env.Blueprint.Digest = "sha256:" + strings.Repeat("e", 64)
		return store.Writes{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.request()
	if err != nil || got.Claimed || !strings.Contains(got.Env.Cold, "not made from what was asked for") {
		t.Errorf("claimed %t (%v), cold because %q", got.Claimed, err, got.Env.Cold)
	}
}

// TestLostStageIsNoBadEnvironment: the quick way may be lost without the environment being bad.
func TestLostStageIsNoBadEnvironment(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	b.inject(fake.FailBefore(fake.OpDeliver, provisioner.NotFound, "the waiting process is gone"))
	got, err := b.request(func(r *service.Request) { r.Secrets = map[string][]byte{"token": []byte("x")} })
	if err != nil || !got.Claimed || got.Env.ID != warm.ID {
		t.Fatalf("claimed %t, %v: %s", got.Claimed, err, got.Env.Cold)
	}
	if got := b.run1(warm.ID, "cat", "/run/bothy/token"); got != "x" {
		t.Errorf("the secret reads %q", got)
	}
}

// TestEngineAwayAtClaimSparesThePool: a host that does not answer is no reason to burn all that is warm.
func TestEngineAwayAtClaimSparesThePool(t *testing.T) {
	b := setup(t)
	b.stopped(4)
	if err := b.world.SetAvailable(false); err != nil {
		t.Fatal(err)
	}
	got, err := b.request()
	if err != nil || got.Claimed {
		t.Fatalf("claimed %t, %v", got.Claimed, err)
	}
	if left := b.warm(); len(left) != 3 {
		t.Errorf("%d are left warm, want 3: one was tried", len(left))
	}
}

// dying is a runtime whose process ends just before it delivers.
type dying struct{ *fake.Runtime }

type deadStage struct{ provisioner.Stage }

func (d dying) Stage(ctx context.Context, id, user string) (provisioner.Stage, error) {
	st, err := d.Runtime.Stage(ctx, id, user)
	return deadStage{st}, err
}

func (deadStage) Claim(context.Context, string, []provisioner.File) error { panic("killed here") }

// TestCrashBetweenClaimAndDelivery: the next process finishes what was claimed, secrets and all.
func TestCrashBetweenClaimAndDelivery(t *testing.T) {
	b := setup(t, func(c *daemon.Config) { c.Hosts[0].Runtime = dying{c.Hosts[0].Runtime.(*fake.Runtime)} }).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	ask := func(r *service.Request) {
		r.Name, r.IdempotencyKey, r.Secrets = "mine", "k", map[string][]byte{"token": []byte("s3cret")}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the claim did not die where it was to")
			}
		}()
		_, _ = b.request(ask)
	}()
	_, err := b.engine.Exec(t.Context(), ann, "mine", provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
	wantCode(t, err, fleet.CodeNotReady) // it is not handed over yet
	b.stop()
	b.engine = b.newEngine("daemon-1.b")
	b.run()
	again, err := b.request(ask)
	if err != nil || !again.Existed || again.Env.ID != warm.ID || again.Env.Work.Action != fleet.None {
		t.Fatalf("the retry gave %+v, %v; want %s, handed over", again.Env, err, warm.ID)
	}
	if got := b.run1("mine", "cat", "/run/bothy/token"); got != "s3cret" {
		t.Errorf("the secret reads %q", got)
	}
	if sealed, err := b.db.Secrets(t.Context(), warm.ID); err != nil || sealed != nil {
		t.Errorf("after delivery the store still keeps %d bytes (%v)", len(sealed), err)
	}
}

// TestReleaseBeforeHandOver: what was given back between claim and hand-over is destroyed, not handed over.
func TestReleaseBeforeHandOver(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	hang := b.inject(fake.Hang(fake.OpDeliver, fake.Before))
	done := make(chan service.Acquired, 1)
	go func() {
		got, err := b.request(func(r *service.Request) { r.Name = "mine" })
		if err != nil {
			t.Error(err)
		}
		done <- got
	}()
	b.reached(hang)
	if _, err := b.engine.Release(t.Context(), ann, "mine"); err != nil {
		t.Fatal(err)
	}
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.Claimed {
		t.Errorf("it was handed over: %s", got.Env.State)
	}
	b.untilState(warm.ID, fleet.Destroyed)
}

// TestClaimAtADaemonThatDoesNotServeTheHost: the one that does hands over.
func TestClaimAtADaemonThatDoesNotServeTheHost(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	other := b.newEngine("daemon-2.a")
	got, err := other.Acquire(t.Context(), service.Request{Who: ann, Name: "mine", Secrets: map[string][]byte{"token": []byte("x")}})
	if err != nil || !got.Claimed || got.Env.ID != warm.ID || got.Env.Work.Action != fleet.None {
		t.Fatalf("%+v, %v", got, err)
	}
	if got := b.run1("mine", "cat", "/run/bothy/token"); got != "x" {
		t.Errorf("the secret reads %q", got)
	}
	// A bad one is replaced by whoever serves the host; who asked follows the name.
	bad := b.untilWarm(1)[0]
	if err := b.world.Stop(bad.SandboxID, 1, ""); err != nil {
		t.Fatal(err)
	}
	got, err = other.Acquire(t.Context(), service.Request{Who: ann, Name: "yours"})
	if err != nil || got.Env.ID == bad.ID || got.Env.Name != "yours" {
		t.Fatalf("%+v, %v", got, err)
	}
	b.untilState(got.Env.ID, fleet.Leased)
}

// TestHostThatNobodyServes: a warm environment that nobody can hand over costs its claimant a wait, not the request.
func TestHostThatNobodyServes(t *testing.T) {
	b := setup(t)
	warm := b.stopped(1)[0]
	b.engine = b.newEngine("daemon-2.a", brisk) // it does not run, so it serves nothing
	got, err := b.request(func(r *service.Request) { r.Name = "mine" })
	if err != nil || got.Claimed || got.Env.ID == warm.ID || got.Env.Name != "mine" || !strings.Contains(got.Env.Cold, "no daemon serves host local") {
		t.Fatalf("%+v, %v", got, err)
	}
	b.run()
	b.untilState(got.Env.ID, fleet.Leased)
	b.untilState(warm.ID, fleet.Destroyed)
}

func TestFirstPoolByNameServes(t *testing.T) {
	b := setup(t).run()
	b.pool("zebra", 1)
	b.pool("aardvark", 1)
	b.untilWarm(2)
	if env := b.acquire(); env.Pool != "aardvark" {
		t.Errorf("it came from pool %s, want the first by name", env.Pool)
	}
}

func TestColdSaysWhy(t *testing.T) {
	b := setup(t)
	cold := func(change ...func(*service.Request)) string {
		t.Helper()
		got, err := b.request(change...)
		if err != nil || got.Claimed {
			t.Fatalf("claimed %t, %v", got.Claimed, err)
		}
		kept, err := b.db.Get(t.Context(), got.Env.ID)
		if err != nil || kept.Cold != got.Env.Cold {
			t.Errorf("kept is %q (%v), want %q", kept.Cold, err, got.Env.Cold)
		}
		return got.Env.Cold
	}
	want := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("cold because %q, want %q", got, want)
		}
	}
	want(cold(), "no pool keeps build@1.0.0 small")
	b.pool("builders", 3)
	want(cold(), "pool builders is empty: 0 of 3 are ready")
	want(cold(func(r *service.Request) { r.NoPool = true }), "--fresh was asked for")
	b.pool("builders", 0)
	want(cold(), "pool builders keeps none ready at this time")
	b.run()
	env := b.acquire()
	b.untilState(env.ID, fleet.Leased)
	if record := b.events(env.ID); !strings.Contains(record, "environment.provisioning: creating from build@1.0.0 on host local (cold: pool builders keeps none") {
		t.Errorf("its record is\n%s", record)
	}
}

func TestFreshTakesNoWarmOne(t *testing.T) {
	b := setup(t)
	warm := b.stopped(1)[0]
	got, err := b.request(func(r *service.Request) { r.NoPool = true })
	if err != nil || got.Claimed || got.Env.ID == warm.ID {
		t.Errorf("claimed %t (%v)", got.Claimed, err)
	}
}

// TestClaimIsQuick is a guard, not a figure: those are in make bench.
func TestClaimIsQuick(t *testing.T) {
	b := setup(t)
	b.stopped(10)
	began := time.Now()
	for range 10 {
		if got, err := b.request(); err != nil || !got.Claimed {
			t.Fatalf("%t, %v", got.Claimed, err)
		}
	}
	t.Logf("%s a claim", time.Since(began)/10)
	if took := time.Since(began); took > time.Minute {
		t.Errorf("10 claims took %s", took)
	}
}
