package daemon_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// brisk makes hosts come back soon after the clock was moved.
func brisk(c *daemon.Config) { c.WorkLease = 200 * time.Millisecond }

// served waits until the engine serves its host.
func (b *bench) served() *bench {
	b.t.Helper()
	waitUntil(b.t, "the host is served", func() bool {
		hosts, err := b.db.Hosts(b.t.Context())
		return err == nil && len(hosts) == 1 && hosts[0].Usable(b.engine.Now())
	})
	return b
}

// pool sets a pool of the test's blueprint.
func (b *bench) pool(name string, target int, change ...func(*fleet.Pool)) {
	b.t.Helper()
	p := fleet.Pool{Name: name, Blueprint: "build", Target: target}
	for _, c := range change {
		c(&p)
	}
	if p.Max == 0 {
		p.Max = p.DefaultMax()
	}
	if _, err := b.engine.Pools.Set(b.t.Context(), platform, p); err != nil {
		b.t.Fatalf("set pool: %v", err)
	}
}

func (b *bench) warm() []fleet.Environment {
	b.t.Helper()
	warm, _, err := b.db.List(b.t.Context(), store.Filter{States: []fleet.State{fleet.Warm}})
	if err != nil {
		b.t.Fatal(err)
	}
	return warm
}

// untilWarm waits until exactly n are warm.
func (b *bench) untilWarm(n int) []fleet.Environment {
	b.t.Helper()
	waitUntil(b.t, fmt.Sprintf("%d are warm", n), func() bool { return len(b.warm()) == n })
	return b.warm()
}

// stopped gives an engine that has warm environments and makes no more.
func (b *bench) stopped(target int, change ...func(*fleet.Pool)) []fleet.Environment {
	b.t.Helper()
	b.run()
	b.pool("builders", target, change...)
	warm := b.untilWarm(target)
	b.stop()
	return warm
}

func (b *bench) request(change ...func(*service.Request)) (service.Acquired, error) {
	req := service.Request{Who: ann}
	for _, c := range change {
		c(&req)
	}
	return b.engine.Acquire(b.t.Context(), req)
}

func (b *bench) events(id string) string {
	b.t.Helper()
	events, err := b.db.Events(b.t.Context(), id, 0, 1000)
	if err != nil {
		b.t.Fatal(err)
	}
	var all strings.Builder
	for _, ev := range events {
		fmt.Fprintf(&all, "%s: %s\n", ev.Kind, ev.Message)
	}
	return all.String()
}

func (b *bench) run1(id string, command ...string) string {
	b.t.Helper()
	var out strings.Builder
	end, err := b.engine.Exec(b.t.Context(), operator, id, provisioner.ExecRequest{Command: command}, provisioner.Streams{Stdout: &out})
	if err != nil || end.Code != 0 {
		b.t.Fatalf("%v gave %d, %v", command, end.Code, err)
	}
	return strings.TrimSpace(out.String())
}

func TestPoolIsFilledClaimedAndFilledAgain(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 2)
	first := b.untilWarm(2)
	for _, env := range first {
		if env.Tenant+env.Owner != "" || env.Lease.Held() || !strings.HasPrefix(env.Name, "pool-builders-") {
			t.Errorf("a warm one is %+v, want it nobody's", env)
		}
	}
	got, err := b.request(func(r *service.Request) {
		r.Name = "mine"
		r.Project = "acme/app"
		r.Vars = map[string]string{"COLOUR": "green"}
	})
	if err != nil || !got.Claimed {
		t.Fatalf("claimed %t, %v: %s", got.Claimed, err, got.Env.Cold)
	}
	env := got.Env
	if env.ID != first[0].ID && env.ID != first[1].ID {
		t.Error("it is none of the warm ones")
	}
	if env.Name != "mine" || env.Owner != "ann" || env.Project != "acme/app" || env.State != fleet.Leased || env.Work.Action != fleet.None {
		t.Errorf("it is %+v", env)
	}
	if got := env.Lease.End.Sub(env.Lease.Start); got != time.Hour || !env.Lease.Start.Equal(b.clock.Now()) {
		t.Errorf("leased for %s from %s, want an hour from now", got, env.Lease.Start)
	}
	if got := b.run1("mine", "printenv", "COLOUR"); got != "green" {
		t.Errorf("COLOUR is %q", got)
	}
	if n := b.world.Calls(fake.OpCreate); n > 3 {
		t.Errorf("%d creates", n)
	}
	b.untilWarm(2)
	if kinds := b.events(env.ID); !strings.Contains(kinds, "environment.claimed") || !strings.Contains(kinds, "environment.ready: handed over") {
		t.Errorf("its record is\n%s", kinds)
	}
	if breaches := b.world.Breaches(); len(breaches) > 0 {
		t.Error(breaches)
	}
}

