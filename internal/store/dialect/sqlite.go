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

// pragmas of every connection. FULL makes an acknowledged write survive a loss
// of power; NORMAL would not in WAL mode. The size limit gives back the disk
// space that a long read made the log take.
var pragmas = []string{
	"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)",
	"journal_size_limit(16777216)",
}

// OpenSQLite opens the database at an absolute path, makes it when it is not there, and brings its schema up to date.
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

// createFile makes the file readable by its owner only, before SQLite would
// make it with wider rights; SQLite gives its log files the same mode.
func createFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fleet.Errorf(fleet.CodeUnavailable, "open store: %w", err).
			WithHint("%s and its folder must exist and be writable by bothyd's user", path)
	}
	if err := f.Close(); err != nil {
		return fleet.Errorf(fleet.CodeUnavailable, "open store: %w", err)
	}
	return nil
}

// connect makes a pool of up to n connections with one more option. It does not connect yet.
func connect(path string, n int, option, value string) (*sql.DB, error) {
	options := url.Values{"_pragma": append([]string(nil), pragmas...)}
	options.Add(option, value)
	options.Set("mode", "rw") // where the file was removed a connection makes no other in its place
	name := url.URL{Scheme: "file", Path: path, OmitHost: true, RawQuery: options.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// migrate brings the schema up to date.
func (d *DB) migrate(ctx context.Context, p *goose.Provider) error {
	err := migrations.Up(ctx, p)
	if newer, ok := errors.AsType[*migrations.NewerError](err); ok {
		return fleet.Errorf(fleet.CodeUnavailable, "open store: %w", newer).
			WithHint("run the newer bothyd that wrote %s, or put a backup from before in its place", d.Where)
	}
	return d.Fault(ctx, "open store", err)
}

// OfCopy gives the database in a file that nobody uses, only to be read.
func OfCopy(file string) (*DB, error) {
	read, err := connect(file, 1, "_pragma", "query_only(1)")
	if err != nil {
		return nil, err
	}
	return &DB{Where: file, Read: read}, nil
}

// What tells by two columns whether there are the tables installation and settings.
const (
	sqliteTables = `SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'installation'),
		EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'settings')`
	PostgresTables = "SELECT to_regclass('installation') IS NOT NULL, to_regclass('settings') IS NOT NULL"
)

// askSQLite looks at a file through a connection that cannot write in it.
func (d *DB) askSQLite(ctx context.Context, path string, ask Ask) (err error) {
	if ask == nil {
		return nil
	}
	switch _, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		return ask(ctx, d, nil, "")
	case err != nil:
		return fleet.Errorf(fleet.CodeUnavailable, "open store: %w", err).
			WithHint("%s and its folder must exist and be writable by bothyd's user", path)
	}
	db, err := ReadOnly(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return ask(ctx, d, db, sqliteTables)
}

// ReadOnly makes a pool of one connection that changes nothing in a SQLite database, not even how its journal is kept.
func ReadOnly(path string) (*sql.DB, error) {
	name := url.URL{Scheme: "file", Path: path, OmitHost: true, RawQuery: url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)"}}.Encode()}
	db, err := sql.Open("sqlite", name.String())
	if err != nil {
		return nil, fleet.Errorf(fleet.CodeInternal, "open store: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}
