package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// The tests of this file run the real daemon on the fake provider, whose folder this process shares: it
// holds a call at an exact point, kills the daemon there, and looks at the provider without asking the daemon.

// fakeDaemon is a daemon on the fake provider, and that provider.
type fakeDaemon struct {
	*daemon
	world *fake.World
}

func startFake(t *testing.T, args ...string) fakeDaemon {
	t.Helper()
	d := start(t, append([]string{"--driver", "fake"}, args...)...)
	return fakeDaemon{d, fake.New(fake.Options{Dir: filepath.Join(d.state(), "fake")})}
}

// hold makes the next call of op stop where f says, and gives what lets it go on.
func (d fakeDaemon) hold(f fake.Fault) *fake.Injection {
	d.t.Helper()
	f.Hold = true
	in, err := d.world.Inject(f)
	if err != nil {
		d.t.Fatal(err)
	}
	return in
}

// killAt waits until the fault has struck, kills the daemon there, and takes the fault away.
func (d fakeDaemon) killAt(in *fake.Injection) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	if err := in.Reached(ctx); err != nil {
		d.t.Fatalf("the held point was not reached: %v\n%s", err, d.log)
	}
	d.kill()
	if err := in.Lift(); err != nil {
		d.t.Fatal(err)
	}
}

// present lists what exists at the provider, as "kind environment"; networks in reserve have no environment. Marks are left out.
func (d fakeDaemon) present() []string {
	d.t.Helper()
	all, err := d.world.All()
	if err != nil {
		d.t.Fatal(err)
	}
	var out []string
	for _, f := range slices.DeleteFunc(all, isMark) {
		out = append(out, strings.TrimSpace(f.Kind+" "+f.Labels[provisioner.LabelEnvironment]))
	}
	return out
}

// wantConverged checks that what came after the start came soon enough.
func (d fakeDaemon) wantConverged(since time.Time) {
	d.t.Helper()
	took := time.Since(since)
	d.t.Logf("converged in %.2f s", took.Seconds())
	if took > converged {
		d.t.Errorf("it took %s after the start, promised are %s", took, converged)
	}
}

// wantPresent waits for exactly these to exist, at most as long as convergence may take.
func (d fakeDaemon) wantPresent(since time.Time, want ...string) {
	d.t.Helper()
	slices.Sort(want)
	d.eventually(fmt.Sprintf("the provider holds %q, not %q", want, d.present()), func() bool {
		return slices.Equal(d.present(), want) || time.Since(since) > converged
	})
	if got := d.present(); !slices.Equal(got, want) {
		d.t.Errorf("%s after the start the provider holds %q, want %q", converged, got, want)
	}
}

// createPoints are where a create is cut off. made is whether the container stands by then.
var createPoints = []struct {
	name  string
	fault fake.Fault
	made  bool
}{
	{"before the image is found", fake.Fault{Op: fake.OpResolveImage}, false},
	{"before a network is taken", fake.Fault{Op: fake.OpReserve}, false},
	{"a network is taken and not recorded", fake.Fault{Op: fake.OpReserve, Stage: fake.After}, false},
	{"before the apply", fake.Fault{Op: fake.OpCreate}, false},
	{"half applied", fake.Fault{Op: fake.OpCreate, Stage: fake.Half, Leave: []string{"volume", "container"}}, true},
	{"half applied, without the container", fake.Fault{Op: fake.OpCreate, Stage: fake.Half, Leave: []string{"volume"}}, true},
	{"between apply and record", fake.Fault{Op: fake.OpCreate, Stage: fake.After}, true},
	{"applied, with its files lost", fake.Fault{Op: fake.OpCreate, Stage: fake.After, Forget: true}, true},
	{"recorded and not looked at", fake.Fault{Op: fake.OpInspect}, true},
	{"looked at and not handed over", fake.Fault{Op: fake.OpInspect, Stage: fake.After}, true},
}

