package sqlkit

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
)

// Querier is *sql.DB, *sql.Tx or *Tx.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Where collects the conditions of a WHERE clause and their arguments.
type Where struct {
	conditions []string
	// Args are the arguments so far; a caller may append those of the clauses that follow.
	Args []any
}

// Add adds a condition. Each ? in it stands for the next of args.
func (w *Where) Add(condition string, args ...any) {
	for _, arg := range args {
		w.Args = append(w.Args, arg)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(w.Args)), 1)
	}
	w.conditions = append(w.conditions, condition)
}

// Next returns the placeholder of the argument that is appended to Args next.
func (w *Where) Next() string { return Placeholders(len(w.Args)+1, 1) }

// Text returns the clause, which requires all conditions; "" without any.
func (w *Where) Text() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return "WHERE " + strings.Join(w.conditions, " AND ")
}

// And returns the conditions as the continuation of an existing clause.
func (w *Where) And() string { return " AND " + strings.Join(w.conditions, " AND ") }

// Any returns the clause that requires one of the conditions.
func (w *Where) Any() string { return "WHERE " + strings.Join(w.conditions, " OR ") }

// List returns values as arguments of a statement.
func List(values []string) []any {
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	return args
}

// PageSize returns the number of rows of a page: usual when none is asked for, at most most.
func PageSize(asked, usual, most int) int {
	if asked <= 0 {
		return usual
	}
	return min(asked, most)
}
