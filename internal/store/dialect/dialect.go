// Package dialect is the difference between SQLite and PostgreSQL: how a database is opened and bounded, how a write transaction begins
// and when to retry it, what an error means, and the few words of SQL that differ. It knows no table.
package dialect

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"sync/atomic"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// DB is a database of either kind. It is safe for concurrent use.
type DB struct {
	// Read has connections that cannot write. Write has one connection with SQLite, which has one writer: waiting in Go is fair and ends
	// with the context.
	Write, Read *sql.DB
	// Where names the database in messages.
	Where string
	// ForUpdate ends a SELECT whose rows are then written: it locks them until the transaction ends. SkipLocked also leaves out rows that
	// another transaction has locked. The key of a row never changes, so records that refer to it may be added meanwhile. SQLite has one
	// writer and needs neither.
	ForUpdate, SkipLocked string
	// ForShare ends a SELECT of rows that nobody may write until the transaction ends.
	ForShare string

	// statements are prepared for SQLite; PostgreSQL's driver keeps its own.
	statements *sqlkit.Statements
	// pg is nil with SQLite.
	pg *postgres
	// file is SQLite's database file as it was opened.
	file os.FileInfo
	// damage: a read found the file corrupt.
	damage atomic.Bool
	// full: a write found the disk full.
	full atomic.Bool
}

// Ask inspects an existing database before anything in it is changed, migrations included, and may refuse it with an error, which is
// returned unchanged. found is nil when there is no database yet; the query tables has two columns that tell whether the tables
// installation and settings exist.
type Ask func(ctx context.Context, d *DB, found *sql.DB, tables string) error

// Shared reports whether other processes may write, too.
func (d *DB) Shared() bool { return d.pg != nil }

// Close closes the database.
func (d *DB) Close() error {
	// Readers first: the last connection to close merges SQLite's log into the database, which requires write access.
	return errors.Join(d.statements.Close(), d.Read.Close(), d.Write.Close())
}

// Begin begins a write transaction. The caller must end it.
func (d *DB) Begin(ctx context.Context) (*sqlkit.Tx, error) {
	if d.pg != nil {
		return sqlkit.BeginPostgres(ctx, d.Write)
	}
	return sqlkit.Begin(ctx, d.Write, d.statements)
}

// Committed is called after each commit. It prepares the statements that were missing.
func (d *DB) Committed(ctx context.Context) { d.statements.Prepare(ctx) }

// MayTryAgain reports whether a transaction failed, before or at its commit, for a transient reason.
func (d *DB) MayTryAgain(ctx context.Context, err error) bool {
	return d.pg != nil && ctx.Err() == nil && (lostAgainstAnother(err) || connectionLost(err) && !cannotConnect(err) && !unanswered(err))
}

// MaybeKept reports whether a failed commit may have been applied all the same.
func (d *DB) MaybeKept(err error) bool { return d.pg != nil && connectionLost(err) }

// SawDamage reports whether any read or write has found the database damaged since the last call.
func (d *DB) SawDamage() bool { return d.damage.Swap(false) }

// WasFull reports whether a write has found the disk full since the last call.
func (d *DB) WasFull() bool { return d.full.Swap(false) }

// SameFile reports whether the open file is still the one at its path. SQLite continues with a removed file, and everything written to it
// is lost with the process.
func (d *DB) SameFile() error {
	if d.file == nil {
		return nil
	}
	now, err := os.Stat(d.Where)
	if err == nil && os.SameFile(d.file, now) {
		return nil
	}
	return fleet.Errorf(fleet.CodeUnavailable, "the database %s was removed or replaced while bothyd uses it", d.Where).
		WithHint("new records are lost at the next start: stop bothyd, restore a backup with bothyd restore FILE, and start bothyd")
}
