// Package inspect examines a database before anything in it is changed, and checks one for damage.
package inspect

import (
	"context"
	"database/sql"
	"errors"

	"github.com/bothy-env/bothy/internal/store/dialect"
)

// Found is an existing database before anything in it is changed. It is valid only within the function that was passed to Open.
type Found struct {
	// Instance is the installation that the database belongs to, "" for none.
	Instance string
	dialect  *dialect.DB
	// db is nil when there is no database yet; settings: the table of settings exists.
	db       *sql.DB
	settings bool
}

// Check refuses a database by returning an error. Open then changes nothing in it.
type Check func(ctx context.Context, found *Found) error

// Setting returns a setting like Store.Setting.
func (f *Found) Setting(ctx context.Context, name string) (string, error) {
	if !f.settings {
		return "", nil
	}
	var value string
	err := f.db.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, f.dialect.Fault(ctx, "read setting "+name, err)
}

// Asking runs checks on a database. Its schema may be of any version, or none.
func Asking(checks []Check) dialect.Ask {
	if len(checks) == 0 {
		return nil
	}
	return func(ctx context.Context, d *dialect.DB, db *sql.DB, tables string) error {
		return LookAt(ctx, d, db, tables, checks)
	}
}

// LookAt runs checks on a database. tables is dialect's query for existing tables; db is nil when there is no database yet.
func LookAt(ctx context.Context, d *dialect.DB, db *sql.DB, tables string, checks []Check) error {
	f := &Found{dialect: d, db: db}
	if db != nil {
		var named bool
		err := db.QueryRowContext(ctx, tables).Scan(&named, &f.settings)
		if err == nil && named {
			err = db.QueryRowContext(ctx, "SELECT instance FROM installation").Scan(&f.Instance)
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return d.Fault(ctx, "look at the database", err)
		}
	}
	for _, check := range checks {
		if err := check(ctx, f); err != nil {
			return err
		}
	}
	return nil
}
