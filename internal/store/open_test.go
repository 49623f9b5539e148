package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// wantFault checks an error of Open or of a method: code, and a hint that helps.
func wantFault(t *testing.T, err error, code fleet.Code, hint string) {
	t.Helper()
	coded, ok := errors.AsType[*fleet.Error](err)
	if !ok || coded.Code != code || !strings.Contains(coded.Hint, hint) {
		t.Fatalf("got %#v, want code %q and a hint with %q", err, code, hint)
	}
}

// openFails opens what must not open.
func openFails(t *testing.T, dsn string) error {
	t.Helper()
	s, err := store.Open(t.Context(), dsn)
	if err == nil {
		_ = s.Close()
		t.Fatalf("%s was opened", dsn)
	}
	return err
}

func TestOpenBadAddress(t *testing.T) {
	for _, bad := range []string{"", "bothy.db", "/var/lib/bothy.db", "sqlite:/x", "sqlite://", "sqlite://bothy.db", "mysql://root:secret@db/x"} {
		err := openFails(t, bad)
		wantFault(t, err, fleet.CodeInvalid, "sqlite:///absolute/path/bothy.db")
		if strings.Contains(err.Error(), "secret") {
			t.Fatalf("the error shows the password: %v", err)
		}
	}
}

func TestOpenOddPaths(t *testing.T) {
	for _, name := range []string{"with space", "50% ?mode=memory&x=#y", "é;'\"", "a+b%20c"} {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		s := openAt(t, dsn(dir))
		if _, err := s.Instance(t.Context(), "here"); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, "bothy.db"))
		if err != nil || info.Size() == 0 {
			t.Fatalf("%q: the database is not where it was asked for: %v", name, err)
		}
	}
}

func TestOpenAgainKeepsAll(t *testing.T) {
	address := dsn(t.TempDir())
	s, err := store.Open(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Instance(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := openAt(t, address).Instance(t.Context(), "second"); err != nil || got != "first" {
		t.Fatalf("after opening again: %q, %v", got, err)
	}
}

func TestFilesAreTheOwnersOnly(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, dsn(dir))
	if _, err := s.Instance(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 2 {
		t.Fatalf("%d files, %v; want the database and its log", len(files), err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
}

func TestConnections(t *testing.T) {
	s := openAt(t, dsn(t.TempDir()))
	for name, db := range map[string]*sql.DB{"write": s.WriteDB(), "read": s.ReadDB()} {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "busy_timeout": "5000", "foreign_keys": "1",
		} {
			var got string
			if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s is %q, want %q, error %v", name, pragma, got, want, err)
			}
		}
	}
	_, err := s.ReadDB().ExecContext(t.Context(), "DELETE FROM counters")
	if err == nil {
		t.Fatal("the readers' pool can write")
	}
	wantFault(t, s.Fault(t.Context(), "write", err), fleet.CodeUnavailable, "must exist and be writable")
}

func TestOpenUnusable(t *testing.T) {
	t.Run("no folder", func(t *testing.T) {
		wantFault(t, openFails(t, dsn(filepath.Join(t.TempDir(), "none"))), fleet.CodeUnavailable, "must exist and be writable")
	})
	t.Run("a folder in its place", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "bothy.db"), 0o700); err != nil {
			t.Fatal(err)
		}
		wantFault(t, openFails(t, dsn(dir)), fleet.CodeUnavailable, "must exist and be writable")
	})
	t.Run("unwritable folder", func(t *testing.T) {
		if os.Geteuid() == 0 {
			t.Skip("root may write everywhere; TestOpenReadOnlyMount covers this")
		}
		dir := t.TempDir()
		if err := os.Chmod(dir, 0o500); err != nil {
			t.Fatal(err)
		}
		wantFault(t, openFails(t, dsn(dir)), fleet.CodeUnavailable, "must exist and be writable")
	})
	t.Run("ended context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := store.Open(ctx, dsn(t.TempDir())); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	})
}

// filled gives the path of a closed database with n environments in it.
func filled(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dsn(dir))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, err := s.Admit(t.Context(), store.Admission{Env: fleet.Environment{
			ID: fmt.Sprint("id", i), Name: fmt.Sprint("name", i), State: fleet.Pending, Reason: strings.Repeat("why ", 200),
		}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "bothy.db")
}

func TestDamagedDatabase(t *testing.T) {
	t.Run("not a database", func(t *testing.T) {
		path := filled(t, 1)
		if err := os.WriteFile(path, []byte(strings.Repeat("this is no database\n", 400)), 0o600); err != nil {
			t.Fatal(err)
		}
		wantFault(t, openFails(t, "sqlite://"+path), fleet.CodeUnavailable, "restore a backup")
	})
	t.Run("cut off", func(t *testing.T) {
		path := filled(t, 50)
		if err := os.Truncate(path, 3*4096+100); err != nil {
			t.Fatal(err)
		}
		wantFault(t, useAll(t, path), fleet.CodeUnavailable, "restore a backup")
	})
	t.Run("overwritten in the middle", func(t *testing.T) {
		path := filled(t, 50)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 4096; i < len(content); i++ { // all but the first page
			content[i] = byte(i * 7)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		wantFault(t, useAll(t, path), fleet.CodeUnavailable, "restore a backup")
	})
}

// useAll opens a damaged database and reads it, and gives the first error.
func useAll(t *testing.T, path string) error {
	t.Helper()
	s, err := store.Open(t.Context(), "sqlite://"+path)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	if _, err := s.Live(t.Context()); err != nil {
		return err
	}
	if _, err = s.Events(t.Context(), "", 0, 0); err == nil {
		t.Fatal("the damage went unnoticed")
	}
	return err
}

func TestHeldByAnother(t *testing.T) {
	address := dsn(t.TempDir())
	s, other := openAt(t, address), openAt(t, address)
	tx, err := other.WriteDB().BeginTx(t.Context(), nil) // begins immediate: it has the write lock
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	// Not the full five seconds of every real connection.
	if _, err := s.WriteDB().ExecContext(t.Context(), "PRAGMA busy_timeout = 50"); err != nil {
		t.Fatal(err)
	}
	_, err = s.Instance(t.Context(), "x")
	wantFault(t, err, fleet.CodeUnavailable, "another process holds")
	if err := s.Ping(t.Context()); err != nil {
		t.Fatalf("reading goes on meanwhile, but: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Instance(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("waiting with a deadline gave %v", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Instance(t.Context(), "x"); err != nil {
		t.Fatalf("after it was let go: %v", err)
	}
}

func TestNewerDatabase(t *testing.T) {
	address := dsn(t.TempDir())
	s := openAt(t, address)
	_, err := s.WriteDB().ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)")
	if err != nil {
		t.Fatal(err)
	}
	wantFault(t, openFails(t, address), fleet.CodeUnavailable, "run the newer bothyd")
}
