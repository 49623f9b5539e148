package daemon_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// twoSizes adds to the blueprint a size that is not its default.
func twoSizes(c *daemon.Config) {
	bp := c.Blueprints.(shelf).bp
	bp.Sizes = append(bp.Sizes, fleet.Size{Name: "medium", CPUs: 2, MemoryMiB: 4096, Pids: 1024, RateMicros: 7_200_000, Currency: "USD"})
	c.Blueprints = shelf{bp}
}

// emptied gives an engine on an empty database, in the world of another that has stopped.
func (b *bench) emptied(change ...func(*daemon.Config)) *bench {
	b.t.Helper()
	db, err := store.Open(b.t.Context(), "sqlite://"+filepath.Join(b.t.TempDir(), "empty.db"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.t.Errorf("close store: %v", err)
		}
	})
	after := &bench{t: b.t, db: db, world: b.world, clock: b.clock}
	after.engine = after.newEngine("daemon-1.a", change...)
	return after
}

// adoptedEvent gives what the record says of an adoption.
func (b *bench) adoptedEvent(id string) string {
	b.t.Helper()
	for _, ev := range b.record() {
		if ev.Kind == "orphan.adopted" && ev.EnvironmentID == id {
			return ev.Message
		}
	}
	b.t.Fatalf("the record does not tell that %s was adopted", id)
	return ""
}

