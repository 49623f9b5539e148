package store

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Found is a database as it was found, before anything in it is changed. Use it only in the function that Open was given.
type Found struct {
	// Instance is the installation that the database belongs to, "" for none.
	Instance string
	s        *Store
	// db is nil where there is no database yet; settings says whether it has small values.
	db       *sql.DB
	settings bool
}

// Check refuses a database that was found, by its error. Open then changes nothing in it.
type Check func(ctx context.Context, found *Found) error

// Setting gives a small value as Store.Setting does.
func (f *Found) Setting(ctx context.Context, name string) (string, error) {
	if !f.settings {
		return "", nil
	}
	var value string
	err := f.db.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, f.s.fault(ctx, "read setting "+name, err)
}

// ask has a database looked at by those who may refuse it. Its schema may be of any version, or none. tables tells by two columns
// whether there are the tables installation and settings.
func (s *Store) ask(ctx context.Context, db *sql.DB, tables string, checks []Check) error {
	f := &Found{s: s, db: db}
	if db != nil && len(checks) > 0 {
		var named bool
		err := db.QueryRowContext(ctx, tables).Scan(&named, &f.settings)
		if err == nil && named {
			err = db.QueryRowContext(ctx, "SELECT instance FROM installation").Scan(&f.Instance)
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return s.fault(ctx, "look at the database", err)
		}
	}
	for _, check := range checks {
		if err := check(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

const (
	sqliteTables = `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'installation'),
		EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'settings')`
	postgresTables = "SELECT to_regclass('installation') IS NOT NULL, to_regclass('settings') IS NOT NULL"
)

// askSQLite looks at a file through a connection that cannot write in it.
func (s *Store) askSQLite(ctx context.Context, path string, checks []Check) (err error) {
	if len(checks) == 0 {
		return nil
	}
	switch _, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		return s.ask(ctx, nil, "", checks)
	case err != nil:
		return fleet.Errorf(fleet.CodeUnavailable, "open store: %w", err).
			WithHint("%s and its folder must exist and be writable by bothyd's user", path)
	}
	db, err := readOnly(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return s.ask(ctx, db, sqliteTables, checks)
}

// readOnly makes a pool of one connection that changes nothing in a SQLite database, not even how its journal is kept.
func readOnly(path string) (*sql.DB, error) {
	name := url.URL{Scheme: "file", Path: path, OmitHost: true, RawQuery: url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)"}}.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeInternal, "open store: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}