// TestRefillNeverOverCreates: many nudges while members are being made add none.
func TestRefillNeverOverCreates(t *testing.T) {
	b := setup(t).run()
	hang := b.inject(fake.Fault{Op: fake.OpCreate, Stage: fake.Before, Hold: true, Times: 3})
	b.pool("builders", 3)
	b.reached(hang)
	for i := range 20 {
		b.pool("builders", 3, func(p *fleet.Pool) { p.Surge = i % 2 })
	}
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	b.untilWarm(3)
	if n := b.world.Calls(fake.OpCreate); n != 3 {
		t.Errorf("%d creates for a pool of 3", n)
	}
}

func TestPoolIsShrunkAndRemoved(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 3)
	b.untilWarm(3)
	leased := b.acquire()
	b.untilWarm(3)
	b.pool("builders", 1)
	b.untilWarm(1)
	if err := b.engine.Pools.Remove(t.Context(), platform, "builders"); err != nil {
		t.Fatal(err)
	}
	b.untilWarm(0)
	env, err := b.db.Get(t.Context(), leased.ID)
	if err != nil || env.State != fleet.Leased {
		t.Errorf("what was claimed is %s (%v), want it to live on", env.State, err)
	}
	b.run1(leased.ID, "true")
}

// changing is a shelf whose blueprint is replaced.
type changing struct {
	shelf
	version atomic.Int64
}

func (c *changing) Get(name string) (fleet.Blueprint, error) {
	bp, err := c.shelf.Get(strings.TrimSuffix(name, "@1.0.0"))
	bp.Ref.Digest = fmt.Sprintf("sha256:%064d", 1+c.version.Load())
	return bp, err
}
func (c *changing) List() []fleet.Blueprint { return nil }

func TestNewDigestRollsThePoolOver(t *testing.T) {
	books := &changing{}
	b := setup(t, func(c *daemon.Config) { books.shelf = c.Blueprints.(shelf); c.Blueprints = books }).run()
	b.pool("builders", 3, func(p *fleet.Pool) { p.Min, p.Max, p.Surge = 2, 4, 1 })
	b.untilWarm(3)
	least := 3
	books.version.Store(1)
	waitUntil(t, "all are of the new digest", func() bool {
		fresh, warm := 0, b.warm()
		for _, env := range warm {
			if strings.HasSuffix(env.Blueprint.Digest, "2") {
				fresh++
			}
		}
		least = min(least, len(warm))
		return fresh == 3 && len(warm) == 3
	})
	if least < 2 {
		t.Errorf("there were only %d ready while it was rolled over, want the minimum of 2 at least", least)
	}
}

func TestPoolThatKeepsFailingIsHeldAndResumed(t *testing.T) {
	b := setup(t).run()
	broken := fake.FailBefore(fake.OpCreate, provisioner.Permanent, "the blueprint is broken")
	broken.Times = fake.Always
	in := b.inject(broken)
	b.pool("builders", 1)
	waitUntil(t, "the pool is held", func() bool {
		p, err := b.engine.Pools.One(t.Context(), ann, "builders")
		return err == nil && p.Held != ""
	})
	tries := b.world.Calls(fake.OpCreate)
	if tries != 3 {
		t.Errorf("held after %d tries, want 3", tries)
	}
	// People are still served, cold, and are told why.
	if err := in.Lift(); err != nil {
		t.Fatal(err)
	}
	env := b.untilState(b.acquire().ID, fleet.Leased)
	if !strings.HasPrefix(env.Cold, "pool builders is held: ") {
		t.Errorf("cold because %q", env.Cold)
	}
	if n := b.world.Calls(fake.OpCreate); n != tries+1 {
		t.Errorf("%d creates while it was held, want the request's only", n-tries)
	}
	if p, err := b.engine.Pools.Resume(t.Context(), platform, "builders"); err != nil || p.Held != "" || p.Failures != 0 {
		t.Fatalf("resumed: %+v, %v", p, err)
	}
	b.untilWarm(1)
	if p, err := b.engine.Pools.One(t.Context(), ann, "builders"); err != nil || p.Failures != 0 {
		t.Errorf("after a success it counts %d failures (%v)", p.Failures, err)
	}
}

func TestUnhealthyWarmOneIsReplaced(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	bad := b.untilWarm(1)[0]
	if err := b.world.Stop(bad.SandboxID, 1, ""); err != nil {
		t.Fatal(err)
	}
	b.untilState(bad.ID, fleet.Destroyed)
	if next := b.untilWarm(1)[0]; next.ID == bad.ID {
		t.Error("it is still there")
	}
	// Whoever looks first tells it.
	if record := b.events(bad.ID); !strings.Contains(record, "environment.unhealthy") && !strings.Contains(record, "environment.ended") {
		t.Errorf("its record is\n%s", record)
	}
}

