package daemon_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// marks is a state directory that remembers.
type marks struct {
	mu               sync.Mutex
	events, receipts int64
}

func (m *marks) Load() (events, receipts int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.events, m.receipts, nil
}

func (m *marks) Note(events, receipts int64) error { return m.Save(events, receipts) }

func (m *marks) Save(events, receipts int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events, m.receipts = events, receipts
	return nil
}

// ahead is the memory of a daemon whose database was lost.
func ahead(c *daemon.Config) { c.Marks = &marks{events: 1000, receipts: 10} }

// lostDatabase gives an engine on an empty database, and a sandbox of before on a network of the keeper's.
func lostDatabase(t *testing.T, change ...func(*daemon.Config)) (b *bench, sandbox provisioner.Found) {
	t.Helper()
	b = setup(t, change...)
	runtime := b.world.Runtime()
	owner := provisioner.Owner{Instance: instance, Environment: "before", Generation: 3, Blueprint: "build@1.0.0", User: "bob", Created: b.clock.Now()}
	var network provisioner.Attachment
	if keeper, ok := provisioner.Can[provisioner.NetworkKeeper](runtime); ok {
		var err error
		if network, err = keeper.Reserve(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
	}
	image, err := runtime.ResolveImage(t.Context(), "bothy/build")
	if err != nil {
		t.Fatal(err)
	}
	bp := testBlueprint(t.TempDir())
	spec := provisioner.Spec{
		Blueprint: provisioner.Blueprint{Name: bp.Ref.Name, Version: bp.Ref.Version, Digest: bp.Ref.Digest, Dir: bp.Dir},
		Owner:     owner, Labels: ownLabels(t, "before", 3), Sandbox: provisioner.Sandbox{Image: image, Network: network},
	}
	spec.Labels = labelsOf(t, owner)
	driver := b.world.Driver()
	if err := driver.Prepare(t.Context(), spec.Blueprint); err != nil {
		t.Fatal(err)
	}
	if _, err := driver.Create(t.Context(), spec, nil); err != nil {
		t.Fatal(err)
	}
	return b, b.left()[0]
}

func labelsOf(t *testing.T, owner provisioner.Owner) map[string]string {
	t.Helper()
	key, err := vault.LabelKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return key.Labels(owner)
}

// TestSafeModeTouchesNothing (FAILURES 41): after a lost database what exists is listed, and left for people to decide.
func TestSafeModeTouchesNothing(t *testing.T) {
	b, sandbox := lostDatabase(t, ahead)
	b.run()
	for range 4 {
		b.sweeps()
		b.clock.advance(time.Hour)
	}
	report := b.orphans()
	if !report.Safe || !strings.Contains(report.Reason, "lost or restored") || len(report.Orphans) != len(b.left()) {
		t.Fatalf("reported %+v, want safe mode with its reason and the orphan", report)
	}
	if !b.there(sandbox.ID) {
		t.Fatal("what was unknown was removed")
	}
	if sandbox.Attachment != "" && !b.there(networkOf(b, sandbox)) {
		t.Error("its network was taken away from under it")
	}
	// New environments are made and end as ever.
	b.release(b.untilState(b.acquire().ID, fleet.Leased).ID)
	warned := slices.ContainsFunc(b.engine.CheckNow(t.Context()), func(c service.Check) bool { return c.Name == "safe-mode" && c.Status == service.Warning })
	if !warned || b.recorded("safe-mode.on") != 1 {
		t.Error("nothing tells of safe mode")
	}
}

// networkOf gives the id of the network that a sandbox is on.
func networkOf(b *bench, sandbox provisioner.Found) string {
	b.t.Helper()
	all, err := b.world.All()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range all {
		if f.Environment() == "" && f.Attachment == sandbox.Attachment {
			return f.ID
		}
	}
	return ""
}

// TestSafeModeOutlivesRestarts: it is in the database, so a daemon that remembers nothing keeps to it.
func TestSafeModeOutlivesRestarts(t *testing.T) {
	b, sandbox := lostDatabase(t, ahead)
	b.run()
	b.sweeps()
	b.stop()
	b.engine = b.newEngine("daemon-2.a")
	b.run()
	b.clock.advance(time.Hour)
	b.sweeps()
	if !b.orphans().Safe || !b.there(sandbox.ID) {
		t.Error("a restart ended safe mode")
	}
	if n := b.recorded("safe-mode.on"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestWhenSafeModeBegins(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*daemon.Config)
		want   string
	}{
		"events are missing":    {func(c *daemon.Config) { c.Marks = &marks{events: 7} }, "event 7"},
		"receipts are missing":  {func(c *daemon.Config) { c.Marks = &marks{receipts: 1} }, "receipt 1"},
		"the same installation": {func(c *daemon.Config) { c.Marks = &marks{} }, ""},
		"nothing is remembered": {func(*daemon.Config) {}, ""},
	} {
		b := setup(t, c.change).run()
		waitUntil(t, "it has looked", func() bool { return b.world.Calls(fake.OpInventory) > 0 })
		report := b.orphans()
		if report.Safe != (c.want != "") || !strings.Contains(report.Reason, c.want) {
			t.Errorf("%s: safe %t, %q", name, report.Safe, report.Reason)
		}
		b.stop()
	}
}

// TestMarksFollow: what is remembered keeps up with the records, so that a loss is seen.
func TestMarksFollow(t *testing.T) {
	m := &marks{}
	remember := func(c *daemon.Config) { c.Marks = m }
	b := setup(t, remember).run()
	b.release(b.untilState(b.acquire().ID, fleet.Leased).ID)
	waitUntil(t, "the marks follow", func() bool {
		events, receipts, err := b.db.Marks(t.Context())
		known, knownReceipts, _ := m.Load()
		return err == nil && known == events && knownReceipts == receipts && receipts == 1
	})
	b.stop()
	fresh := setup(t, remember).run() // an empty database
	waitUntil(t, "it has looked", func() bool { return fresh.world.Calls(fake.OpInventory) > 0 })
	if !fresh.orphans().Safe {
		t.Error("nobody saw that the database was lost")
	}
}

// TestAdopt: an orphan becomes an environment that works, costs, and can be given back; safe mode ends.
func TestAdopt(t *testing.T) {
	b, sandbox := lostDatabase(t, ahead, patient)
	b.run()
	b.sweeps()
	_, err := b.engine.Orphans.Adopt(t.Context(), platform, []string{"no-such"})
	wantCode(t, err, fleet.CodeNotFound)
	report, err := b.engine.Orphans.Adopt(t.Context(), platform, []string{"before"})
	if err != nil || report.Safe || len(report.Orphans) > 0 {
		t.Fatalf("after it %+v, %v; want nothing left and safe mode over", report, err)
	}
	env, err := b.engine.Find(t.Context(), platform, "adopted-before")
	if err != nil {
		t.Fatal(err)
	}
	if env.State != fleet.Leased || env.Owner != "bob" || env.SandboxID != sandbox.ID || env.Network != string(sandbox.Attachment) ||
		env.Lease.End.Sub(env.Lease.Start) != time.Hour {
		t.Errorf("the row is %+v", env)
	}
	end, err := b.engine.Exec(t.Context(), operator, env.ID, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
	if end.Code != 0 || err != nil {
		t.Errorf("it cannot be used: %d, %v", end.Code, err)
	}
	b.clock.advance(10 * time.Minute)
	b.sweeps()
	if sandbox.Attachment != "" && !b.there(networkOf(b, sandbox)) {
		t.Error("its network was taken away from under it")
	}
	b.release(env.ID)
	body := b.proof(env.ID)
	if body.CostMicros < 600_000 || !lists(body, kindSandbox, sandbox.ID) {
		t.Errorf("the receipt says %+v", body)
	}
	usage, err := b.db.UsageOf(t.Context(), env.Scopes(), env.CreatedAt)
	if err != nil || usage[0].Usage.MicrosToday != body.CostMicros || usage[0].Usage.SecondsToday < 600 {
		t.Errorf("%+v counts (%v), want the %d that it cost", usage[0].Usage, err, body.CostMicros)
	}
	b.nothingLeft()
	b.oracles()
}

// TestPurge: what somebody decides to remove goes at once, and safe mode ends when nothing is left.
func TestPurge(t *testing.T) {
	b, sandbox := lostDatabase(t, ahead)
	b.run()
	data := b.place("volume", "data", ownLabels(t, "older", 1))
	b.sweeps()
	// What has no sandbox cannot be adopted; of all, it is left.
	_, err := b.engine.Orphans.Adopt(t.Context(), platform, []string{"older"})
	wantCode(t, err, fleet.CodeConflict)
	report, err := b.engine.Orphans.Purge(t.Context(), platform, []string{"before"})
	if err != nil || !report.Safe || len(report.Orphans) != 1 || b.there(sandbox.ID) {
		t.Fatalf("after the first %+v, %v; want the other left, and safe mode on", report, err)
	}
	report, err = b.engine.Orphans.Adopt(t.Context(), platform, nil)
	if err != nil || !report.Safe || len(report.Orphans) != 1 {
		t.Fatalf("adopting all gives %+v, %v", report, err)
	}
	report, err = b.engine.Orphans.Purge(t.Context(), platform, nil)
	if err != nil || report.Safe || len(report.Orphans) > 0 || b.there(data.ID) {
		t.Fatalf("after all %+v, %v", report, err)
	}
	if b.recorded("safe-mode.off") != 1 || b.recorded("orphan.removed") != len(b.world.Kinds())+1 {
		t.Error("the record does not tell of it")
	}
	// From now on what is unknown goes by itself again.
	late := b.place("volume", "late", ownLabels(t, b.untilState(b.acquire().ID, fleet.Leased).ID, 0))
	waitUntil(t, "it goes by itself", func() bool { b.clock.advance(10 * time.Second); b.sweeps(); return !b.there(late.ID) })
}

// TestDecidingNeedsTheEngine: what cannot be seen cannot be decided on.
func TestDecidingNeedsTheEngine(t *testing.T) {
	b, sandbox := lostDatabase(t, ahead)
	b.run()
	b.sweeps()
	if err := b.world.SetAvailable(false); err != nil {
		t.Fatal(err)
	}
	_, err := b.engine.Orphans.Purge(t.Context(), platform, nil)
	wantCode(t, err, fleet.CodeUnavailable)
	if !b.orphans().Safe || !b.there(sandbox.ID) {
		t.Error("safe mode ended without a decision")
	}
}

// TestDecidingIsForTheDaemonOfTheHost: what another daemon's host holds is left to that daemon, and safe mode stays.
func TestDecidingIsForTheDaemonOfTheHost(t *testing.T) {
	b := setup(t, ahead).run()
	b.sweeps()
	far := fleet.Orphan{Kind: kindSandbox, ID: "c1", Name: "far", EnvironmentID: "far-env", Labels: ownLabels(t, "far-env", 1)}
	if _, err := b.db.SeeOrphans(t.Context(), "far", []fleet.Orphan{far}, b.clock.Now()); err != nil {
		t.Fatal(err)
	}
	_, err := b.engine.Orphans.Adopt(t.Context(), platform, nil)
	wantCode(t, err, fleet.CodeUnavailable)
	_, err = b.engine.Orphans.Purge(t.Context(), platform, []string{"far-env"})
	wantCode(t, err, fleet.CodeUnavailable)
	if report := b.orphans(); !report.Safe || len(report.Orphans) != 1 {
		t.Errorf("after it %+v", report)
	}
}
