package store

import (
	"context"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// insertAll writes rows in as few statements as it may. insert ends before the values; each row has as many.
func insertAll(ctx context.Context, tx *txn, insert string, rows [][]any) error {
	return tx.execRows(ctx, rows, func(source string) string { return insert + " " + source })
}

// execRows runs what forRows gives.
func (t *txn) execRows(ctx context.Context, rows [][]any, text func(source string) string) error {
	all, err := t.forRows(rows, text)
	if err != nil {
		return err
	}
	return t.execAll(ctx, all)
}

// forRows gives the statements that text makes of rows as their source, as few as it may. In the source the values are
// column1, column2 and so on. A statement whose text is the same for any number of rows is prepared once; where
// the database cannot do that, each has a power of two of rows, so that there are few texts.
func (t *txn) forRows(rows [][]any, text func(source string) string) ([]statement, error) {
	var all []statement
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
		all = append(all, statement{text: text(source), args: args})
		rows = rows[n:]
	}
	return all, nil
}

// mostRows bounds the rows of one statement: SQLite takes at most 32,766 values.
const mostRows = 256

func valuesList(rows [][]any) (string, []any, error) {
	marks := make([]string, len(rows))
	var args []any
	for i, row := range rows {
		marks[i] = "(" + placeholders(len(args)+1, len(row)) + ")"
		args = append(args, row...)
	}
	return "VALUES " + strings.Join(marks, ", "), args, nil
}

// unnested gives rows as an array a column.
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
			return nil, fmt.Errorf("a column of %T holds a %T", values[i], v)
		}
	}
	return values, nil
}

// plain gives what a value or a place is kept as.
func plain(v any) (any, error) {
	switch v.(type) {
	case string, int64, float64:
		return v, nil
	}
	return valueOf(v)
}
