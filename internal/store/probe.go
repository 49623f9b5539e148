package store

import (
	"context"

	"github.com/bothy-env/bothy/internal/store/inspect"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Probe reports whether the database can be read and written: a read may be answered long after a write is not. It changes nothing, but
// after a write that found the disk full: only another one tells whether there is room again.
func (s *Store) Probe(ctx context.Context) error {
	if err := s.Ping(ctx); err != nil {
		return err
	}
	full := s.db.WasFull()
	return s.db.InTx(ctx, "probe store", func(tx *txn.Tx) error {
		if full {
			// Other than what is there, or SQLite would not write it.
			const flip = `INSERT INTO settings (name, value) VALUES ('store.probe', 'a')
				ON CONFLICT (name) DO UPDATE SET value = CASE settings.value WHEN 'a' THEN 'b' ELSE 'a' END`
			if _, err := tx.ExecContext(ctx, flip); err != nil {
				return err
			}
		}
		// None is changed. SQLite takes its lock and looks at the tables' first pages, PostgreSQL takes the tables' locks.
		for _, probe := range []string{
			"UPDATE environments SET revision = revision WHERE id = ''", "UPDATE events SET seq = seq WHERE seq < 0", "UPDATE settings SET value = value WHERE name = ''",
		} {
			if _, err := tx.ExecContext(ctx, probe); err != nil {
				return err
			}
		}
		return nil
	})
}

// SawDamage reports whether anybody has found the database damaged since it was asked last.
func (s *Store) SawDamage() bool { return s.db.SawDamage() }

// Check reads the whole database and reports whether it is sound; with PostgreSQL, which checks itself, it does nothing. It
// takes a while, in which others read and write.
func (s *Store) Check(ctx context.Context) error { return inspect.Sound(ctx, s.db.DB) }
