package store

import "database/sql"

// WriteDB and ReadDB let tests of this package's SQLite side look behind the methods.
func (s *Store) WriteDB() *sql.DB { return s.write }

// ReadDB is the pool for reading.
func (s *Store) ReadDB() *sql.DB { return s.read }

// TakeWorkSQL is what TakeWork runs.
var TakeWorkSQL = takeWork
