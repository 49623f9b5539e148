package daemon_test

import (
	"path/filepath"
	"slices"
	"strings"
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

// ownLabels are what this installation puts on a resource of an environment.
func ownLabels(t *testing.T, id string, generation int64) map[string]string {
	t.Helper()
	key, err := vault.LabelKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return key.Labels(provisioner.Owner{
		Instance: instance, Environment: id, Generation: generation, Blueprint: "build@1.0.0", User: "ann", Created: newClock().Now(),
	})
}

// place makes a resource that existed long before the test: lists show it.
func (b *bench) place(kind, name string, labels map[string]string) provisioner.Found {
	b.t.Helper()
	f, err := b.world.Place(kind, name, labels)
	if err != nil {
		b.t.Fatal(err)
	}
	waitUntil(b.t, name+" is listed", func() bool { return b.listed(f.ID) })
	return f
}

// listed reports whether the host's lists show a resource, which may be late.
func (b *bench) listed(id string) bool {
	b.t.Helper()
	all, err := provisioner.ListAll(b.t.Context(), b.world.Runtime(), provisioner.Selector{Instance: instance})
	if err != nil {
		b.t.Fatal(err)
	}
	return slices.ContainsFunc(all, func(f provisioner.Found) bool { return f.ID == id })
}

// there reports whether a resource exists.
func (b *bench) there(id string) bool {
	b.t.Helper()
	all, err := b.world.All()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range all {
		if f.ID == id {
			return true
		}
	}
	return false
}

// sweeps waits until two whole sweeps more have run.
func (b *bench) sweeps() {
	b.t.Helper()
	op, enough := fake.OpReconcile, 3 // the last step of each
	if !b.world.Runtime().Capabilities().Networks {
		op, enough = fake.OpInventory, 6 // the first; what is destroyed is listed, too
	}
	before := b.world.Calls(op)
	waitUntil(b.t, "two sweeps ran", func() bool { return b.world.Calls(op) >= before+enough })
}

func (b *bench) orphans() service.OrphanReport {
	b.t.Helper()
	report, err := b.engine.Orphans.List(b.t.Context(), platform)
	if err != nil {
		b.t.Fatal(err)
	}
	return report
}

// record is all of it.
func (b *bench) record() []fleet.Event {
	b.t.Helper()
	events, err := b.db.EventsBy(b.t.Context(), store.EventFilter{Limit: store.MaxLimit})
	if err != nil {
		b.t.Fatal(err)
	}
	return events
}

// recorded counts the entries of a kind in the whole record.
func (b *bench) recorded(kind string) int {
	b.t.Helper()
	n := 0
	for _, ev := range b.record() {
		if ev.Kind == kind {
			n++
		}
	}
	return n
}

// TestPromiseNoOrphans (FAILURES 29): what nobody knows is reported, and removed after a grace; told once each.
func TestPromiseNoOrphans(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	orphans := []provisioner.Found{
		b.place(kindSandbox, "lost", ownLabels(t, env.ID, 0)), // of a try before the first that is known
		b.place("volume", "lost-data", ownLabels(t, env.ID, 0)),
	}
	b.sweeps()
	report := b.orphans()
	if report.Safe || len(report.Orphans) != 2 || report.Orphans[0].Sightings < 2 {
		t.Fatalf("reported %+v, want both, seen more than once", report)
	}
	b.clock.advance(59 * time.Second)
	b.sweeps()
	for _, o := range orphans {
		if !b.there(o.ID) {
			t.Errorf("%s is gone after 59 s, within the grace", o.Name)
		}
	}
	b.clock.advance(time.Second)
	waitUntil(t, "both are removed", func() bool { return !b.there(orphans[0].ID) && !b.there(orphans[1].ID) })
	waitUntil(t, "nothing is reported any more", func() bool { return len(b.orphans().Orphans) == 0 })
	if seen, removed := b.recorded("orphan.seen"), b.recorded("orphan.removed"); seen != 2 || removed != 2 {
		t.Errorf("told %d times of a sighting and %d times of a removal, want 2 and 2", seen, removed)
	}
}

// forLong asks for as long as there is.
func forLong(r *service.Request) { ttl := 8 * time.Hour; r.TTL = &ttl }

// TestOneSightingIsNotEnough: however long the time between, an orphan must be seen twice.
func TestOneSightingIsNotEnough(t *testing.T) {
	var hide sync.Map
	b := setup(t, func(c *daemon.Config) {
		c.OrphanGrace = time.Nanosecond
		c.Hosts[0].Runtime = &listing{Runtime: c.Hosts[0].Runtime.(*fake.Runtime), alter: func(n int64, all []provisioner.Found) []provisioner.Found {
			// Every second list lags: the orphan is never seen twice in a row.
			if _, hidden := hide.Load("on"); hidden && n%2 == 0 {
				return slices.DeleteFunc(all, func(f provisioner.Found) bool { return f.Name == "lost" })
			}
			return all
		}}
	})
	hide.Store("on", true)
	b.run()
	o := b.place(kindSandbox, "lost", ownLabels(t, b.untilState(b.acquire(forLong).ID, fleet.Leased).ID, 0))
	for range 3 {
		b.clock.advance(time.Hour)
		b.sweeps()
	}
	if !b.there(o.ID) {
		t.Error("it was removed after one sighting")
	}
	hide.Delete("on")
	waitUntil(t, "it is removed", func() bool { b.clock.advance(time.Minute); return !b.there(o.ID) })
}

// TestForgedLabelsAreNeverTouched (FAILURES 38): told once, shown by the checks, and left alone.
func TestForgedLabelsAreNeverTouched(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	var forged []provisioner.Found
	for name, change := range map[string]func(map[string]string){
		"no-mac":      func(l map[string]string) { delete(l, provisioner.LabelMAC) },
		"zeros":       func(l map[string]string) { l[provisioner.LabelMAC] = strings.Repeat("0", 32) },
		"moved":       func(l map[string]string) { l[provisioner.LabelEnvironment] = env.ID }, // a MAC of another environment
		"of-no-one":   func(l map[string]string) { l[provisioner.LabelEnvironment] = "" },
		"regenerated": func(l map[string]string) { l[provisioner.LabelGeneration] = "7" },
	} {
		labels := ownLabels(t, "some-env", 1)
		change(labels)
		forged = append(forged, b.place(kindSandbox, name, labels))
	}
	for range 3 {
		b.clock.advance(10 * time.Minute)
		b.sweeps()
	}
	b.release(env.ID)
	for _, f := range forged {
		if !b.there(f.ID) {
			t.Errorf("%s was removed", f.Name)
		}
	}
	if report := b.orphans(); len(report.Orphans) > 0 {
		t.Errorf("they count as orphans: %+v", report.Orphans)
	}
	warned := false
	for _, c := range b.engine.CheckNow(t.Context()) {
		warned = warned || c.Name == "labels" && c.Status == service.Warning && strings.Contains(c.Message, "5")
	}
	if !warned {
		t.Error("no check tells of them")
	}
}

// TestLeftoversOfALiveOneAreRemoved: what an earlier try of an environment left goes; what belongs to it stays,
// also after a claim has raised its generation.
func TestLeftoversOfALiveOneAreRemoved(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	var own string
	for _, f := range b.left() {
		if f.ID == warm.SandboxID {
			own = f.Labels[provisioner.LabelGeneration]
		}
	}
	data := b.place("volume", "data", ownLabels(t, warm.ID, 1))
	old := b.place("volume", "old-data", ownLabels(t, warm.ID, 0))
	if own != "1" {
		t.Fatalf("the sandbox is of generation %q, want 1", own)
	}
	env := b.untilState(b.acquire().ID, fleet.Leased)
	if env.ID != warm.ID || env.Work.Generation < 2 {
		t.Fatalf("got %s at generation %d, want the warm one, claimed", env.ID, env.Work.Generation)
	}
	waitUntil(t, "the leftover is removed", func() bool { b.clock.advance(10 * time.Second); b.sweeps(); return !b.there(old.ID) })
	if !b.there(data.ID) || !b.there(env.SandboxID) {
		t.Error("what belongs to a claimed environment was removed")
	}
	b.release(env.ID)
	if b.there(data.ID) {
		t.Error("its volume outlived it")
	}
}

// TestTwoInstallationsOnOneEngine (FAILURES 37): each with its database; neither touches the other's.
func TestTwoInstallationsOnOneEngine(t *testing.T) {
	a := setup(t).run()
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "other.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	// Its world is the same; only its networks' labels would be of the first, so it keeps none.
	b := &bench{t: t, db: db, world: a.world, clock: a.clock}
	b.engine = b.newEngine("daemon-2.a", func(c *daemon.Config) {
		c.Instance, c.Secret, c.Hosts[0].Networks = "test0002", []byte(strings.Repeat("y", 32)), nil
	})
	b.run()
	defer b.stop()
	mine := a.untilState(a.acquire().ID, fleet.Leased)
	theirs := b.untilState(b.acquire().ID, fleet.Leased)
	for range 5 {
		a.clock.advance(5 * time.Minute)
		a.sweeps()
	}
	if !a.there(mine.SandboxID) || !a.there(theirs.SandboxID) {
		t.Fatal("one touched the other's")
	}
	b.release(theirs.ID)
	if !a.there(mine.SandboxID) {
		t.Error("a release there took one here away")
	}
	if len(a.orphans().Orphans)+len(b.orphans().Orphans) > 0 {
		t.Error("one takes the other's for orphans")
	}
}

// TestRemovedByHand (FAILURES 28): an environment whose sandbox somebody removed ends, with its cause; one list
// that lags does not end it.
func TestRemovedByHand(t *testing.T) {
	var lag sync.Map
	b := setup(t, func(c *daemon.Config) {
		c.Hosts[0].Runtime = &listing{Runtime: c.Hosts[0].Runtime.(*fake.Runtime), alter: func(n int64, all []provisioner.Found) []provisioner.Found {
			if _, on := lag.Load("all"); on {
				return nil
			}
			return all
		}}
	}).run()
	leased := b.untilState(b.acquire().ID, fleet.Leased)
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	// Lists that show nothing at all, of sandboxes that are there.
	lag.Store("all", true)
	b.sweeps()
	lag.Delete("all")
	for _, env := range []fleet.Environment{leased, warm} {
		if got, err := b.db.Get(t.Context(), env.ID); err != nil || got.State != env.State {
			t.Fatalf("it is %s (%v) because a list lagged", got.State, err)
		}
	}
	for _, f := range b.left() {
		if f.Kind == kindSandbox {
			if err := b.take(f.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	gone := b.untilState(leased.ID, fleet.Destroyed)
	if gone.Failure == nil || gone.Failure.Sentence != "its sandbox was removed by somebody else" {
		t.Errorf("failure %+v, want the cause", gone.Failure)
	}
	b.untilState(warm.ID, fleet.Destroyed)
	if body := b.proof(leased.ID); !lists(body, kindSandbox, leased.SandboxID) {
		t.Errorf("the receipt lists %+v, want the sandbox that somebody removed", body.Resources)
	}
}
