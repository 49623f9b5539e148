package store

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

// txn is a write transaction whose statements are prepared once for the connection, not once for each
// use: on SQLite, which keeps none by itself, preparing was most of the price of a statement.
type txn struct {
	*sql.Tx
	kept *statements // nil where the driver keeps them
	// arrays: rows may be given as an array a column.
	arrays bool
	// conn is PostgreSQL's, which can be told more than one statement at once; else nil.
	conn *sql.Conn
	// changed are the rows of environments that it writes, told the environments that it adds events of ("" for one of none), and
	// logged those that it adds lines of log of.
	changed      txChanges
	told, logged []string
	// events and receipts are the numbers of the last ones that it adds, 0 for none.
	events, receipts int64
	// standing is what is known of the limits of all that share the transaction; nil for one alone.
	standing *standing
}

// statements are those that were prepared on the pool that writes.
type statements struct {
	db *sql.DB

	mu     sync.Mutex
	ready  map[string]*sql.Stmt
	wanted map[string]struct{}
}

// mostStatements bounds what is kept; texts that hold lists of rows come in several lengths.
const mostStatements = 256

func newStatements(db *sql.DB) *statements {
	return &statements{db: db, ready: map[string]*sql.Stmt{}, wanted: map[string]struct{}{}}
}

// get gives a prepared statement, or nil, and remembers what was asked for: it is prepared once the
// transaction has ended, as the pool's only connection is busy until then.
func (s *statements) get(query string) *sql.Stmt {
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

// prepare makes what was wanted ready. What cannot be prepared goes on as before, and says why when it is run.
func (s *statements) prepare(ctx context.Context) {
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

// close gives the statements back, before their pool is closed.
func (s *statements) close() error {
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

// statement is one that is still to be run.
type statement struct {
	text string
	args []any
	// into is where the one row that it gives goes; nil for one that gives none.
	into []any
}

// execAll runs statements in order, until one fails. PostgreSQL is sent all of them and waited for once.
func (t *txn) execAll(ctx context.Context, all []statement) error {
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
			q := b.Queue(s.text, s.args...)
			if s.into != nil {
				q.QueryRow(func(row pgx.Row) error { return row.Scan(s.into...) })
			}
		}
		return driver.(*stdlib.Conn).Conn().SendBatch(ctx, &b).Close()
	})
}

func (t *txn) execOne(ctx context.Context, s statement) error {
	if s.into != nil {
		return t.QueryRowContext(ctx, s.text, s.args...).Scan(s.into...)
	}
	_, err := t.ExecContext(ctx, s.text, s.args...)
	return err
}

// ExecContext runs a statement.
func (t *txn) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	t.changed.wrote(query)
	if stmt := t.kept.get(query); stmt != nil {
		return t.StmtContext(ctx, stmt).ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, query, args...)
}

// QueryContext runs a query.
func (t *txn) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	t.changed.wrote(query)
	if stmt := t.kept.get(query); stmt != nil {
		return t.StmtContext(ctx, stmt).QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, query, args...)
}

// QueryRowContext runs a query for one row.
func (t *txn) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	t.changed.wrote(query)
	if stmt := t.kept.get(query); stmt != nil {
		return t.StmtContext(ctx, stmt).QueryRowContext(ctx, args...)
	}
	return t.Tx.QueryRowContext(ctx, query, args...)
}
