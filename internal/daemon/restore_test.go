package daemon_test

import (
	"database/sql"
	"os"
	"slices"
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

// swap runs a new engine, a minute later, on the database after it was closed and its file given to change.
func (b *bench) swap(change func(file string), with ...func(*daemon.Config)) {
	b.t.Helper()
	b.stop()
	if err := b.db.Close(); err != nil {
		b.t.Fatal(err)
	}
	change(strings.TrimPrefix(b.dsn, "sqlite://"))
	b.clock.advance(time.Minute)
	db, err := store.Open(b.t.Context(), b.dsn)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = db.Close() })
	b.db = db
	b.engine = b.newEngine("daemon-1."+daemon.NewID(), with...)
	b.run().served()
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestRestoredDatabaseGivesNothingAway: what a restored database calls warm has been taken since, what it calls over has been
// extended, and what it calls half made is somebody's. Safe mode hands none of it out and takes none of it away.
func TestRestoredDatabaseGivesNothingAway(t *testing.T) {
	needs(t, "pause", func(can provisioner.Capabilities) bool { return can.Pause })
	kept := &marks{}
	remember := func(c *daemon.Config) { c.Marks = kept }
	b := setup(t, remember).run()
	b.pool("builders", 1, func(p *fleet.Pool) { p.Pause = true })
	warm := b.untilWarm(1)[0]
	lease := func(r *service.Request) { ttl := time.Hour; r.TTL, r.NoPool = &ttl, true }
	extended := b.untilState(b.acquire(lease).ID, fleet.Leased)

	var backup string
	b.swap(func(file string) { backup = file + ".backup"; copyFile(t, file, backup) }, remember)
	secret := func(r *service.Request) { r.Name, r.Secrets = "ann", map[string][]byte{"token": []byte("hers")} }
	got, err := b.request(secret)
	if err != nil || got.Env.ID != warm.ID {
		t.Fatalf("claimed %s, %v; want %s", got.Env.ID, err, warm.ID)
	}
	if _, err := b.engine.Extend(t.Context(), ann, extended.ID, 3*time.Hour); err != nil {
		t.Fatal(err)
	}

	b.swap(func(file string) { copyFile(t, backup, file) }, remember)
	if !b.orphans().Safe {
		t.Fatal("nobody saw that the database was restored")
	}
	other, err := b.request(func(r *service.Request) { r.Who, r.Name = bob, "bob" })
	if err != nil || other.Env.ID == warm.ID {
		t.Fatalf("what somebody uses was handed to somebody else: %+v, %v", other.Env, err)
	}
	b.clock.advance(2 * time.Hour) // the lease is over, as the restored database has it
	b.sweeps()
	for _, id := range []string{warm.ID, extended.ID} {
		row, err := b.db.Get(t.Context(), id)
		if err != nil || !b.there(row.SandboxID) {
			t.Errorf("%s was taken away from whoever has it: %s, %v", row.Name, row.State, err)
		}
	}
	var out strings.Builder
	cat := provisioner.ExecRequest{Command: []string{"cat", provisioner.SecretsDir + "/token"}}
	if _, err := b.world.Runtime().Exec(t.Context(), warm.SandboxID, cat, provisioner.Streams{Stdout: &out}); err != nil || out.String() != "hers" {
		t.Errorf("the sandbox holds %q, %v", out.String(), err)
	}
	// What people ask for is done.
	if _, err := b.engine.Extend(t.Context(), ann, extended.ID, 3*time.Hour); err != nil {
		t.Errorf("it cannot be extended: %v", err)
	}
	if _, err := b.engine.Orphans.Adopt(t.Context(), platform, nil); err != nil {
		t.Fatal(err)
	}
	if b.orphans().Safe {
		t.Fatal("safe mode goes on")
	}
	// Whoever keeps all keeps all: the used one is leased, as nobody knows who has it, and the extended one goes on.
	b.sweeps()
	for id, owner := range map[string]string{warm.ID: platform.User, extended.ID: ann.User} {
		row := b.untilState(id, fleet.Leased)
		if row.Owner != owner || row.Doubted || row.Lease.Expired(b.clock.Now()) || !b.there(row.SandboxID) {
			t.Errorf("it is %s's until %s (doubted: %t), at %s", row.Owner, row.Lease.End, row.Doubted, b.clock.Now())
		}
	}
	b.release(warm.ID)
}

