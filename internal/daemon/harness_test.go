package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

const (
	instance = "test0001"
	// patience bounds every wait for something that must happen.
	patience = 2 * time.Minute
)

var secret = []byte("0123456789abcdef0123456789abcdef")

// The people of the tests.
var (
	ann      = fleet.Identity{User: "ann", Tenant: fleet.DefaultTenant, Team: fleet.DefaultTeam, Teams: []string{fleet.DefaultTeam}, Role: fleet.RoleMember}
	bob      = fleet.Identity{User: "bob", Tenant: fleet.DefaultTenant, Team: "other", Teams: []string{"other"}, Role: fleet.RoleMember}
	stranger = fleet.Identity{User: "eve", Tenant: "elsewhere", Team: fleet.DefaultTeam, Teams: []string{fleet.DefaultTeam}, Role: fleet.RoleMember}
	platform = fleet.Identity{User: "pat", Tenant: fleet.DefaultTenant, Team: fleet.DefaultTeam, Teams: []string{fleet.DefaultTeam}, Role: fleet.RolePlatform}
	// operator is platform, using its role on what is others'.
	operator = fleet.Identity{User: "pat", Tenant: fleet.DefaultTenant, Team: fleet.DefaultTeam, Teams: []string{fleet.DefaultTeam}, Role: fleet.RolePlatform, Because: "the test's own"}
)

// clock is moved by tests; it starts at a fixed time.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// shelf is a catalogue of one blueprint.
type shelf struct{ bp fleet.Blueprint }

func (s shelf) Get(name string) (fleet.Blueprint, error) {
	if name != s.bp.Ref.Name && name != s.bp.Ref.String() {
		return fleet.Blueprint{}, fleet.Errorf(fleet.CodeNotFound, "there is no blueprint %s", name)
	}
	return s.bp, nil
}
func (s shelf) List() []fleet.Blueprint    { return []fleet.Blueprint{s.bp} }
func (s shelf) Dir(string) (string, error) { return s.bp.Dir, nil }

func testBlueprint(dir string) fleet.Blueprint {
	return fleet.Blueprint{
		Ref: fleet.BlueprintRef{Name: "build", Version: "1.0.0", Digest: "sha256:" + fmt.Sprintf("%064d", 1)},
		Dir: dir, Image: "bothy/build", Users: []string{"dev", "root"}, Workspace: "/workspace",
		DefaultTTL: time.Hour, MaxTTL: 8 * time.Hour, DefaultSize: "small",
		Sizes: []fleet.Size{{Name: "small", CPUs: 1, MemoryMiB: 1024, Pids: 512, RateMicros: 3_600_000, Currency: "USD"}},
	}
}

// like is the sort of provider that the tests run on. BOTHY_TEST_PROVIDER=cluster is the one that is least like a Docker engine.
var like = fake.Personality(os.Getenv("BOTHY_TEST_PROVIDER"))

// The kinds of what that provider makes: the sandbox, what holds data, and what else there can be of an environment.
var kindSandbox, kindData, kindMore = kindsOf(like)

func kindsOf(p fake.Personality) (sandbox, data, more string) {
	if p == fake.ClusterLike {
		return "pod", "claim", "service"
	}
	return "container", "volume", "network"
}

// needs skips a test of what this sort of provider cannot do.
func needs(t *testing.T, what string, can func(provisioner.Capabilities) bool) {
	t.Helper()
	if !can(fake.New(fake.Options{Like: like}).Runtime().Capabilities()) {
		t.Skip("this provider has no " + what)
	}
}

// hostOf is a host on a world, with what the world's provider can do.
func hostOf(name string, w *fake.World) daemon.Host {
	runtime := w.Runtime()
	h := daemon.Host{Target: provisioner.Target{Name: name, Kind: "fake"}, Driver: w.Driver(), Runtime: runtime}
	if keeper, ok := provisioner.Can[provisioner.NetworkKeeper](runtime); ok {
		h.Networks = keeper
	}
	return h
}

// bench is an engine on a real store and a fake provider.
type bench struct {
	t      *testing.T
	db     *store.Store
	world  *fake.World
	clock  *clock
	engine *daemon.Daemon
	stop   func()
	dsn    string
}

// setup makes an engine; it runs only after run.
func setup(t *testing.T, change ...func(*daemon.Config)) *bench {
	t.Helper()
	return setupOn(t, fake.Options{Like: like}, change...)
}

