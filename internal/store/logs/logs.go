// Package logs keeps the newest lines of environments' logs.
package logs

import (
	"context"
	"database/sql"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Bounds of an environment's log.
const (
	// KeptLogLines is how many lines are kept per environment: the newest.
	KeptLogLines = 20_000
	// MaxLogLine is how many bytes are kept per line.
	MaxLogLine = 16 << 10
	// usualLines is the default limit of Log.
	usualLines = 1000
)

// Lines are the lines of all logs.
type Lines struct{ db *txn.DB }

// New returns the logs of a database.
func New(db *txn.DB) *Lines { return &Lines{db} }

// AppendLog appends lines to an environment's log and numbers them consecutively (LogLine.Seq counts within the environment).
// CodeNotFound: no such environment. Each call waits for the disk, so append in batches.
func (l *Lines) AppendLog(ctx context.Context, environmentID string, lines []fleet.LogLine) error {
	if len(lines) == 0 {
		return nil
	}
	return l.db.InTx(ctx, "append log", func(tx *txn.Tx) error {
		var id string
		err := tx.QueryRowContext(ctx, "SELECT id FROM environments WHERE id = $1"+l.db.ForUpdate, environmentID).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			return record.NotFound(environmentID)
		} else if err != nil {
			return err
		}
		var seq int64
		const newest = "SELECT COALESCE(MAX(seq), 0) FROM log_lines WHERE environment_id = $1"
		if err := tx.QueryRowContext(ctx, newest, environmentID).Scan(&seq); err != nil {
			return err
		}
		last := seq + int64(len(lines))
		if err := insertLines(ctx, tx, environmentID, seq, last-KeptLogLines, lines); err != nil {
			return err
		}
		if err := tx.TellLogged(ctx, environmentID); err != nil {
			return err
		}
		const trim = "DELETE FROM log_lines WHERE environment_id = $1 AND seq <= $2"
		_, err = tx.ExecContext(ctx, trim, environmentID, last-KeptLogLines)
		return err
	})
}

// insertLines numbers lines after seq and inserts those above floor.
func insertLines(ctx context.Context, tx *txn.Tx, id string, seq, floor int64, lines []fleet.LogLine) error {
	rows := make([][]any, 0, len(lines))
	for _, line := range lines {
		if seq++; seq > floor {
			rows = append(rows, []any{id, seq, sqlkit.Micros(line.At), line.Source, sqlkit.Prose(cut(line.Text))})
		}
	}
	return tx.InsertAll(ctx, "INSERT INTO log_lines (environment_id, seq, at, source, line)", rows)
}

// cut shortens a line to MaxLogLine bytes without splitting a character.
func cut(s string) string {
	if len(s) <= MaxLogLine {
		return s
	}
	end := MaxLogLine
	for end > MaxLogLine-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// Log returns up to limit lines, in order, with a number above after and not older than since (zero: any). Limit 0 means 1000, at most
// KeptLogLines.
func (l *Lines) Log(
	ctx context.Context, environmentID string, after int64, since time.Time, limit int,
) ([]fleet.LogLine, error) {
	const query = `SELECT seq, at, source, line FROM log_lines
		WHERE environment_id = $1 AND seq > $2 AND at >= $3 ORDER BY seq LIMIT $4`
	rows, err := l.db.Read.QueryContext(ctx, query, environmentID, after, sqlkit.Micros(since), sqlkit.PageSize(limit, usualLines, KeptLogLines))
	if err != nil {
		return nil, l.db.Fault(ctx, "read log", err)
	}
	lines, err := sqlkit.Collect(rows, func(row sqlkit.Scanner) (l fleet.LogLine, err error) {
		err = row.Scan(&l.Seq, sqlkit.Time(&l.At), &l.Source, &l.Text)
		return l, err
	})
	return lines, l.db.Fault(ctx, "read log", err)
}