// TestSafeModeRescuesNothing: what was half made when the database was saved may be somebody's by now.
func TestSafeModeRescuesNothing(t *testing.T) {
	kept := &marks{}
	remember := func(c *daemon.Config) { c.Marks = kept }
	b := setup(t, remember).run()
	hang := b.inject(fake.Hang(fake.OpCreate, fake.Half))
	env := b.acquire()
	b.reached(hang)
	// As it is in the middle of the create: the file and what the log beside it holds.
	file := strings.TrimPrefix(b.dsn, "sqlite://")
	copyFile(t, file, file+".backup")
	copyFile(t, file+"-wal", file+".backup-wal")
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	sandbox := b.untilState(env.ID, fleet.Leased).SandboxID

	b.swap(func(file string) { copyFile(t, file+".backup", file); copyFile(t, file+".backup-wal", file+"-wal") }, remember)
	row := b.until(env.ID, "left alone, with the reason", func(e fleet.Environment) bool { return strings.Contains(e.Reason, "safe mode") })
	if row.State != fleet.Provisioning || !b.there(sandbox) {
		t.Errorf("it is %s, and its sandbox there: %t", row.State, b.there(sandbox))
	}
	if _, err := b.engine.Orphans.Adopt(t.Context(), platform, nil); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(time.Minute) // when it is tried again
	b.untilState(env.ID, fleet.Leased)
}

// TestDatabaseRestoredUnderARunningDaemon: it is seen before anything unknown is removed.
func TestDatabaseRestoredUnderARunningDaemon(t *testing.T) {
	kept := &marks{}
	b := setup(t, func(c *daemon.Config) { c.Marks, c.OrphanGrace = kept, time.Second }).run()
	b.sweeps()
	if b.orphans().Safe {
		t.Fatal("safe mode is on")
	}
	if err := kept.Save(1000, 10); err != nil { // the daemon has seen more than the database now knows
		t.Fatal(err)
	}
	unknown := b.place(kindSandbox, "somebody", ownLabels(t, "somebody", 1))
	for range 3 {
		b.sweeps()
		b.clock.advance(time.Hour)
	}
	if !b.orphans().Safe || !b.there(unknown.ID) {
		t.Errorf("safe: %t, what is unknown is there: %t", b.orphans().Safe, b.there(unknown.ID))
	}
}

// TestMarksComeBeforeWhatIsGiven: a claim, an extension, a hand-over and a receipt are in the marks at once and not at the next
// sweep, so that a database that was saved just before them, and restored, is seen to be behind; a claim's are before
// anything of its holder is in the sandbox.
func TestMarksComeBeforeWhatIsGiven(t *testing.T) {
	needs(t, "networks", func(can provisioner.Capabilities) bool { return can.Networks })
	kept := &marks{}
	b := setup(t, func(c *daemon.Config) { c.Marks, c.SweepEvery = kept, time.Hour }).run()
	waitUntil(t, "the only sweep is over", func() bool { return b.world.Calls(fake.OpReconcile) > 0 })
	in := func(id, kind string) bool {
		t.Helper()
		events, err := b.db.Events(t.Context(), id, 0, 100)
		known, _, _ := kept.Load()
		at := slices.IndexFunc(events, func(e fleet.Event) bool { return e.Kind == kind })
		if err != nil || at < 0 {
			t.Fatalf("no event %s among %+v, %v", kind, events, err)
		}
		return known >= events[at].Seq
	}
	cold := b.untilState(b.acquire(func(r *service.Request) { r.NoPool = true }).ID, fleet.Leased)
	waitUntil(t, "the hand-over is in the marks", func() bool { return in(cold.ID, "environment.ready") })
	if _, err := b.engine.Extend(t.Context(), ann, cold.ID, time.Minute); err != nil || !in(cold.ID, "lease.extended") {
		t.Errorf("extended (%v), and the marks do not know", err)
	}
	b.release(cold.ID)
	waitUntil(t, "the receipt is in the marks", func() bool { _, receipts, _ := kept.Load(); return receipts == 1 })

	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	hang := b.inject(fake.Hang(fake.OpDeliver, fake.Before))
	var got service.Acquired
	claimed := make(chan error)
	go func() {
		var err error
		got, err = b.request()
		claimed <- err
	}()
	b.reached(hang)
	if !in(warm.ID, "environment.claimed") {
		t.Error("secrets are delivered, and the marks do not know of the claim")
	}
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	if err := <-claimed; err != nil || got.Env.ID != warm.ID {
		t.Errorf("claimed %s, %v; want %s", got.Env.ID, err, warm.ID)
	}
}

