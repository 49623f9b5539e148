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
	"os"
	"strings"
	"sync/atomic"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Store is a database of environments. It is safe for concurrent use.
type Store struct {
	// read has connections that cannot write. write has one with SQLite, which has one
	// writer: waiting in Go is fair and ends with the context.
	write, read *sql.DB
	// statements are kept for SQLite; PostgreSQL's driver keeps its own.
	statements *statements
	// where names the database in sentences for people.
	where   string
	dialect dialect
	// pg is nil with SQLite.
	pg *postgres
	// writes that come at the same time share a transaction.
	writes together
	// file is SQLite's database as it was opened.
	file os.FileInfo
	// damage says that somebody could not read what is in the file.
	damage atomic.Bool
	// full says that a write found no room.
	full atomic.Bool
	// seen is how far this process knows the records to be.
	seen highest
	// changes tells whoever keeps rows which have changed.
	changes changes
}

// Open opens the database that dsn names and brings its schema up to date. dsn is
// "sqlite://" and an absolute path, which is made when it is not there in a folder
// that is; or "postgres://user:password@host:port/database", which must be there, and be
// reached without a pooler that shares connections between transactions. Errors: CodeInvalid for a
// bad dsn, CodeUnavailable with a hint when the database cannot be used (away, rights,
// disk, corrupt, from a newer version). Before anything is written, a migration included, the checks are asked whether the
// database is the right one; their errors are passed.
func Open(ctx context.Context, dsn string, checks ...Check) (*Store, error) {
	var s *Store
	var err error
	switch scheme, rest, ok := strings.Cut(dsn, "://"); {
	case ok && scheme == "sqlite":
		s, err = openSQLite(ctx, rest, checks)
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		s, err = openPostgres(ctx, dsn, checks)
	default:
		// The dsn itself is not shown: it may hold a password.
		err = fleet.Errorf(fleet.CodeInvalid, "open store: the database address has no known scheme").
			WithHint("write it as sqlite:///absolute/path/bothy.db or %s", postgresForm)
	}
	if err != nil {
		return nil, err
	}
	s.writes.run = s.writeTogether
	return s, nil
}

// Close ends all use of the database. Do not call it while other methods run.
func (s *Store) Close() error {
	// Readers first: the last connection to close folds SQLite's log into the
	// database, and only one that may write can do that.
	if err := errors.Join(s.statements.close(), s.read.Close(), s.write.Close()); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// Ping reports whether the database answers a read.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.sameFile(); err != nil {
		return err
	}
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
	err := s.inTx(ctx, "name installation", func(tx *txn) error {
		const insert = "INSERT INTO installation (singleton, instance) VALUES (1, $1) ON CONFLICT (singleton) DO NOTHING"
		if _, err := tx.ExecContext(ctx, insert, candidate); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT instance FROM installation").Scan(&id)
	})
	return id, err
}
