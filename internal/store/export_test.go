package store

import (
	"context"
	"database/sql"
)

// WriteDB and ReadDB let tests of this package's SQLite side look behind the methods.
func (s *Store) WriteDB() *sql.DB { return s.write }

// ReadDB is the pool for reading.
func (s *Store) ReadDB() *sql.DB { return s.read }

// TakeWorkSQL is what TakeWork runs for a number of hosts.
func (s *Store) TakeWorkSQL(hosts int) string { return s.takeWork(hosts, 0) }

// TakeWorkOfSQL is the same for a number of actions.
func (s *Store) TakeWorkOfSQL(hosts, actions int) string { return s.takeWork(hosts, actions) }

// Fault is what every error of the database goes through.
func (s *Store) Fault(ctx context.Context, doing string, err error) error {
	return s.fault(ctx, doing, err)
}

// InTx is what every write goes through.
func (s *Store) InTx(ctx context.Context, doing string, fn func(*txn) error) error {
	return s.inTx(ctx, doing, fn)
}

// Txn is what fn of InTx is given.
type Txn = txn

// Queued is how many writes wait for the one that is under way.
func (s *Store) Queued() int {
	s.writes.mu.Lock()
	defer s.writes.mu.Unlock()
	return len(s.writes.waiting)
}

// ExecAll is how statements are run of which none needs what another gave.
func (t *txn) ExecAll(ctx context.Context, texts ...string) error {
	var all []statement
	for _, text := range texts {
		all = append(all, statement{text: text})
	}
	return t.execAll(ctx, all)
}