// setupOn is setup on a provider of its own.
func setupOn(t *testing.T, provider fake.Options, change ...func(*daemon.Config)) *bench {
	t.Helper()
	c := newClock()
	dsn := "sqlite://" + filepath.Join(t.TempDir(), "bothy.db")
	db, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close store: %v", err)
		}
	})
	key, err := vault.LabelKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	provider.Now, provider.Key, provider.Instance = c.Now, key, instance
	world := fake.New(provider)
	t.Cleanup(func() {
		if breaches := world.Breaches(); len(breaches) > 0 {
			t.Errorf("%d breaches, the first: %s", len(breaches), breaches[0])
		}
	})
	b := &bench{t: t, db: db, world: world, clock: c, dsn: dsn}
	b.engine = b.newEngine("daemon-1.a", change...)
	return b
}

func (b *bench) newEngine(worker string, change ...func(*daemon.Config)) *daemon.Daemon {
	b.t.Helper()
	cfg := daemon.Config{
		Store: b.db, Blueprints: shelf{testBlueprint(b.t.TempDir())},
		Hosts:    []daemon.Host{hostOf("local", b.world)},
		Instance: instance, Worker: worker, Secret: secret, Clock: b.clock.Now,
		// Real time drives the loops; the clock above says what time it is.
		Chance:     func() float64 { return 0 },
		SweepEvery: 50 * time.Millisecond,
	}
	cfg.Tick = 20 * time.Millisecond
	for _, c := range change {
		c(&cfg)
	}
	e, err := daemon.New(cfg)
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// run starts the engine; it is stopped at the end of the test, or by b.stop.
func (b *bench) run() *bench {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done, e := make(chan error, 1), b.engine
	go func() { done <- e.Run(ctx, 5*time.Second) }()
	b.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				b.t.Errorf("engine: %v", err)
			}
		case <-time.After(patience):
			b.t.Error("the engine did not stop")
		}
	})
	b.t.Cleanup(b.stop)
	return b
}

func (b *bench) acquire(change ...func(*service.Request)) fleet.Environment {
	b.t.Helper()
	req := service.Request{Who: ann}
	for _, c := range change {
		c(&req)
	}
	got, err := b.engine.Acquire(b.t.Context(), req)
	if err != nil {
		b.t.Fatalf("acquire: %v", err)
	}
	return got.Env
}

// until watches an environment until it is as wanted.
func (b *bench) until(id, what string, want func(fleet.Environment) bool) fleet.Environment {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	var last fleet.Environment
	err := b.engine.Watch(ctx, platform, id, 0, func(env fleet.Environment, _ []fleet.Event) error {
		last = env
		if want(env) {
			return errSeen
		}
		return nil
	})
	if !errors.Is(err, errSeen) && !want(last) {
		b.t.Fatalf("waiting until it is %s: %v; it is %s (%s), attempts %d, failure %+v", what, err, last.State, last.Reason, last.Work.Attempts, last.Failure)
	}
	return last
}

var errSeen = errors.New("seen")

func (b *bench) untilState(id string, state fleet.State) fleet.Environment {
	b.t.Helper()
	return b.until(id, string(state), func(e fleet.Environment) bool { return e.State == state })
}

// left lists what exists at the provider, spare networks left out, sandboxes first.
func (b *bench) left() []provisioner.Found {
	b.t.Helper()
	all, err := b.world.All()
	if err != nil {
		b.t.Fatal(err)
	}
	var out []provisioner.Found
	for _, f := range all {
		if f.Labels[provisioner.LabelEnvironment] != "" {
			out = append(out, f)
		}
	}
	slices.SortStableFunc(out, func(a, c provisioner.Found) int { return b.world.Runtime().RemovalOrder(a.Ref, c.Ref) })
	return out
}

// take takes something away from outside, and returns when lists show that.
func (b *bench) take(id string) error {
	b.t.Helper()
	if err := b.world.Take(id); err != nil {
		return err
	}
	if lag := b.world.Runtime().Capabilities().ListLag; lag > 0 {
		time.Sleep(lag) // what the provider promises: nothing tells that it is over
	}
	return nil
}

func (b *bench) nothingLeft() {
	b.t.Helper()
	if left := b.left(); len(left) > 0 {
		b.t.Errorf("left at the provider: %+v", left)
	}
}

func (b *bench) inject(f fake.Fault) *fake.Injection {
	b.t.Helper()
	in, err := b.world.Inject(f)
	if err != nil {
		b.t.Fatal(err)
	}
	return in
}

func (b *bench) reached(in *fake.Injection) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if err := in.Reached(ctx); err != nil {
		live, _ := b.db.Live(b.t.Context())
		b.t.Fatalf("the fault was not met: %v; live: %+v; calls: %d", err, live, b.world.Calls(fake.OpCreate))
	}
}

func wantCode(t *testing.T, err error, want fleet.Code) {
	t.Helper()
	if got := fleet.CodeOf(err); got != want {
		t.Fatalf("error %v has code %q, want %q", err, got, want)
	}
}
