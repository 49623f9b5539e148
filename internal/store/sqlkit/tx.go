// Package sqlkit has what the store builds transactions from: prepared statements, many rows in one statement, fields bound to columns,
// WHERE clauses, and group commit. It has no word of the domain.
package sqlkit

import (
	"context"
	"database/sql"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Tx is a write transaction whose statements are prepared once per connection, not once per use: SQLite caches none by itself, and
// preparing was most of the cost of a statement.
type Tx struct {
	*sql.Tx
	kept *Statements // nil when the driver caches them
	// arrays: rows may be passed as one array per column.
	arrays bool
	// conn is PostgreSQL's, which accepts several statements at once; otherwise nil.
	conn *sql.Conn
	// Wrote, when not nil, is called with each statement before it runs.
	Wrote func(query string)
}

// Begin begins a transaction on SQLite's one write connection. The caller must end it.
func Begin(ctx context.Context, db *sql.DB, kept *Statements) (*Tx, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &Tx{Tx: tx, kept: kept}, nil
}

// BeginPostgres begins a transaction on a PostgreSQL connection. The caller must end it.
func BeginPostgres(ctx context.Context, db *sql.DB) (*Tx, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		_ = conn.Close() // the first error is the cause
		return nil, err
	}
	return &Tx{Tx: tx, arrays: true, conn: conn}, nil
}

// End rolls back unless the transaction was committed. Its error is irrelevant: the driver has then ended the transaction already.
func (t *Tx) End() {
	_ = t.Rollback()
	if t.conn != nil {
		_ = t.conn.Close() // returns it to the pool
	}
}

func (t *Tx) runs(query string) {
	if t.Wrote != nil {
		t.Wrote(query)
	}
}

// Statements are the prepared statements of the pool that writes.
type Statements struct {
	db *sql.DB

	mu     sync.Mutex
	ready  map[string]*sql.Stmt
	wanted map[string]struct{}
}

// mostStatements bounds the cache; statements with lists of rows come in several lengths.
const mostStatements = 256

// NewStatements returns an empty cache for a pool.
func NewStatements(db *sql.DB) *Statements {
	return &Statements{db: db, ready: map[string]*sql.Stmt{}, wanted: map[string]struct{}{}}
}

// get returns a prepared statement, or nil, and remembers a missing one: it is prepared after the transaction, because the pool's only
// connection is busy until then.
func (s *Statements) get(query string) *sql.Stmt {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stmt := s.ready[query]
	if stmt == nil && len(s.ready)+len(s.wanted) < mostStatements {
		s.wanted[query] = struct{}{}
	}
	return stmt
}

// Prepare prepares the missing statements. One that cannot be prepared still runs unprepared, and reports its error then.
func (s *Statements) Prepare(ctx context.Context) {
	if s == nil {
		return
	}
	s.mu.Lock()
	wanted := slices.Collect(maps.Keys(s.wanted))
	clear(s.wanted)
	s.mu.Unlock()
	for _, query := range wanted {
		stmt, err := s.db.PrepareContext(ctx, query)
		if err != nil {
			continue
		}
		s.mu.Lock()
		if s.ready[query] == nil {
			s.ready[query], stmt = stmt, nil
		}
		s.mu.Unlock()
		if stmt != nil {
			_ = stmt.Close() // another goroutine was quicker
		}
	}
}

// Close closes the statements, before their pool is closed.
func (s *Statements) Close() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stmt := range s.ready {
		errs = append(errs, stmt.Close())
	}
	clear(s.ready)
	return errors.Join(errs...)
}

// Statement is a statement to run.
type Statement struct {
	Text string
	Args []any
	// Into receives the one row that it returns; nil when it returns none.
	Into []any
}

// ExecAll runs statements in order, until one fails. PostgreSQL gets all of them in one round trip.
func (t *Tx) ExecAll(ctx context.Context, all []Statement) error {
	if t.conn == nil || len(all) < 2 {
		for _, s := range all {
			if err := t.execOne(ctx, s); err != nil {
				return err
			}
		}
		return nil
	}
	return t.conn.Raw(func(driver any) error {
		var b pgx.Batch
		for _, s := range all {
			q := b.Queue(s.Text, s.Args...)
			if s.Into != nil {
				q.QueryRow(func(row pgx.Row) error { return row.Scan(s.Into...) })
			}
		}
		return driver.(*stdlib.Conn).Conn().SendBatch(ctx, &b).Close()
	})
}

func (t *Tx) execOne(ctx context.Context, s Statement) error {
	if s.Into != nil {
		return t.QueryRowContext(ctx, s.Text, s.Args...).Scan(s.Into...)
	}
	_, err := t.ExecContext(ctx, s.Text, s.Args...)
	return err
}

// ExecContext runs a statement.
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	t.runs(query)
	if stmt := t.kept.get(query); stmt != nil {
		return t.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, query, args...)
}

// QueryContext runs a query.
func (t *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	t.runs(query)
	if stmt := t.kept.get(query); stmt != nil {
		return t.StmtContext(ctx, stmt).QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, query, args...)
}

// QueryRowContext runs a query for one row.
func (t *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	t.runs(query)
	if stmt := t.kept.get(query); stmt != nil {
		return t.StmtContext(ctx, stmt).QueryRowContext(ctx, args...)
	}
	return t.Tx.QueryRowContext(ctx, query, args...)
}
