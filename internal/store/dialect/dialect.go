// Package dialect is what SQLite and PostgreSQL do not have in common: how a database is opened and bounded, how a write
// transaction begins and whether it may be tried again, what an error means, and the few words of SQL that differ. It knows no table.
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
	// Read has connections that cannot write. Write has one with SQLite, which has one
	// writer: waiting in Go is fair and ends with the context.
	Write, Read *sql.DB
	// Where names the database in sentences for people.
	Where string
	// ForUpdate ends a SELECT whose rows are then written: it locks them until the transaction
	// ends. SkipLocked also leaves out rows that another transaction has locked. The key of a row
	// never changes, so records that point at it may be added meanwhile. SQLite has one writer and needs neither.
	ForUpdate, SkipLocked string
	// ForShare ends a SELECT of what nobody may write until the transaction ends.
	ForShare string

	// statements are kept for SQLite; PostgreSQL's driver keeps its own.
	statements *sqlkit.Statements
	// pg is nil with SQLite.
	pg *postgres
	// file is SQLite's database as it was opened.
	file os.FileInfo
	// damage says that somebody could not read what is in the file.
	damage atomic.Bool
	// full says that a write found no room.
	full atomic.Bool
}

// Ask looks at a database that was found before anything in it is changed, a migration included, and may refuse it by its error, which
// is passed. found is nil where there is no database yet; tables tells by two columns whether there are the tables installation and settings.
type Ask func(ctx context.Context, d *DB, found *sql.DB, tables string) error

// Shared reports whether other processes may write, too.
func (d *DB) Shared() bool { return d.pg != nil }

// Close ends all use of the database.
func (d *DB) Close() error {
	// Readers first: the last connection to close folds SQLite's log into the
	// database, and only one that may write can do that.
	return errors.Join(d.statements.Close(), d.Read.Close(), d.Write.Close())
}

// Begin begins a write transaction, which must be ended.
func (d *DB) Begin(ctx context.Context) (*sqlkit.Tx, error) {
	if d.pg != nil {
		return sqlkit.BeginPostgres(ctx, d.Write)
	}
	return sqlkit.Begin(ctx, d.Write, d.statements)
}

// Committed is called after each commit. It makes ready what was asked for meanwhile.
func (d *DB) Committed(ctx context.Context) { d.statements.Prepare(ctx) }

// MayTryAgain reports whether a transaction failed, before its commit or by it, for a reason that passes.
func (d *DB) MayTryAgain(ctx context.Context, err error) bool {
	return d.pg != nil && ctx.Err() == nil && (lostAgainstAnother(err) || connectionLost(err) && !cannotConnect(err) && !unanswered(err))
}

// MaybeKept reports whether a commit that failed may have been kept all the same.
func (d *DB) MaybeKept(err error) bool { return d.pg != nil && connectionLost(err) }

// SawDamage reports whether anybody has found the database damaged since it was asked last.
func (d *DB) SawDamage() bool { return d.damage.Swap(false) }

// WasFull reports whether a write has found no room since it was asked last.
func (d *DB) WasFull() bool { return d.full.Swap(false) }

// SameFile reports whether the file that is open is still the one at its path. SQLite goes on with one that was removed, and
// what is written in it is gone with the process.
func (d *DB) SameFile() error {
	if d.file == nil {
		return nil
	}
	now, err := os.Stat(d.Where)
	if err == nil && os.SameFile(d.file, now) {
		return nil
	}
	return fleet.Errorf(fleet.CodeUnavailable, "the database %s was removed or replaced while bothyd uses it", d.Where).
		WithHint("what is recorded now is lost at the next start: stop bothyd, put a backup in its place with bothyd restore FILE, and start it")
}
