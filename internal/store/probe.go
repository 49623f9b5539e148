package store

import (
	"context"

	"github.com/bothy-env/bothy/internal/store/inspect"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Probe reports whether the database can be read and written: reads may succeed long after writes fail. It changes nothing, except after
// a write that found the disk full: only another write shows whether there is room again.
func (s *Store) Probe(ctx context.Context) error {
	if err := s.Ping(ctx); err != nil {
		return err
	}
	full := s.db.WasFull()
	return s.db.InTx(ctx, "probe store", func(tx *txn.Tx) error {
		if full {
			// A new value, or SQLite would not write it.
			const flip = `INSERT INTO settings (name, value) VALUES ('store.probe', 'a')
				ON CONFLICT (name) DO UPDATE SET value = CASE settings.value WHEN 'a' THEN 'b' ELSE 'a' END`
			if _, err := tx.ExecContext(ctx, flip); err != nil {
				return err
			}
		}
		// No row matches. SQLite takes its lock and reads the tables' first pages, PostgreSQL takes the tables' locks.
		for _, probe := range []string{
			"UPDATE environments SET revision = revision WHERE id = ''", "UPDATE events SET seq = seq WHERE seq < 0", "UPDATE settings SET value = value WHERE name = ''",
		} {
			if _, err := tx.ExecContext(ctx, probe); err != nil {
				return err
			}
		}
		tx.Name(0) // no row, so that nobody reads all again after each probe
		return nil
	})
}

// SawDamage reports whether any read or write has found the database damaged since the last call.
func (s *Store) SawDamage() bool { return s.db.SawDamage() }

// Check reads the whole database and reports whether it is sound. With PostgreSQL, which checks itself, it does nothing. It takes a while
// and blocks nobody.
func (s *Store) Check(ctx context.Context) error { return inspect.Sound(ctx, s.db.DB) }
