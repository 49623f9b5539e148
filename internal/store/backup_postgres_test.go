package store_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/dump"
	"github.com/bothy-env/bothy/internal/store/migrations"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

// postgresPrograms puts the programs of the tests' server first on PATH.
func postgresPrograms(t *testing.T) *pgtest.Server {
	t.Helper()
	server := pgtest.Shared(t)
	t.Setenv("PATH", server.Programs()+":"+os.Getenv("PATH"))
	return server
}

// TestPostgresBackupOfAnEarlierSchema: a copy of the time before an upgrade replaces all that there is, so that the next start brings
// it up to date as it did the first time.
func TestPostgresBackupOfAnEarlierSchema(t *testing.T) {
	dsn := postgresPrograms(t).Database(t)
	s := openAt(t, dsn)
	if _, err := s.Instance(t.Context(), "here"); err != nil {
		t.Fatal(err)
	}
	if err := s.AppendEvents(t.Context(), fleet.Event{Kind: "before"}); err != nil {
		t.Fatal(err)
	}
	p, err := migrations.PostgreSQL(s.WriteDB())
	if err != nil {
		t.Fatal(err)
	}
	// The leader's table came with migration 10.
	if _, err := p.DownTo(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "copy")
	if events, receipts, err := dump.Write(t.Context(), dsn, file); err != nil || events != 1 || receipts != 0 {
		t.Fatalf("its marks are %d and %d, %v", events, receipts, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	upgraded := openAt(t, dsn)
	if err := upgraded.AppendEvents(t.Context(), fleet.Event{Kind: "after"}); err != nil {
		t.Fatal(err)
	}
	if err := upgraded.Close(); err != nil {
		t.Fatal(err)
	}
	asked := 0
	check := func(_ context.Context, found *store.Found) error {
		asked++
		if found.Instance != "here" {
			t.Errorf("the database is of %q", found.Instance)
		}
		return nil
	}
	if err := dump.Restorable(t.Context(), dsn, file, check); err != nil || asked != 1 {
		t.Fatalf("asked %d times, %v", asked, err)
	}
	if err := dump.Restore(t.Context(), dsn, file); err != nil {
		t.Fatal(err)
	}
	events, err := openAt(t, dsn).Events(t.Context(), "", 0, 0)
	if err != nil || len(events) != 1 || events[0].Kind != "before" {
		t.Fatalf("restored: %+v, %v", events, err)
	}
}

// TestPostgresNoBackup: what is no copy is refused before anything is changed, and so is an address that nobody answers at.
func TestPostgresNoBackup(t *testing.T) {
	server := postgresPrograms(t)
	dsn := server.Database(t)
	file := filepath.Join(t.TempDir(), "copy")
	if _, _, err := dump.Write(t.Context(), dsn, file); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for what, text := range map[string][]byte{"nothing": nil, "half": content[:len(content)/2], "all but its end": content[:len(content)-20], "text": []byte("no copy")} {
		damaged := filepath.Join(t.TempDir(), "copy")
		if err := os.WriteFile(damaged, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := dump.Restorable(t.Context(), dsn, damaged); fleet.CodeOf(err) != fleet.CodeUnavailable {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if err := dump.Restorable(t.Context(), server.DSN("none"), file); fleet.CodeOf(err) != fleet.CodeUnavailable {
		t.Errorf("a database that is not there: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	_, _, err = dump.Write(t.Context(), dsn, filepath.Join(t.TempDir(), "copy"))
	wantFault(t, err, fleet.CodeUnavailable, "install PostgreSQL's client programs")
}
