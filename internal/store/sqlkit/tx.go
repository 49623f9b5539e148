// Package sqlkit is what the store builds its transactions of: statements that are prepared once, many rows in one statement, the places of
// columns, and writes that share a commit. It knows no word of what is kept.
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

// Tx is a write transaction whose statements are prepared once for the connection, not once for each
// use: on SQLite, which keeps none by itself, preparing was most of the price of a statement.
type Tx struct {
	*sql.Tx
	kept *Statements // nil where the driver keeps them
	// arrays: rows may be given as an array a column.
	arrays bool
	// conn is PostgreSQL's, which can be told more than one statement at once; else nil.
	conn *sql.Conn
	// Wrote, when not nil, is told of each statement before it is run.
	Wrote func(query string)
}

// Begin begins a transaction, which must be ended, on SQLite's one connection that writes.
func Begin(ctx context.Context, db *sql.DB, kept *Statements) (*Tx, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &Tx{Tx: tx, kept: kept}, nil
}

// BeginPostgres begins a transaction, which must be ended, on a connection of PostgreSQL's.
func BeginPostgres(ctx context.Context, db *sql.DB) (*Tx, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		_ = conn.Close() // the other error says why
		return nil, err
	}
	return &Tx{Tx: tx, arrays: true, conn: conn}, nil
}

// End rolls back what was not committed. An error adds nothing: the driver has already ended the transaction then.
func (t *Tx) End() {
	_ = t.Rollback()
	if t.conn != nil {
		_ = t.conn.Close() // gives it back
	}
}

func (t *Tx) runs(query string) {
	if t.Wrote != nil {
		t.Wrote(query)
	}
}

// Statements are those that were prepared on the pool that writes.
type Statements struct {
	db *sql.DB

	mu     sync.Mutex
	ready  map[string]*sql.Stmt
	wanted map[string]struct{}
}

// mostStatements bounds what is kept; texts that hold lists of rows come in several lengths.
const mostStatements = 256

// NewStatements keeps the statements of a pool.
func NewStatements(db *sql.DB) *Statements {
	return &Statements{db: db, ready: map[string]*sql.Stmt{}, wanted: map[string]struct{}{}}
}

// get gives a prepared statement, or nil, and remembers what was asked for: it is prepared once the
// transaction has ended, as the pool's only connection is busy until then.
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

// Prepare makes what was wanted ready. What cannot be prepared goes on as before, and says why when it is run.
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
			_ = stmt.Close() // somebody else was quicker
		}
	}
}

// Close gives the statements back, before their pool is closed.
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

// Statement is one that is still to be run.
type Statement struct {
	Text string
	Args []any
	// Into is where the one row that it gives goes; nil for one that gives none.
	Into []any
}

// ExecAll runs statements in order, until one fails. PostgreSQL is sent all of them and waited for once.
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
