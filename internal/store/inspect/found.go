// Package inspect looks at a database before anything in it is changed, and reads one to its end.
package inspect

import (
	"context"
	"database/sql"
	"errors"

	"github.com/bothy-env/bothy/internal/store/dialect"
)

// Found is a database as it was found, before anything in it is changed. Use it only in the function that Open was given.
type Found struct {
	// Instance is the installation that the database belongs to, "" for none.
	Instance string
	dialect  *dialect.DB
	// db is nil where there is no database yet; settings says whether it has small values.
	db       *sql.DB
	settings bool
}

// Check refuses a database that was found, by its error. Open then changes nothing in it.
type Check func(ctx context.Context, found *Found) error

// Setting gives a small value as Store.Setting does.
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

// Asking has a database looked at by those who may refuse it. Its schema may be of any version, or none.
func Asking(checks []Check) dialect.Ask {
	if len(checks) == 0 {
		return nil
	}
	return func(ctx context.Context, d *dialect.DB, db *sql.DB, tables string) error {
		return LookAt(ctx, d, db, tables, checks)
	}
}

// LookAt looks at a database that tables, a query of dialect, finds, and asks the checks. db is nil where there is none yet.
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
