package dialect

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/bothy-env/bothy/internal/fleet"
)

// ErrDamaged means that the database file is corrupt. It carries CodeUnavailable.
var ErrDamaged = errors.New("the database is damaged")

// Passed marks an error of the caller's own function, which is returned unchanged.
type Passed struct{ Err error }

func (p Passed) Error() string { return p.Err.Error() }

// Unwrap returns the error itself.
func (p Passed) Unwrap() error { return p.Err }

// Fault adds a fleet code, a sentence and a hint to a database error. It passes nil and errors that have a code.
func (d *DB) Fault(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[Passed](err); ok {
		return p.Err
	}
	if _, ok := errors.AsType[*fleet.Error](err); ok {
		return err
	}
	if ended := ctx.Err(); ended != nil {
		if errors.Is(ended, context.DeadlineExceeded) {
			// A timeout says nothing about the request: it may be retried.
			if !errors.Is(err, ended) {
				err = fmt.Errorf("%w: %w", ended, err)
			}
			return fleet.Errorf(fleet.CodeUnavailable, "%s: the database did not answer in time: %w", doing, err).
				WithHint("check whether the database at %s runs and is not overloaded", d.Where)
		}
		if errors.Is(err, ended) {
			return fleet.Errorf(fleet.CodeInternal, "%s: %w", doing, err)
		}
		// The database says "interrupted" or "busy"; the caller needs the cause.
		return fmt.Errorf("%s: %w: %w", doing, ended, err)
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return d.sqliteFault(doing, e.Code()&0xff, err)
	}
	if d.pg != nil {
		return d.postgresFault(doing, err)
	}
	return fleet.Errorf(fleet.CodeInternal, "%s: %w", doing, err)
}

func (d *DB) sqliteFault(doing string, primary int, err error) error {
	unavailable := fleet.Errorf(fleet.CodeUnavailable, "%s: %w", doing, err)
	switch primary {
	case sqlite3.SQLITE_FULL:
		d.full.Store(true)
		return unavailable.WithHint("the disk is full: free some space on the disk of %s", d.Where)
	case sqlite3.SQLITE_IOERR:
		if gone := d.SameFile(); gone != nil {
			return gone // SQLite is the first to notice that its open file is gone
		}
		return unavailable.WithHint("disk error: check the space and health of the disk of %s", d.Where)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return unavailable.WithHint("another process holds %s: only one bothyd may use it", d.Where)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		d.damage.Store(true)
		return fleet.Errorf(fleet.CodeUnavailable, "%s: %w: %w", doing, ErrDamaged, err).
			WithHint("%s is damaged or not a database of bothy: restore a backup: bothyd restore FILE", d.Where)
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH:
		return unavailable.WithHint("%s and its directory must exist and be writable by bothyd's user", d.Where)
	case sqlite3.SQLITE_NOMEM:
		return unavailable.WithHint("the machine is out of memory")
	case sqlite3.SQLITE_CONSTRAINT:
		return fleet.Errorf(fleet.CodeConflict, "%s: %w", doing, err)
	}
	return fleet.Errorf(fleet.CodeInternal, "%s: %w", doing, err)
}

// sqliteIndexes maps the columns that SQLite reports to the names of unique indexes.
var sqliteIndexes = map[string]string{
	"environments.id":                        "environments_pkey",
	"environments.tenant, environments.name": "environments_live_name",
	"environments.tenant, environments.owner, environments.idempotency_key": "environments_idempotency",
}

// UniqueViolation returns the name of the unique index that a write violated. On PostgreSQL the transaction is then over: only a new one
// can read the existing row.
func UniqueViolation(err error) (index string, ok bool) {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.ConstraintName, e.Code == "23505"
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok || (e.Code() != sqlite3.SQLITE_CONSTRAINT_UNIQUE && e.Code() != sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY) {
		return "", false
	}
	_, broken, _ := strings.Cut(e.Error(), "UNIQUE constraint failed: ")
	broken, _, _ = strings.Cut(broken, " (")
	return sqliteIndexes[broken], true
}