// TestNothingWarmFromARestoredDatabase: a database that was restored under a daemon that runs is noticed by the transaction of
// the first claim, which is given something else.
func TestNothingWarmFromARestoredDatabase(t *testing.T) {
	needs(t, "networks", func(can provisioner.Capabilities) bool { return can.Networks })
	b := setup(t, func(c *daemon.Config) { c.SweepEvery = time.Hour }).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	waitUntil(t, "the only sweep is over", func() bool { return b.world.Calls(fake.OpReconcile) > 0 })
	b.clock.advance(time.Minute)
	db, err := sql.Open("sqlite", strings.TrimPrefix(b.dsn, "sqlite://"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// What a restored one would hold less.
	for _, statement := range []string{"PRAGMA busy_timeout = 10000", "DELETE FROM events WHERE seq > 1", "UPDATE counters SET value = 1 WHERE name = 'events'"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	got, err := b.request()
	if err != nil || got.Env.ID == warm.ID || !b.orphans().Safe {
		t.Fatalf("given %s (%v), safe: %t; want another than %s, and safe mode", got.Env.ID, err, b.orphans().Safe, warm.ID)
	}
	if row := b.get(warm.ID); row.State != fleet.Warm || !b.there(row.SandboxID) {
		t.Errorf("what may be in use is %s", row.State)
	}
	b.untilState(got.Env.ID, fleet.Leased) // what is asked for in safe mode is made
}

// TestMarksComeBeforeWhatExists: a database that does not know of a sandbox is always behind the marks, also when it is
// lost before the next sweep.
func TestMarksComeBeforeWhatExists(t *testing.T) {
	needs(t, "networks", func(can provisioner.Capabilities) bool { return can.Networks })
	kept := &marks{}
	b := setup(t, func(c *daemon.Config) { c.Marks, c.SweepEvery = kept, time.Hour }).run()
	waitUntil(t, "the only sweep is over", func() bool { return b.world.Calls(fake.OpReconcile) > 0 })
	b.release(b.untilState(b.acquire().ID, fleet.Leased).ID)
	hang := b.inject(fake.Hang(fake.OpCreate, fake.Before))
	env := b.acquire()
	b.reached(hang)
	known, _, err := kept.Load()
	if err != nil {
		t.Fatal(err)
	}
	events, err := b.db.Events(t.Context(), env.ID, 0, 10)
	if err != nil || len(events) == 0 || known < events[0].Seq {
		t.Errorf("a sandbox is made, and the marks are at %d, before its request at %+v; %v", known, events, err)
	}
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Leased)
	b.release(env.ID)
	b.stop()
	all, receipts, err := b.db.Marks(t.Context())
	known, knownReceipts, _ := kept.Load()
	if err != nil || known != all || knownReceipts != receipts || receipts != 2 {
		t.Errorf("after a clean stop the marks are at %d and %d, the records at %d and %d; %v", known, knownReceipts, all, receipts, err)
	}
}