// TestFlappingHealthIsForgiven: only a second bad look in a row counts.
func TestFlappingHealthIsForgiven(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	env := b.untilWarm(1)[0]
	for range 3 {
		flap := b.inject(fake.FailBefore(fake.OpInspect, provisioner.Transient, "a hiccup"))
		b.reached(flap)
		before := b.world.Calls(fake.OpInspect)
		waitUntil(t, "it was looked at again", func() bool { return b.world.Calls(fake.OpInspect) >= before+2 })
	}
	if now, err := b.db.Get(t.Context(), env.ID); err != nil || now.State != fleet.Warm {
		t.Errorf("it is %s (%v), want it forgiven", now.State, err)
	}
}

func TestWarmOnesArePausedAndThawed(t *testing.T) {
	needs(t, "pause", func(can provisioner.Capabilities) bool { return can.Pause })
	b := setup(t).run()
	b.pool("builders", 2, func(p *fleet.Pool) { p.Pause = true })
	for _, env := range b.untilWarm(2) {
		status, err := b.world.Runtime().Inspect(t.Context(), env.SandboxID)
		if err != nil || !status.Paused || !env.Paused {
			t.Errorf("a warm one is %+v, marked %t (%v), want it frozen", status, env.Paused, err)
		}
	}
	env := b.acquire(func(r *service.Request) { r.Secrets = map[string][]byte{"token": []byte("s3cret")} })
	if env.State != fleet.Leased || env.Paused {
		t.Fatalf("it is %s, paused %t", env.State, env.Paused)
	}
	if got := b.run1(env.ID, "cat", "/run/bothy/token"); got != "s3cret" {
		t.Errorf("the secret reads %q", got)
	}
	b.untilWarm(2)
	// Switched off, those that are there thaw; switched on again, they freeze.
	for _, pause := range []bool{false, true} {
		b.pool("builders", 2, func(p *fleet.Pool) { p.Pause = pause })
		waitUntil(t, fmt.Sprintf("paused is %t", pause), func() bool {
			for _, w := range b.warm() {
				if status, err := b.world.Runtime().Inspect(t.Context(), w.SandboxID); err != nil || status.Paused != pause || w.Paused != pause {
					return false
				}
			}
			return true
		})
	}
	b.run1(env.ID, "true")
}

func TestStagesDoNotLeak(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 3)
	b.untilWarm(3)
	waitUntil(t, "each has its stage", func() bool { return b.world.OpenStages() == 3 })
	b.acquire()
	b.untilWarm(3)
	waitUntil(t, "used ones are gone", func() bool { return b.world.OpenStages() == 3 })
	b.pool("builders", 1)
	b.untilWarm(1)
	waitUntil(t, "those of destroyed ones are closed", func() bool { return b.world.OpenStages() == 1 })
	b.stop()
	if n := b.world.OpenStages(); n != 0 {
		t.Errorf("%d stages are open after the end", n)
	}
	// The next process opens them again.
	b.engine = b.newEngine("daemon-1.b")
	b.run()
	waitUntil(t, "they are open again", func() bool { return b.world.OpenStages() == 1 })
}

func TestPoolsCountWhatIsSeen(t *testing.T) {
	b := setup(t).run()
	wantCode(t, b.engine.Pools.Remove(t.Context(), platform, "none"), fleet.CodeNotFound)
	_, err := b.engine.Pools.One(t.Context(), ann, "none")
	wantCode(t, err, fleet.CodeNotFound)

	b.pool("builders", 1)
	b.untilWarm(1)
	b.acquire()
	b.untilWarm(1)
	for who, leased := range map[string]int{"ann": 1, "eve": 0, "pat": 1} {
		id := map[string]fleet.Identity{"ann": ann, "eve": stranger, "pat": platform}[who]
		all, err := b.engine.Pools.All(t.Context(), id)
		if err != nil || len(all) != 1 || all[0].Leased != leased || all[0].Warm != 1 || all[0].TargetNow != 1 {
			t.Errorf("%s sees %+v (%v), want %d leased: what others hold is theirs to know", who, all, err, leased)
		}
	}
}

// TestABusyMachineIsFilledSlowly: while everything on a host waits for a processor, its pools are filled one by one; once that is
// over, they are filled at once.
func TestABusyMachineIsFilledSlowly(t *testing.T) {
	needs(t, "pressure", func(can provisioner.Capabilities) bool { return can.Pressure })
	t.Parallel()
	b := setup(t)
	b.world.SetPressure(90, 2)
	b.run()
	held := b.hangs(fake.OpCreate, "")
	b.pool("builders", 3)
	b.reached(held)
	making := func() (n int) {
		envs, err := b.db.Live(t.Context())
		b.must(err)
		for _, env := range envs {
			if env.State == fleet.Provisioning {
				n++
			}
		}
		return n
	}
	waitUntil(t, "three members are there", func() bool { envs, err := b.db.Live(t.Context()); return err == nil && len(envs) == 3 })
	if n := making(); n != 1 {
		t.Errorf("%d are made at once on a busy machine, want 1", n)
	}
	b.world.SetPressure(10, 2)
	waitUntil(t, "the others are made, too", func() bool { return making() == 3 })
	b.must(held.Lift())
	b.untilWarm(3)
}
