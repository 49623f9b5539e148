package sqlkit

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// InsertAll inserts rows in as few statements as possible. insert ends before the values; all rows have the same number of them.
func (t *Tx) InsertAll(ctx context.Context, insert string, rows [][]any) error {
	return t.ExecRows(ctx, rows, func(source string) string { return insert + " " + source })
}

// ExecRows runs the statements of ForRows.
func (t *Tx) ExecRows(ctx context.Context, rows [][]any, text func(source string) string) error {
	all, err := t.ForRows(rows, text)
	if err != nil {
		return err
	}
	return t.ExecAll(ctx, all)
}

// ForRows returns the statements that text makes of rows as their source, as few as possible. In the source the values are column1,
// column2 and so on. A statement whose text is the same for any number of rows is prepared once; where the database does not support
// that, each has a power of two of rows, so that there are few different texts.
func (t *Tx) ForRows(rows [][]any, text func(source string) string) ([]Statement, error) {
	var all []Statement
	for len(rows) > 0 {
		n := min(len(rows), mostRows)
		if !t.arrays {
			n = 1 << (bits.Len(uint(n)) - 1)
		}
		list := valuesList
		if t.arrays {
			list = unnested
		}
		source, args, err := list(rows[:n])
		if err != nil {
			return nil, err
		}
		all = append(all, Statement{Text: text(source), Args: args})
		rows = rows[n:]
	}
	return all, nil
}

// mostRows bounds the rows of one statement: SQLite accepts at most 32,766 values.
const mostRows = 256

func valuesList(rows [][]any) (string, []any, error) {
	marks := make([]string, len(rows))
	var args []any
	for i, row := range rows {
		marks[i] = "(" + Placeholders(len(args)+1, len(row)) + ")"
		args = append(args, row...)
	}
	return "VALUES " + strings.Join(marks, ", "), args, nil
}

// unnested passes rows as one array per column.
func unnested(rows [][]any) (string, []any, error) {
	width := len(rows[0])
	args, marks, names := make([]any, width), make([]string, width), make([]string, width)
	for c := range width {
		names[c] = "column" + strconv.Itoa(c+1)
		first, err := plain(rows[0][c])
		if err != nil {
			return "", nil, err
		}
		kind := ""
		switch first.(type) {
		case string:
			args[c], err = arrayOf[string](rows, c)
			kind = "TEXT"
		case int64:
			args[c], err = arrayOf[int64](rows, c)
			kind = "BIGINT"
		case float64:
			args[c], err = arrayOf[float64](rows, c)
			kind = "DOUBLE PRECISION"
		default:
			err = fmt.Errorf("no array is known for a %T", first)
		}
		if err != nil {
			return "", nil, err
		}
		marks[c] = "$" + strconv.Itoa(c+1) + "::" + kind + "[]"
	}
	return "SELECT * FROM UNNEST(" + strings.Join(marks, ", ") + ") AS u(" + strings.Join(names, ", ") + ")", args, nil
}

func arrayOf[T any](rows [][]any, column int) ([]T, error) {
	values := make([]T, len(rows))
	for i, row := range rows {
		v, err := plain(row[column])
		if err != nil {
			return nil, err
		}
		var ok bool
		if values[i], ok = v.(T); !ok {
			return nil, fmt.Errorf("a column of %T has a %T", values[i], v)
		}
	}
	return values, nil
}

// plain returns a value or a field as stored.
func plain(v any) (any, error) {
	switch v.(type) {
	case string, int64, float64:
		return v, nil
	}
	return ValueOf(v)
}

// Placeholders returns "$from, ..." for n values.
func Placeholders(from, n int) string {
	marks := make([]string, n)
	for i := range marks {
		marks[i] = "$" + strconv.Itoa(from+i)
	}
	return strings.Join(marks, ", ")
}

// ValueOf returns a field as stored.
func ValueOf(at any) (any, error) {
	switch at := at.(type) {
	case *string:
		return *at, nil
	case *int64:
		return *at, nil
	case *float64:
		return *at, nil
	case driver.Valuer:
		return at.Value()
	}
	return nil, fmt.Errorf("no rule for %T", at)
}

// Collect reads all rows and closes them.
func Collect[T any](rows *sql.Rows, scan func(Scanner) (T, error)) (all []T, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// Scanner is *sql.Row or *sql.Rows.
type Scanner interface{ Scan(dest ...any) error }