// TestFakeKill9DuringCreate: wherever a create is cut off, the environment is made anew under the same id,
// nothing else is left at the provider, and the time that the first one stood is paid for.
func TestFakeKill9DuringCreate(t *testing.T) {
	t.Parallel()
	for _, p := range createPoints {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			d := startFake(t)
			in := d.hold(p.fault)
			asked := d.create(wire.CreateRequest{Name: "crash", Size: "large"})
			d.killAt(in)
			killed := time.Now()
			d.untilClockPasses(killed)

			begun := time.Now()
			d.launch()
			env := d.untilState(asked.ID, "leased")
			d.wantPresent(begun, "container "+asked.ID, "network")
			d.wantConverged(begun)
			if env.ID != asked.ID || env.Name != asked.Name {
				t.Errorf("it is %s %s now, and was %s %s", env.ID, env.Name, asked.ID, asked.Name)
			}
			if p.made {
				// What stood before the crash was billed from its own first moment.
				d.wantBilled(env, killed, begun)
			}
			d.bothy("exec", "crash", "--", "true").want(t, 0)
			d.bothy("down", "crash").want(t, 0)
			d.wantPresent(time.Now())
		})
	}
}

// TestFakeKill9BeforeTheReply: the daemon dies with its request sent, and what was asked for comes to be after its death:
// nobody ever heard of it. It is found by its labels, paid for from its own beginning, and replaced.
func TestFakeKill9BeforeTheReply(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	in := d.hold(fake.Fault{Op: fake.OpCreate})
	env := d.create(wire.CreateRequest{Name: "crash", Size: "large"})
	d.killAt(in)
	secret, err := os.ReadFile(filepath.Join(d.state(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	key, err := vault.LabelKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	owner := provisioner.Owner{
		Instance: d.instance, Environment: env.ID, Generation: 1, Blueprint: "build@1.1.0", User: env.Owner, Created: env.CreatedAt,
	}
	landed, err := d.world.Place("container", owner.ResourceName(), key.Labels(owner))
	if err != nil {
		t.Fatal(err)
	}
	// Beside it one that says the same of itself, without the installation's key.
	forged, err := d.world.Place("container", "forged", provisioner.Key("another").Labels(owner))
	if err != nil {
		t.Fatal(err)
	}
	d.untilClockPasses(landed.CreatedAt)
	begun := time.Now()
	d.launch()
	env = d.untilState(env.ID, "leased")
	d.wantConverged(begun)
	d.wantBilled(env, landed.CreatedAt, begun)
	d.wantPresent(begun, "container "+env.ID, "container "+env.ID, "network")
	all, err := d.world.All()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.ID == landed.ID {
			t.Errorf("what landed after the crash is still there: %+v", f)
		}
	}
	if !slices.ContainsFunc(all, func(f provisioner.Found) bool { return f.ID == forged.ID }) {
		t.Error("a container with forged labels was removed")
	}
	d.bothy("down", "crash").want(t, 0)
}

// untilClockPasses waits until a second has gone by, so that a cost that is counted can be told from one that is not.
func (d fakeDaemon) untilClockPasses(since time.Time) {
	d.t.Helper()
	d.eventually("a second has passed", func() bool { return time.Since(since) > time.Second })
}

// wantBilled checks that an environment costs at least what it does from one time to another. What a crash left exists until the next
// daemon removes it, so the time until that daemon begins is billed; between that and the next try nothing exists, however long it takes.
func (d fakeDaemon) wantBilled(env wire.Environment, since, until time.Time) {
	d.t.Helper()
	env, err := d.get(env.ID)
	if err != nil {
		d.t.Fatal(err)
	}
	// Rounding to whole micro-units, and the second that a transition may be off, are left out on purpose: all
	// clocks here are one clock, so only the rounding remains.
	least := int64(until.Sub(since).Seconds()*float64(env.Cost.RateMicrosPerHour)/3600) - 1
	if env.Cost.AccruedMicros < least {
		d.t.Errorf("it has cost %d, want at least %d: the time before the crash is not counted", env.Cost.AccruedMicros, least)
	}
}

// destroyPoints are where a destroy is cut off.
var destroyPoints = []struct {
	name  string
	fault fake.Fault
}{
	{"before anything is removed", fake.Fault{Op: fake.OpDestroy}},
	{"half removed", fake.Fault{Op: fake.OpDestroy, Stage: fake.Half}},
	{"removed and not recorded", fake.Fault{Op: fake.OpDestroy, Stage: fake.After}},
	{"before its network is given back", fake.Fault{Op: fake.OpRelease}},
	{"its network is given back and nothing recorded", fake.Fault{Op: fake.OpRelease, Stage: fake.After}},
}

// TestFakeKill9DuringDestroy: wherever a destroy is cut off, it goes on to the end, and its price is booked once.
func TestFakeKill9DuringDestroy(t *testing.T) {
	t.Parallel()
	for _, p := range destroyPoints {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			d := startFake(t)
			d.bothy("up", "--source", "none", "--name", "crash", "--size", "large").want(t, 0)
			in := d.hold(p.fault)
			released := time.Now()
			env, err := d.client.Release(t.Context(), "crash")
			if err != nil {
				t.Fatal(err)
			}
			d.killAt(in)
			begun := time.Now()
			d.launch()
			gone := d.untilState(env.ID, "destroyed")
			d.wantPresent(begun)
			d.wantConverged(begun)
			// What went while nobody looked is paid for until it was last seen, which was after this.
			stood := released.Sub(*gone.ReadyAt)
			if least := int64(stood.Seconds() * float64(gone.Cost.RateMicrosPerHour) / 3600); gone.Cost.AccruedMicros < least {
				t.Errorf("it stood for %s and has cost %d, want at least %d", stood, gone.Cost.AccruedMicros, least)
			}
		})
	}
}

