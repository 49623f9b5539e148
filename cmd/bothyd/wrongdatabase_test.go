package main

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite"

	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/migrations"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

// older is a database of an installation whose daemons are of an earlier version of bothy.
type older struct {
	dsn, instance string
	key           []byte
	// db and schema look behind the store.
	db     *sql.DB
	schema *goose.Provider
	// file is SQLite's.
	file string
}

// newOlder makes a database as its own daemon does, and takes its newest migration back.
func newOlder(t *testing.T, dsn, driver string, schema func(*sql.DB) (*goose.Provider, error)) older {
	t.Helper()
	o := older{dsn: dsn, file: strings.TrimPrefix(dsn, "sqlite://")}
	dir, err := openStateDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := openStore(t.Context(), dsn, dir)
	if err != nil {
		t.Fatal(err)
	}
	if o.instance, _, err = identify(t.Context(), s, dir); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if o.key, err = os.ReadFile(dir.join(keyFile)); err != nil {
		t.Fatal(err)
	}
	if err := dir.close(); err != nil {
		t.Fatal(err)
	}
	if o.db, err = sql.Open(driver, o.file); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.db.Close() })
	if o.schema, err = schema(o.db); err != nil {
		t.Fatal(err)
	}
	if _, err := o.schema.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	return o
}

// state is all that a start may not change: the schema's version, the small values, and with SQLite the file.
func (o older) state(t *testing.T) string {
	t.Helper()
	var version, settings int64
	err := o.db.QueryRowContext(t.Context(), "SELECT MAX(version_id) FROM goose_db_version WHERE is_applied").Scan(&version)
	if err == nil {
		err = o.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM settings").Scan(&settings)
	}
	if err != nil {
		t.Fatal(err)
	}
	var file []byte
	if strings.HasPrefix(o.dsn, "sqlite://") {
		if file, err = os.ReadFile(o.file); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf("version %d, %d settings, file %x", version, settings, file)
}

// TestWrongDatabaseIsNotMigrated: a start with the address of another installation's database, which an earlier version serves, is
// refused before anything in that database or in the folder is changed.
func TestWrongDatabaseIsNotMigrated(t *testing.T) {
	for name, build := range map[string]func(t *testing.T) older{
		"SQLite": func(t *testing.T) older {
			return newOlder(t, "sqlite://"+filepath.Join(t.TempDir(), "bothy.db"), "sqlite", migrations.SQLite)
		},
		"PostgreSQL": func(t *testing.T) older { return newOlder(t, pgtest.Shared(t).Bare(t), "pgx", migrations.PostgreSQL) },
	} {
		t.Run(name, func(t *testing.T) { refusesUnchanged(t, build(t)) })
	}
}

func refusesUnchanged(t *testing.T, o older) {
	for _, c := range []struct{ name, instance, key, refused string }{
		{"another key", "", string(vault.NewSecret()), "with another key"},
		{"another installation", "elsewhere", string(o.key), "belongs to installation elsewhere"},
		{"no key", "", "", "key is missing"},
	} {
		before := o.state(t)
		dir := &stateDir{path: t.TempDir()}
		for file, text := range map[string]string{"instance": c.instance, keyFile: c.key} {
			if text == "" {
				continue
			}
			if err := os.WriteFile(dir.join(file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		folder := listed(t, dir.path)
		s, err := openStore(t.Context(), o.dsn, dir)
		if err == nil {
			_ = s.Close()
			t.Fatalf("%s: it was opened", c.name)
		}
		if fleet.CodeOf(err) != fleet.CodeInvalid || !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.refused)
		}
		if after := o.state(t); after != before {
			t.Errorf("%s: the database has changed: %.60s, was %.60s", c.name, after, before)
		}
		if now := listed(t, dir.path); now != folder {
			t.Errorf("%s: the folder holds %s, held %s", c.name, now, folder)
		}
	}
	// Its own daemon opens it, and brings it up to date.
	dir := &stateDir{path: t.TempDir()}
	if err := os.WriteFile(dir.join(keyFile), o.key, 0o600); err != nil {
		t.Fatal(err)
	}
	before := o.state(t)
	s, err := openStore(t.Context(), o.dsn, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if instance, _, err := identify(t.Context(), s, dir); err != nil || instance != o.instance {
		t.Errorf("the installation is %q, %v; want %q", instance, err, o.instance)
	}
	if o.state(t) == before {
		t.Error("it was not brought up to date")
	}
}

// listed names the files of a folder.
func listed(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(entries)
}

// TestRefusedStartMakesNoDatabase: a folder whose key is lost makes no empty database either.
func TestRefusedStartMakesNoDatabase(t *testing.T) {
	dir := &stateDir{path: t.TempDir()}
	if err := dir.remember("here"); err != nil {
		t.Fatal(err)
	}
	before := listed(t, dir.path)
	if s, err := openStore(t.Context(), "sqlite://"+dir.join("bothy.db"), dir); err == nil {
		_ = s.Close()
		t.Fatal("it was opened without its key")
	}
	if after := listed(t, dir.path); after != before {
		t.Errorf("the folder holds %s, held %s", after, before)
	}
}
