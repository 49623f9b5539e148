// Package dump copies databases and restores copies.
package dump

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/inspect"
	"github.com/bothy-env/bothy/internal/store/migrations"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// Write copies the database at dsn, as of one moment, into a new file, and returns the highest numbers of events and receipts in the
// copy. Daemons may use the database meanwhile. With PostgreSQL the copy is the output of pg_dump, which must be installed. Errors:
// CodeInvalid, CodeUnavailable.
func Write(ctx context.Context, dsn, file string) (events, receipts int64, err error) {
	if path, ok := strings.CutPrefix(dsn, "sqlite://"); ok {
		if err := backupSQLite(ctx, path, file); err != nil {
			return 0, 0, err
		}
		return Marks(ctx, file)
	}
	return backupPostgres(ctx, dsn, file)
}

// Restorable checks, before anything is changed, whether a copy can replace the database at dsn: the copy is readable to its end, the
// required program is installed, the server answers. With PostgreSQL the checks inspect the existing database, and no daemon may be
// connected to it. Errors: CodeInvalid, CodeUnavailable, CodeConflict, those of the checks.
func Restorable(ctx context.Context, dsn, file string, checks ...inspect.Check) error {
	if strings.HasPrefix(dsn, "sqlite://") {
		_, _, err := Marks(ctx, file)
		return err
	}
	if err := postgresTool(ctx, dsn, "pg_restore", "--file="+os.DevNull, file); err != nil {
		return err
	}
	return withPostgres(ctx, dsn, func(d *dialect.DB, db *sql.DB) error {
		if err := inspect.LookAt(ctx, d, db, dialect.PostgresTables, checks); err != nil {
			return err
		}
		var daemons int
		err := db.QueryRowContext(ctx, `SELECT COUNT(DISTINCT application_name) FROM pg_stat_activity
			WHERE datname = current_database() AND application_name LIKE $1`, dialect.ProcessPrefix+"%").Scan(&daemons)
		if err != nil {
			return d.Fault(ctx, "look who uses the database", err)
		}
		if daemons > 0 {
			return fleet.Errorf(fleet.CodeConflict, "cannot restore the database %s: %d running bothyd use it", d.Where, daemons).WithHint("stop them first")
		}
		return nil
	})
}

// Restore replaces the database at dsn with a copy made by Write. With SQLite no file may exist there; with PostgreSQL pg_restore
// replaces the existing database in one transaction.
func Restore(ctx context.Context, dsn, file string) error {
	path, ok := strings.CutPrefix(dsn, "sqlite://")
	if !ok {
		return restorePostgres(ctx, dsn, file)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(err, fleet.Errorf(fleet.CodeConflict, "restore store: %s exists", path))
	}
	if err := os.Rename(file, path); err != nil {
		return fmt.Errorf("restore store: %w", err)
	}
	return nil
}

// backupSQLite uses VACUUM INTO: a copy of the file alone would lack the contents of the log beside it.
func backupSQLite(ctx context.Context, path, file string) (err error) {
	db, err := dialect.ReadOnly(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	d := &dialect.DB{Where: path}
	if _, err := db.ExecContext(ctx, "VACUUM INTO $1", file); err != nil {
		return d.Fault(ctx, "back up store", err)
	}
	return os.Chmod(file, 0o600)
}

// Marks returns the highest numbers of events and receipts in a copy of a SQLite database.
func Marks(ctx context.Context, file string) (events, receipts int64, err error) {
	db, err := dialect.OfCopy(file)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, db.Read.Close()) }()
	if err := inspect.Sound(ctx, db); err != nil {
		return 0, 0, err
	}
	err = db.Read.QueryRowContext(ctx, record.ReadMarks).Scan(&events, &receipts)
	return events, receipts, db.Fault(ctx, "read marks", err)
}

// backupPostgres has pg_dump copy the snapshot of its own transaction, so that the marks are those of the copy.
func backupPostgres(ctx context.Context, dsn, file string) (events, receipts int64, err error) {
	err = withPostgres(ctx, dsn, func(d *dialect.DB, db *sql.DB) error {
		tx, err := db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
		if err != nil {
			return d.Fault(ctx, "back up store", err)
		}
		defer func() { _ = tx.Rollback() }() // read-only
		var snapshot string
		if err := tx.QueryRowContext(ctx, "SELECT pg_export_snapshot()").Scan(&snapshot); err != nil {
			return d.Fault(ctx, "back up store", err)
		}
		if err := tx.QueryRowContext(ctx, record.ReadMarks).Scan(&events, &receipts); err != nil {
			return d.Fault(ctx, "back up store", err)
		}
		return postgresTool(ctx, dsn, "pg_dump", "--format=custom", "--no-owner", "--snapshot="+snapshot, "--file="+file)
	})
	if err != nil {
		return 0, 0, err
	}
	return events, receipts, os.Chmod(file, 0o600)
}

