package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// process is what is known of one that used a state directory; end ends it.
func process(t *testing.T, db *store.Store, path string) (id identity, end func()) {
	t.Helper()
	dir, err := openStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	end = func() {
		if err := dir.close(); err != nil {
			t.Error(err)
		}
	}
	if id, err = takeIdentity(t.Context(), db, dir, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return id, end
}

// holds makes a worker the holder of a host and the leader, as a running daemon is.
func holds(t *testing.T, db *store.Store, id identity) bool {
	t.Helper()
	now, _, err := db.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := db.DeclareHost(t.Context(), fleet.Host{Name: "local"}); err != nil {
		t.Fatal(err)
	}
	got, err := db.HoldHosts(t.Context(), store.Hold{Worker: id.worker, Names: []string{"local"}, Ended: id.ended}, now, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return len(got.Hosts) == 1
}

// copyDir copies a state directory as `cp -a` does.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestCopiedStateDirectory: the process of a copy takes nothing from the living one of the original, and has an id of its own from then
// on. The next process of the same directory takes over at once.
func TestCopiedStateDirectory(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), pgtest.Shared(t).Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	path := filepath.Join(t.TempDir(), "state")
	first, end := process(t, db, path)
	if !holds(t, db, first) || first.twin != "" || first.ended != nil {
		t.Fatalf("the first process: %+v", first)
	}
	early := copyDir(t, path) // while it lives
	twin, endTwin := process(t, db, early)
	defer endTwin()
	if twin.twin != first.worker || fleet.DaemonOf(twin.worker) == fleet.DaemonOf(first.worker) || holds(t, db, twin) {
		t.Errorf("the process of a copy is %+v, the original's %+v", twin, first)
	}
	if kept, err := os.ReadFile(filepath.Join(early, "daemon")); err != nil || string(kept) != fleet.DaemonOf(twin.worker) {
		t.Errorf("the copy's id is %q, %v", kept, err)
	}

	end()
	next, end := process(t, db, path)
	if next.twin != "" || fleet.DaemonOf(next.worker) != fleet.DaemonOf(first.worker) || !slices.Equal(next.ended, []string{first.worker}) || !holds(t, db, next) {
		t.Errorf("the next process of the directory is %+v", next)
	}
	end()
	late := copyDir(t, path) // of a stopped one
	again, end := process(t, db, path)
	defer end()
	if again.twin != "" || !holds(t, db, again) {
		t.Errorf("the third process of the directory is %+v", again)
	}
	other, endOther := process(t, db, late)
	defer endOther()
	if other.twin != again.worker || holds(t, db, other) {
		t.Errorf("the process of a copy of a stopped one is %+v", other)
	}
}

// TestWorkersOfAnotherBoot: a worker of before the machine's start, or of a machine that was cloned, may live.
func TestWorkersOfAnotherBoot(t *testing.T) {
	t.Parallel()
	dir, err := openStateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = dir.close() }()
	for range mostWorkers + 5 {
		if err := dir.noteWorker("d.p"); err != nil {
			t.Fatal(err)
		}
	}
	ended, err := dir.endedWorkers()
	if err != nil || len(ended) != mostWorkers {
		t.Fatalf("%d are known to have ended, %v; want the last %d", len(ended), err, mostWorkers)
	}
	text, err := os.ReadFile(dir.join("workers"))
	if err != nil {
		t.Fatal(err)
	}
	boot := strings.Fields(string(text))[1]
	if err := os.WriteFile(dir.join("workers"), []byte(strings.ReplaceAll(string(text), boot, "another-boot")+"torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if ended, err := dir.endedWorkers(); err != nil || len(ended) != 0 {
		t.Fatalf("of another boot %v are known to have ended, %v", ended, err)
	}
}
