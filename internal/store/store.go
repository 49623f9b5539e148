// Package store keeps environments and their records in a database. Its
// methods say what is meant, not how it is kept; every write is one transaction.
//
// Every error of the database carries a fleet code. Times are kept in
// microseconds and given in UTC; empty maps and slices come back as nil.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Store is a database of environments. It is safe for concurrent use.
type Store struct {
	// write has one connection: SQLite has one writer, and waiting in Go is
	// fair and ends with the context. read has several, which cannot write.
	write, read *sql.DB
	// where names the database in sentences for people.
	where string
}

// Open opens the database that dsn names, makes it when it is not there, and
// brings its schema up to date. dsn is "sqlite://" and an absolute path; the
// folder must exist. Errors: CodeInvalid for a bad dsn, CodeUnavailable with a
// hint when the database cannot be used (rights, disk, corrupt, from a newer version).
func Open(ctx context.Context, dsn string) (*Store, error) {
	switch scheme, rest, ok := strings.Cut(dsn, "://"); {
	case ok && scheme == "sqlite":
		return openSQLite(ctx, rest)
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		return nil, fleet.Errorf(fleet.CodeInvalid, "open store: PostgreSQL is not supported yet").
			WithHint("use a SQLite database: sqlite:///absolute/path/bothy.db")
	default:
		// The dsn itself is not shown: it may hold a password.
		return nil, fleet.Errorf(fleet.CodeInvalid, "open store: the database address has no known scheme").
			WithHint("write it as sqlite:///absolute/path/bothy.db")
	}
}

// Close ends all use of the database. Do not call it while other methods run.
func (s *Store) Close() error {
	// Readers first: the last connection to close folds SQLite's log into the
	// database, and only one that may write can do that.
	if err := errors.Join(s.read.Close(), s.write.Close()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Ping reports whether the database answers a read.
func (s *Store) Ping(ctx context.Context) error {
	var n int
	err := s.read.QueryRowContext(ctx, "SELECT COUNT(*) FROM counters").Scan(&n)
	return s.fault(ctx, "ping store", err)
}

// Instance gives the installation's id. The first caller's candidate is kept for good.
func (s *Store) Instance(ctx context.Context, candidate string) (string, error) {
	if candidate == "" {
		return "", fleet.Errorf(fleet.CodeInternal, "name installation: the candidate id is empty")
	}
	var id string
	err := s.inTx(ctx, "name installation", func(tx *sql.Tx) error {
		const insert = "INSERT INTO installation (singleton, instance) VALUES (1, $1) ON CONFLICT (singleton) DO NOTHING"
		if _, err := tx.ExecContext(ctx, insert, candidate); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT instance FROM installation").Scan(&id)
	})
	return id, err
}

// inTx runs fn in one write transaction and commits it when fn gives no error.
// Errors that carry a fleet code pass unchanged, the database's own get one.
func (s *Store) inTx(ctx context.Context, doing string, fn func(*sql.Tx) error) (err error) {
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return s.fault(ctx, doing, err)
	}
	// After a commit this does nothing; it is here for errors and panics. Its
	// own error adds nothing: the driver has already ended the transaction then.
	defer func() { _ = tx.Rollback() }()
	if err := fn(tx); err != nil {
		return s.fault(ctx, doing, err)
	}
	return s.fault(ctx, doing, tx.Commit())
}