// restorePostgres replaces the existing database. pg_restore leaves tables that the copy does not have, such as those of a newer schema;
// the next start would fail to create them.
func restorePostgres(ctx context.Context, dsn, file string) error {
	return withPostgres(ctx, dsn, func(d *dialect.DB, db *sql.DB) error {
		before, err := tables(ctx, d, db)
		if err != nil {
			return err
		}
		err = postgresTool(ctx, dsn, "pg_restore", "--clean", "--if-exists", "--no-owner", "--single-transaction", "--dbname="+d.Config().Database, file)
		if err != nil {
			return err
		}
		after, err := tables(ctx, d, db)
		if err != nil {
			return err
		}
		for name, id := range after {
			if before[name] != id {
				continue // it was recreated
			}
			if _, err := db.ExecContext(ctx, "DROP TABLE "+pgx.Identifier{name}.Sanitize()); err != nil {
				return d.Fault(ctx, "remove the table "+name+", which the backup does not know", err)
			}
		}
		return nil
	})
}

// tables returns bothy's existing tables with their ids.
func tables(ctx context.Context, d *dialect.DB, db *sql.DB) (map[string]int64, error) {
	known, err := migrations.Tables()
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, `SELECT relname, oid::bigint FROM pg_class
		WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname = ANY($1)`, known)
	if err != nil {
		return nil, d.Fault(ctx, "list tables", err)
	}
	there := map[string]int64{}
	_, err = sqlkit.Collect(rows, func(row sqlkit.Scanner) (none struct{}, err error) {
		var name string
		var id int64
		err = row.Scan(&name, &id)
		there[name] = id
		return none, err
	})
	return there, d.Fault(ctx, "list tables", err)
}

// withPostgres calls fn with a few connections, without timeouts, to a database that is not opened as a store.
func withPostgres(ctx context.Context, dsn string, fn func(d *dialect.DB, db *sql.DB) error) (err error) {
	d, err := dialect.NewPostgres(dsn)
	if err != nil {
		return err
	}
	db := d.Unbounded()
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.PingContext(ctx); err != nil {
		return d.Fault(ctx, "open store", err)
	}
	return fn(d, db)
}

// postgresTool runs a PostgreSQL client program. The address is passed in the environment, because other users can read command lines.
func postgresTool(ctx context.Context, dsn, program string, args ...string) error {
	d, err := dialect.NewPostgres(dsn)
	if err != nil {
		return err
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return fleet.Errorf(fleet.CodeUnavailable, "%s is not installed", program).
			WithHint("install PostgreSQL's client programs, or back up the database with the server's own tools, together with the key of the state directory")
	}
	config := d.Config()
	cmd := exec.CommandContext(ctx, path, append(args, "--no-password")...) //nolint:gosec // the programs and their arguments are named above
	cmd.Env = append(os.Environ(), "PGHOST="+config.Host, "PGPORT="+strconv.Itoa(int(config.Port)), "PGUSER="+config.User,
		"PGPASSWORD="+config.Password, "PGDATABASE="+config.Database)
	cmd.Env = append(cmd.Env, toolSettings(dsn)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		return fleet.Errorf(fleet.CodeUnavailable, "%s failed: %s: %w", filepath.Base(program), first, err)
	}
	return nil
}

// toolVariables map the parameters of an address, besides server and user, to the variables of PostgreSQL's programs.
var toolVariables = map[string]string{
	"sslmode": "PGSSLMODE", "sslrootcert": "PGSSLROOTCERT", "sslcert": "PGSSLCERT", "sslkey": "PGSSLKEY", "options": "PGOPTIONS",
}

// toolSettings returns the parameters of an address as the environment of PostgreSQL's programs.
func toolSettings(dsn string) []string {
	settings := []string{"PGCONNECT_TIMEOUT=" + strconv.Itoa(int(dialect.ConnectTimeout.Seconds()))}
	u, err := url.Parse(dsn)
	if err != nil {
		return settings // NewPostgres has refused it
	}
	for parameter, variable := range toolVariables {
		if value := u.Query().Get(parameter); value != "" {
			settings = append(settings, variable+"="+value)
		}
	}
	return settings
}
