package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

func TestMain(m *testing.M) {
	storetest.CrashChild()
	os.Exit(pgtest.Main(m))
}

// open gives an empty SQLite store.
func open(t *testing.T) *store.Store {
	t.Helper()
	return openAt(t, dsn(t.TempDir()))
}

func dsn(dir string) string { return "sqlite://" + filepath.Join(dir, "bothy.db") }

// openAt opens a database and closes it when the test ends.
func openAt(t testing.TB, dsn string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSQLite(t *testing.T) { storetest.Run(t, open) }

func TestSQLiteKept(t *testing.T) { storetest.Kept(t, open) }

func TestSQLiteCrash(t *testing.T) { storetest.Crash(t, dsn(t.TempDir())) }

func TestPostgres(t *testing.T) {
	server := pgtest.Shared(t)
	storetest.Run(t, func(t *testing.T) *store.Store { return openAt(t, server.Database(t)) })
}

func TestPostgresCrash(t *testing.T) { storetest.Crash(t, pgtest.Shared(t).Database(t)) }

func TestPostgresDaemons(t *testing.T) { storetest.Daemons(t, pgtest.Shared(t).Database) }
