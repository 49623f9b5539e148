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
)

// often probes as often as a test wants to see it.
func often(c *daemon.Config) { c.ProbeEvery = 50 * time.Millisecond }

func (b *bench) storeCheck() service.Check {
	b.t.Helper()
	all := b.engine.CheckNow(b.t.Context())
	i := slices.IndexFunc(all, func(c service.Check) bool { return c.Name == "store" })
	if i < 0 {
		b.t.Fatalf("no check of the store among %+v", all)
	}
	return all[i]
}

// TestRemovedDatabaseIsTold (R6): SQLite goes on with a file that was removed, and all that is recorded in it is lost at the end.
func TestRemovedDatabaseIsTold(t *testing.T) {
	b := setup(t, often).run()
	b.served()
	waitUntil(t, "the store is well", func() bool { return b.storeCheck().Status == service.OK })
	file := strings.TrimPrefix(b.dsn, "sqlite://")
	if err := os.Rename(file, file+".away"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "it is told", func() bool { return b.storeCheck().Status == service.Down })
	if c := b.storeCheck(); !strings.Contains(c.Message, "removed or replaced") || !strings.Contains(c.Hint, "bothyd restore") {
		t.Errorf("told %+v", c)
	}
}

// TestLockedDatabaseIsTold (R6): reads are answered, and nothing can be written.
func TestLockedDatabaseIsTold(t *testing.T) {
	b := setup(t, often).run()
	b.served()
	db, err := sql.Open("sqlite", strings.TrimPrefix(b.dsn, "sqlite://"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, statement := range []string{"PRAGMA busy_timeout = 10000", "BEGIN IMMEDIATE"} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	waitUntil(t, "it is told", func() bool { return b.storeCheck().Status == service.Down })
	if _, err := db.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the store is well again", func() bool { return b.storeCheck().Status == service.OK })
}

// TestDamagedDatabaseEndsLeases (R6): what cannot be read any more keeps nothing alive past its lease, and the store is not ready.
func TestDamagedDatabaseEndsLeases(t *testing.T) {
	b := setup(t, often).run()
	lease := func(d time.Duration) func(*service.Request) { return func(r *service.Request) { r.TTL = &d } }
	over := b.untilState(b.acquire(lease(time.Hour)).ID, fleet.Leased)
	goesOn := b.untilState(b.acquire(lease(4*time.Hour)).ID, fleet.Leased)
	extended := b.untilState(b.acquire(lease(time.Hour)).ID, fleet.Leased)
	if _, err := b.engine.Extend(t.Context(), ann, extended.ID, 3*time.Hour); err != nil {
		t.Fatal(err)
	}
	b.damage()
	waitUntil(t, "it is told", func() bool { return b.storeCheck().Status == service.Down })
	b.clock.advance(time.Hour + time.Minute)
	waitUntil(t, "its sandbox is gone", func() bool { return !b.there(over.SandboxID) })
	if !b.there(goesOn.SandboxID) || !b.there(extended.SandboxID) {
		t.Error("a lease that goes on lost its sandbox")
	}
}

// damage overwrites what is in the database, in the file and in the log beside it.
func (b *bench) damage() {
	b.t.Helper()
	file := strings.TrimPrefix(b.dsn, "sqlite://")
	for name, keep := range map[string]int64{file: 100, file + "-wal": 4096} {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			b.t.Fatal(err)
		}
		info, err := f.Stat()
		if err == nil && info.Size() > keep {
			_, err = f.WriteAt(slices.Repeat([]byte{0xa5}, int(info.Size()-keep)), keep)
		}
		if err := f.Close(); err != nil {
			b.t.Fatal(err)
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestALeaseEndedByMemoryIsOurs: a lease ends while the database cannot be written. Once it can, the record says that bothy ended it, the
// bill ends when the sandbox went, and the receipt says when that was.
func TestALeaseEndedByMemoryIsOurs(t *testing.T) {
	b := setup(t, often, patient).run()
	env := b.untilState(b.acquire(func(r *service.Request) { r.TTL = ptr(time.Hour) }).ID, fleet.Leased)
	b.pass(time.Minute)
	waitUntil(t, "the lease is known", func() bool { return b.engine.KnowsLease(env.ID) })
	unlock := b.lockDatabase()
	waitUntil(t, "it is told", func() bool { return b.storeCheck().Status == service.Down })
	b.clock.advance(time.Hour)
	waitUntil(t, "its sandbox is gone", func() bool { return !b.there(env.SandboxID) })
	removed := b.clock.Now()
	waitUntil(t, "no list shows it any more", func() bool { return !b.listed(env.SandboxID) })
	b.clock.advance(time.Hour)
	unlock()
	gone := b.untilState(env.ID, fleet.Destroyed)
	kinds := b.kinds(env.ID)
	if slices.Contains(kinds, "environment.lost") || !slices.Contains(kinds, "lease.expired") || gone.Failure != nil {
		t.Errorf("its record is %v, failure %+v; want that its lease ended", kinds, gone.Failure)
	}
	if b.check("sandboxes").Status != service.OK {
		t.Errorf("doctor blames somebody: %+v", b.check("sandboxes"))
	}
	if late := gone.BilledUntil.Sub(removed).Abs(); late > billSlack {
		t.Errorf("billed until %s, and its sandbox went at %s", gone.BilledUntil, removed)
	}
	if got, want := b.chargedFor(env.ID), b.existed(env.ID); (got - want).Abs() > billSlack {
		t.Errorf("charged for %s, its container existed for %s", got, want)
	}
	proof := b.proof(env.ID)
	told := false
	for _, r := range proof.Resources {
		told = told || r.ID == env.SandboxID && strings.Contains(r.Note, "after the end of its lease, while the database could not be used")
	}
	if !told {
		t.Errorf("the receipt does not say who removed it: %+v", proof.Resources)
	}
}

// TestASandboxThatIsGoneAtItsEndIsNobodysFault: a process that ended a lease by what it knew has died before it could record that.
func TestASandboxThatIsGoneAtItsEndIsNobodysFault(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire(func(r *service.Request) { r.TTL = ptr(time.Hour) }).ID, fleet.Leased)
	b.stop()
	b.pass(2 * time.Hour)
	for _, f := range b.left() {
		b.must(b.take(f.ID))
	}
	b.engine = b.newEngine("daemon-1.b", patient)
	b.run()
	gone := b.untilState(env.ID, fleet.Destroyed)
	if kinds := b.kinds(env.ID); slices.Contains(kinds, "environment.lost") || !slices.Contains(kinds, "lease.expired") || gone.Failure != nil {
		t.Errorf("its record is %v, failure %+v; want that its lease ended", kinds, gone.Failure)
	}
}
