package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/pressly/goose/v3"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/migrations"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// readers is how many reads run at once beside the one writer.
const readers = 4

// pragmas of every connection. FULL makes an acknowledged write survive a power loss; NORMAL would not in WAL mode. The size limit frees
// disk space after a long read made the log grow.
var pragmas = []string{
	"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
	"journal_size_limit(16777216)",
}

// OpenSQLite opens the database at an absolute path, creates it if it is missing, and migrates its schema.
func OpenSQLite(ctx context.Context, path string, ask Ask) (_ *DB, err error) {
	if !filepath.IsAbs(path) {
		return nil, fleet.Errorf(fleet.CodeInvalid, "open store: the database's path %q is not absolute", path).
			WithHint("write it as sqlite:///absolute/path/bothy.db")
	}
	d := &DB{Where: path}
	if err := d.askSQLite(ctx, path, ask); err != nil {
		return nil, err
	}
	if err := createFile(path); err != nil {
		return nil, err
	}
	if d.Write, err = connect(path, 1, "_txlock", "immediate"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Write.Close())
		}
	}()
	p, err := migrations.SQLite(d.Write)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := d.migrate(ctx, p); err != nil {
		return nil, err
	}
	if d.file, err = os.Stat(path); err != nil {
		return nil, fleet.Errorf(fleet.CodeUnavailable, "open store: %w", err)
	}
	d.statements = sqlkit.NewStatements(d.Write)
	if d.Read, err = connect(path, readers, "_pragma", "query_only(1)"); err != nil {
		return nil, err
	}
	return d, nil
}

// createFile creates the file readable by its owner only, before SQLite would create it with wider permissions. SQLite gives its log
// files the same mode.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fleet.Errorf(fleet.CodeUnavailable, "open store: %w", err).
			WithHint("%s and its directory must exist and be writable by bothyd's user", path)
	}
	if err := f.Close(); err != nil {
		return fleet.Errorf(fleet.CodeUnavailable, "open store: %w", err)
	}
	return nil
}

// connect returns a pool of up to n connections with one more option. It does not connect yet.
func connect(path string, n int, option, value string) (*sql.DB, error) {
	options := url.Values{"_pragma": append([]string(nil), pragmas...)}
	options.Add(option, value)
	options.Set("mode", "rw") // a connection must not recreate a removed file
	name := url.URL{Scheme: "file", Path: path, OmitHost: true, RawQuery: options.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// migrate migrates the schema.
func (d *DB) migrate(ctx context.Context, p *goose.Provider) error {
	err := migrations.Up(ctx, p)
	if newer, ok := errors.AsType[*migrations.NewerError](err); ok {
		return fleet.Errorf(fleet.CodeUnavailable, "open store: %w", newer).
			WithHint("run the newer bothyd that wrote %s, or restore an earlier backup", d.Where)
	}
	return d.Fault(ctx, "open store", err)
}

// OfCopy returns the database in a file that nobody else uses, read-only.
func OfCopy(file string) (*DB, error) {
	read, err := connect(file, 1, "_pragma", "query_only(1)")
	if err != nil {
		return nil, err
	}
	return &DB{Where: file, Read: read}, nil
}

// SQLiteTables tells in two columns whether the tables installation and settings exist.
const (
	sqliteTables = `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'installation'),
		EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'settings')`
	PostgresTables = "SELECT to_regclass('installation') IS NOT NULL, to_regclass('settings') IS NOT NULL"
)

// askSQLite inspects a file through a read-only connection.
func (d *DB) askSQLite(ctx context.Context, path string, ask Ask) (err error) {
	if ask == nil {
		return nil
	}
	switch _, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		return ask(ctx, d, nil, "")
	case err != nil:
		return fleet.Errorf(fleet.CodeUnavailable, "open store: %w", err).
			WithHint("%s and its directory must exist and be writable by bothyd's user", path)
	}
	db, err := ReadOnly(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return ask(ctx, d, db, sqliteTables)
}

// ReadOnly returns a pool of one connection that changes nothing in a SQLite database, not even its journal mode.
func ReadOnly(path string) (*sql.DB, error) {
	name := url.URL{Scheme: "file", Path: path, OmitHost: true, RawQuery: url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)"}}.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeInternal, "open store: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}
