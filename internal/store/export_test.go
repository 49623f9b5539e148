package store

import (
	"context"
	"database/sql"
)

// WriteDB and ReadDB let tests of this package's SQLite side look behind the methods.
func (s *Store) WriteDB() *sql.DB { return s.write }

// ReadDB is the pool for reading.
func (s *Store) ReadDB() *sql.DB { return s.read }

// TakeWorkSQL is what TakeWork runs.
var TakeWorkSQL = takeWork

// Fault is what every error of the database goes through.
func (s *Store) Fault(ctx context.Context, doing string, err error) error {
	return s.fault(ctx, doing, err)
}
