package store

import (
	"context"
	"database/sql"

	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// WriteDB and ReadDB let tests of this package's SQLite side look behind the methods.
func (s *Store) WriteDB() *sql.DB { return s.db.Write }

// ReadDB is the pool for reading.
func (s *Store) ReadDB() *sql.DB { return s.db.Read }

// TakeWorkSQL is what TakeWork runs for a number of hosts.
func (s *Store) TakeWorkSQL(hosts int) string { return s.takeWork(hosts, 0) }

// TakeWorkOfSQL is the same for a number of actions.
func (s *Store) TakeWorkOfSQL(hosts, actions int) string { return s.takeWork(hosts, actions) }

// Fault is what every error of the database goes through.
func (s *Store) Fault(ctx context.Context, doing string, err error) error {
	return s.db.Fault(ctx, doing, err)
}

// InTx is what every write goes through.
func (s *Store) InTx(ctx context.Context, doing string, fn func(*txn.Tx) error) error {
	return s.db.InTx(ctx, doing, fn)
}

// Queued is how many writes wait for the one that is under way.
func (s *Store) Queued() int { return s.writes.Queued() }

// ExecTexts is how statements are run of which none needs what another gave.
func ExecTexts(ctx context.Context, tx *txn.Tx, texts ...string) error {
	var all []sqlkit.Statement
	for _, text := range texts {
		all = append(all, sqlkit.Statement{Text: text})
	}
	return tx.ExecAll(ctx, all)
}
