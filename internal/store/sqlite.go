package store

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

func openSQLite(ctx context.Context, path string, checks []Check) (_ *Store, err error) {
	if !filepath.IsAbs(path) {
		return nil, fleet.Errorf(fleet.CodeInvalid, "open store: the database's path %q is not absolute", path).
			WithHint("write it as sqlite:///absolute/path/bothy.db")
	}
	s := &Store{where: path, dialect: sqliteDialect}
	if err := s.askSQLite(ctx, path, checks); err != nil {
		return nil, err
	}
	if err := createFile(path); err != nil {
		return nil, err
	}
	if s.write, err = connect(path, 1, "_txlock", "immediate"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.write.Close())
		}
	}()
	p, err := migrations.SQLite(s.write)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	if err := s.migrate(ctx, p); err != nil {
		return nil, err
	}
	if s.file, err = os.Stat(path); err != nil {
		return nil, fleet.Errorf(fleet.CodeUnavailable, "open store: %w", err)
	}
	s.statements = newStatements(s.write)
	if s.read, err = connect(path, readers, "_pragma", "query_only(1)"); err != nil {
		return nil, err
	}
	return s, nil
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
func (s *Store) migrate(ctx context.Context, p *goose.Provider) error {
	err := migrations.Up(ctx, p)
	if newer, ok := errors.AsType[*migrations.NewerError](err); ok {
		return fleet.Errorf(fleet.CodeUnavailable, "open store: %w", newer).
			WithHint("run the newer bothyd that wrote %s, or put a backup from before in its place", s.where)
	}
	return s.fault(ctx, "open store", err)
}