func (b *bench) adopt(id string) fleet.Environment {
	b.t.Helper()
	b.sweeps()
	if _, err := b.engine.Orphans.Adopt(b.t.Context(), platform, []string{id}); err != nil {
		b.t.Fatal(err)
	}
	env, err := b.engine.Find(b.t.Context(), platform, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return env
}

// TestAdoptIsWhatItWas: what was made for a request is adopted in its size, for its tenant, team and project, at the price
// in force, and counts in their limits as if it had been asked for now.
func TestAdoptIsWhatItWas(t *testing.T) {
	before := setup(t, twoSizes, patient).run()
	was := before.untilState(before.acquire(func(r *service.Request) {
		r.Who, r.Size, r.Project, r.PullRequest = stranger, "medium", "shop", "17"
	}).ID, fleet.Leased)
	before.stop()

	b := before.emptied(ahead, twoSizes, patient)
	rate := fleet.Rate{Blueprint: "build", Size: "medium", Micros: 36_000_000, Currency: "USD"}
	if _, err := b.engine.Costs.SetRate(t.Context(), platform, rate); err != nil {
		t.Fatal(err)
	}
	b.run()
	env := b.adopt(was.ID)
	size := was.Size
	size.RateMicros = rate.Micros
	if env.Size != size || env.Tenant != was.Tenant || env.Team != was.Team || env.Owner != was.Owner ||
		env.Project != was.Project || env.PullRequest != was.PullRequest {
		t.Errorf("adopted as %+v, want what it was: %+v", env, was)
	}
	usage, err := b.engine.Quotas.Get(t.Context(), platform, fleet.Scope{Tenant: stranger.Tenant, Kind: fleet.ScopeTenant})
	if err != nil {
		t.Fatal(err)
	}
	want := fleet.Usage{Environments: 1, MilliCPUs: 2000, MemoryMiB: 4096, SecondsToday: 3600, MicrosToday: 36_000_000, MicrosThisMonth: 36_000_000}
	if usage.Usage != want {
		t.Errorf("its tenant uses %+v, want %+v", usage.Usage, want)
	}
	if said := b.adoptedEvent(env.ID); strings.Contains(said, "; ") {
		t.Errorf("the event tells of a guess: %s", said)
	}
	b.clock.advance(30 * time.Minute)
	b.release(env.ID)
	if body := b.proof(env.ID); body.CostMicros < 18_000_000 || body.Environment.Tenant != stranger.Tenant {
		t.Errorf("the receipt says %+v", body)
	}
	b.oracles()
}

// TestAdoptSaysWhatItGuesses: where labels do not tell, the default size and the adopter's team are taken, and told.
func TestAdoptSaysWhatItGuesses(t *testing.T) {
	owner := func(id string) provisioner.Owner {
		return provisioner.Owner{Instance: instance, Environment: id, Generation: 1, Blueprint: "build@1.0.0", User: "bob", Created: newClock().Now()}
	}
	b := setup(t, ahead, twoSizes, patient).run()
	old, pooled, unknown := owner("old"), owner("pooled"), owner("unknown")
	pooled.User, pooled.Size = "", "medium"
	unknown.Size, unknown.Tenant, unknown.Team = "huge", "acme", "core"
	for _, c := range []struct {
		owner                           provisioner.Owner
		size, tenant, team, user, event string
	}{
		{old, "small", platform.Tenant, platform.Team, "bob",
			"; its labels do not tell its size, so it counts as small; its labels name no team, so it counts in team default of tenant default"},
		{pooled, "medium", platform.Tenant, platform.Team, platform.User,
			"Z; its labels name no team, so it counts in team default of tenant default"},
		{unknown, "small", "acme", "core", "bob", `; blueprint build@1.0.0 has no size "huge", so it counts as small`},
	} {
		b.place(kindSandbox, "found-"+c.owner.Environment, labelsOf(t, c.owner))
		env := b.adopt(c.owner.Environment)
		if env.Size.Name != c.size || env.Tenant != c.tenant || env.Team != c.team || env.Owner != c.user {
			t.Errorf("%s is adopted as %s of %s in %s/%s", env.ID, env.Size.Name, env.Owner, env.Tenant, env.Team)
		}
		if said := b.adoptedEvent(env.ID); !strings.HasSuffix(said, c.event) {
			t.Errorf("the event of %s is %q, want its end %q", env.ID, said, c.event)
		}
	}
}

// TestLabelsOfAPoolNameNobody: who has claimed a pool's member is not in its labels, which were written before.
func TestLabelsOfAPoolNameNobody(t *testing.T) {
	b := setup(t, patient).run()
	b.pool("builders", 1)
	b.untilWarm(1)
	env := b.untilState(b.acquire(func(r *service.Request) { r.Project = "shop" }).ID, fleet.Leased)
	if env.Pool == "" {
		t.Fatal("it is not the pool's")
	}
	for _, f := range b.left() {
		l := f.Labels
		if f.ID == env.SandboxID && (l[provisioner.LabelSize] != "small" || l[provisioner.LabelTenant]+l[provisioner.LabelTeam]+l[provisioner.LabelProject] != "") {
			t.Errorf("its labels are %v", l)
		}
	}
}

// TestSweepBesideAnAdoption: a sweep that began before an orphan was adopted, and waits until it is, knows of it. It once went by
// the rows of before, and took the network away from under what was adopted.
func TestSweepBesideAnAdoption(t *testing.T) {
	needs(t, "networks", func(can provisioner.Capabilities) bool { return can.Networks })
	kept := &marks{events: 1000, receipts: 10}
	asked := make(chan struct{}, 100)
	b, sandbox := lostDatabase(t, patient, func(c *daemon.Config) {
		c.Marks, c.SweepEvery = &tellingMarks{kept, asked}, time.Hour
	})
	b.run().served()
	waitUntil(t, "the only sweep of its own is over", func() bool { return b.world.Calls(fake.OpReconcile) > 0 })
	hang := b.inject(fake.Hang(fake.OpInventory, fake.Before))
	adopted, swept := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := b.engine.Orphans.Adopt(t.Context(), platform, nil)
		adopted <- err
	}()
	b.reached(hang)
	if err := b.db.SetSetting(t.Context(), "safe-mode", ""); err != nil { // so that the sweep asks for the marks, just before it reads
		t.Fatal(err)
	}
	if err := kept.Save(0, 0); err != nil {
		t.Fatal(err)
	}
	for len(asked) > 0 {
		<-asked
	}
	go func() { swept <- b.engine.SweepOnce(t.Context()) }()
	<-asked
	for range 20 { // time enough for a sweep that reads too early
		if _, err := b.db.Live(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-adopted, <-swept); err != nil {
		t.Fatal(err)
	}
	if !b.there(networkOf(b, sandbox)) {
		t.Error("its network was taken away from under it")
	}
}

// tellingMarks tell when somebody asks for them.
type tellingMarks struct {
	*marks
	asked chan struct{}
}

func (m *tellingMarks) Load() (events, receipts int64, err error) {
	m.asked <- struct{}{}
	return m.marks.Load()
}
