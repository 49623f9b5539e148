package store

// dialect is what the two databases do not have in common, where one text of SQL does not do.
type dialect struct {
	// forUpdate ends a SELECT whose rows are then written: it locks them until the transaction
	// ends. skipLocked also leaves out rows that another transaction has locked. The key of a row
	// never changes, so records that point at it may be added meanwhile. SQLite has one writer and needs neither.
	forUpdate, skipLocked string
	// forShare ends a SELECT of what nobody may write until the transaction ends.
	forShare string
}

var (
	sqliteDialect   = dialect{}
	postgresDialect = dialect{forUpdate: " FOR NO KEY UPDATE", skipLocked: " FOR NO KEY UPDATE SKIP LOCKED", forShare: " FOR SHARE"}
)

// forUpdate is for the end of a SELECT of rows that are then written.
func (s *Store) forUpdate() string { return s.dialect.forUpdate }

// skipLocked is forUpdate for one that takes whatever row is free.
func (s *Store) skipLocked() string { return s.dialect.skipLocked }
