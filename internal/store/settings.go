package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Shared reports whether other daemons may use the same database.
func (s *Store) Shared() bool { return s.db.Shared() }

// Now gives the database's clock and true; on SQLite, which has none of its own, zero and false.
func (s *Store) Now(ctx context.Context) (time.Time, bool, error) {
	if !s.db.Shared() {
		return time.Time{}, false, nil
	}
	var now time.Time
	err := s.db.Read.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&now)
	return now.UTC(), err == nil, s.db.Fault(ctx, "read the database's clock", err)
}

// Setting gives a small value, "" when it was never set.
func (s *Store) Setting(ctx context.Context, name string) (string, error) {
	var value string
	err := s.db.Read.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, s.db.Fault(ctx, "read setting "+name, err)
}

// SetSetting writes a small value. It wakes nobody.
func (s *Store) SetSetting(ctx context.Context, name, value string) error {
	if name == "" {
		return fleet.Errorf(fleet.CodeInternal, "write setting: it has no name")
	}
	return s.inTx(ctx, "write setting "+name, func(tx *txn) error {
		_, err := tx.ExecContext(ctx, writeSetting, name, value)
		return err
	})
}

const writeSetting = `INSERT INTO settings (name, value) VALUES ($1, $2)
	ON CONFLICT (name) DO UPDATE SET value = excluded.value`

// SettingOnce gives the value that was kept first for a name, which is the caller's when there was none. Of many who ask at the
// same time one is first, and all are given the same.
func (s *Store) SettingOnce(ctx context.Context, name, candidate string) (kept string, err error) {
	if name == "" || candidate == "" {
		return "", fleet.Errorf(fleet.CodeInternal, "keep setting %q: it has no name or no value", name)
	}
	err = s.inTx(ctx, "keep setting "+name, func(tx *txn) error {
		// An empty one was taken away again.
		const insert = `INSERT INTO settings (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE settings.value = ''`
		if _, err := tx.ExecContext(ctx, insert, name, candidate); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", name).Scan(&kept)
	})
	return kept, err
}