// TestFakeKill9Twice: the clean-up after a crash is itself cut off, before and after it removed something.
func TestFakeKill9Twice(t *testing.T) {
	t.Parallel()
	for _, second := range []fake.Fault{
		{Op: fake.OpRemove}, {Op: fake.OpRemove, Stage: fake.After}, {Op: fake.OpCreate}, {Op: fake.OpCreate, Stage: fake.After},
	} {
		t.Run(fmt.Sprintf("%s, %s", second.Op, second.Stage), func(t *testing.T) {
			t.Parallel()
			d := startFake(t)
			// The driver knows nothing of what it made: it can be found by its labels only.
			in := d.hold(fake.Fault{Op: fake.OpCreate, Stage: fake.After, Forget: true})
			env := d.create(wire.CreateRequest{Name: "crash"})
			d.killAt(in)
			in = d.hold(second)
			d.launch()
			d.killAt(in)
			begun := time.Now()
			d.launch()
			d.untilState(env.ID, "leased")
			d.wantPresent(begun, "container "+env.ID, "network")
			d.wantConverged(begun)
		})
	}
}

// TestFakeManyKilledAtOnce: many creates and destroys are under way when the daemon dies, more than it works on at once.
func TestFakeManyKilledAtOnce(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	const each = 6
	var going, coming []string
	for i := range each {
		name := fmt.Sprintf("going-%d", i)
		d.bothy("up", "--source", "none", "--name", name).want(t, 0)
		going = append(going, name)
	}
	holdDestroy := d.hold(fake.Fault{Op: fake.OpDestroy, Stage: fake.Half, Times: fake.Always})
	holdCreate := d.hold(fake.Fault{Op: fake.OpCreate, Stage: fake.After, Times: fake.Always})
	for _, name := range going {
		if _, err := d.client.Release(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	var want []string
	for i := range each {
		env := d.create(wire.CreateRequest{Name: fmt.Sprintf("coming-%d", i)})
		coming = append(coming, env.ID)
		want = append(want, "container "+env.ID, "network")
	}
	d.eventually("some of both are held", func() bool {
		destroys, err := holdDestroy.Taken()
		if err != nil {
			t.Fatal(err)
		}
		creates, err := holdCreate.Taken()
		if err != nil {
			t.Fatal(err)
		}
		return destroys >= 2 && creates >= 2
	})
	d.kill()
	for _, in := range []*fake.Injection{holdDestroy, holdCreate} {
		if err := in.Lift(); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	d.launch()
	for _, id := range coming {
		d.untilState(id, "leased")
	}
	for _, name := range going {
		d.untilState(name, "destroyed")
	}
	d.wantPresent(begun, want...)
	d.wantConverged(begun)
}

// TestFakeReleaseHeldCreateThenKill: an environment that nobody wants any more is not handed over after a crash.
func TestFakeReleaseHeldCreateThenKill(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	in := d.hold(fake.Fault{Op: fake.OpInspect}) // held after the apply
	env := d.create(wire.CreateRequest{Name: "unwanted"})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := in.Reached(ctx); err != nil {
		t.Fatal(err)
	}
	holdDestroy := d.hold(fake.Fault{Op: fake.OpDestroy})
	if _, err := d.client.Release(t.Context(), env.ID); err != nil {
		t.Fatal(err)
	}
	d.killAt(holdDestroy)
	begun := time.Now()
	d.launch()
	gone := d.untilState(env.ID, "destroyed")
	d.wantPresent(begun)
	if gone.ReadyAt != nil {
		t.Errorf("it was handed over at %s", gone.ReadyAt)
	}
}

// TestFakeCostSurvives: what an environment has cost is neither lost nor counted again by a restart.
func TestFakeCostSurvives(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	d.bothy("up", "--source", "none", "--name", "dear", "--size", "large").want(t, 0)
	var env wire.Environment
	d.eventually("it has cost something", func() bool {
		var err error
		env, err = d.get("dear")
		return err == nil && env.Cost.AccruedMicros >= 20
	})
	down := time.Now()
	d.kill()
	d.untilClockPasses(down)
	d.launch()
	d.wantBilled(env, *env.ReadyAt, time.Now()) // it stood while nobody looked, and that costs
	d.bothy("down", "dear").want(t, 0)
	final := d.untilState(env.ID, "destroyed")
	d.kill()
	d.launch()
	again, err := d.get(env.ID)
	if err != nil {
		t.Fatal(err)
	}
	if again.Cost != final.Cost {
		t.Errorf("the cost of what is gone was %+v and is %+v after a restart", final.Cost, again.Cost)
	}
}

// TestFakeIdempotencyKey: one key gives one environment, for callers at the same time and over a crash.
func TestFakeIdempotencyKey(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	const key = "0123456789abcdef"
	in := d.hold(fake.Fault{Op: fake.OpCreate, Stage: fake.After})
	var mu sync.Mutex
	ids, fresh := map[string]bool{}, 0
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			env, existed, err := d.client.Create(t.Context(), wire.CreateRequest{}, key)
			if err != nil {
				t.Errorf("create: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			ids[env.ID] = true
			if !existed {
				fresh++
			}
		})
	}
	callers.Wait()
	if len(ids) != 1 || fresh != 1 {
		t.Fatalf("8 requests with one key gave %d environments, %d of them as new", len(ids), fresh)
	}
	d.killAt(in)
	d.launch()
	env, existed, err := d.client.Create(t.Context(), wire.CreateRequest{}, key)
	if err != nil || !existed || !ids[env.ID] {
		t.Fatalf("after the crash: %s, existed %v, %v", env.ID, existed, err)
	}
	d.untilState(env.ID, "leased")
	all, err := d.client.List(t.Context(), client.ListOptions{All: true})
	if err != nil || len(all) != 1 {
		t.Errorf("%d environments, %v; want one", len(all), err)
	}
	_, _, err = d.client.Create(t.Context(), wire.CreateRequest{Size: "large"}, key)
	if code := client.CodeOf(err); code != wire.CodeConflict {
		t.Errorf("another request under the same key: %v, want code %s", err, wire.CodeConflict)
	}
}
