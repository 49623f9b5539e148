// Package settings stores the installation's settings and rates.
package settings

import (
	"context"
	"database/sql"
	"errors"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Settings are short values by name, and rates.
type Settings struct{ db *txn.DB }

// New returns the settings of a database.
func New(db *txn.DB) *Settings { return &Settings{db} }

// Instance returns the installation's id: the candidate of the first call, permanently.
func (s *Settings) Instance(ctx context.Context, candidate string) (string, error) {
	if candidate == "" {
		return "", fleet.Errorf(fleet.CodeInternal, "name installation: the candidate id is empty")
	}
	var id string
	err := s.db.InTx(ctx, "name installation", func(tx *txn.Tx) error {
		const insert = "INSERT INTO installation (singleton, instance) VALUES (1, $1) ON CONFLICT (singleton) DO NOTHING"
		if _, err := tx.ExecContext(ctx, insert, candidate); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT instance FROM installation").Scan(&id)
	})
	return id, err
}

// Setting returns a value, "" if it was never set.
func (s *Settings) Setting(ctx context.Context, name string) (string, error) {
	var value string
	err := s.db.Read.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, s.db.Fault(ctx, "read setting "+name, err)
}

// SetSetting sets a value. It wakes nobody.
func (s *Settings) SetSetting(ctx context.Context, name, value string) error {
	if name == "" {
		return fleet.Errorf(fleet.CodeInternal, "write setting: it has no name")
	}
	return s.db.InTx(ctx, "write setting "+name, func(tx *txn.Tx) error {
		_, err := tx.ExecContext(ctx, writeSetting, name, value)
		return err
	})
}

const writeSetting = `INSERT INTO settings (name, value) VALUES ($1, $2)
	ON CONFLICT (name) DO UPDATE SET value = excluded.value`

// SettingOnce returns the first value that was set under a name, which is the candidate if there was none. Concurrent callers all get the
// same value.
func (s *Settings) SettingOnce(ctx context.Context, name, candidate string) (kept string, err error) {
	if name == "" || candidate == "" {
		return "", fleet.Errorf(fleet.CodeInternal, "keep setting %q: it has no name or no value", name)
	}
	err = s.db.InTx(ctx, "keep setting "+name, func(tx *txn.Tx) error {
		// An empty value counts as none.
		const insert = `INSERT INTO settings (name, value) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE settings.value = ''`
		if _, err := tx.ExecContext(ctx, insert, name, candidate); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = $1", name).Scan(&kept)
	})
	return kept, err
}
