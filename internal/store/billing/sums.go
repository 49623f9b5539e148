package billing

import (
	"context"
	"math"
	"time"

	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// Entries are added up once, by the UTC days of their time (table sums, migration 13), in the order of their numbers: the sums contain
// exactly the entries up to the counter entries.summed. So an entry that is booked late, however old its time, is in no sum until it is
// summed, and then in the sums of its days.

// day is a UTC day in microseconds.
const day = record.DayMicros

const (
	// notLarge bounds the amount of an entry that the database adds up: sums of larger ones could overflow. Those are added up here, and
	// a sum that overflows stays at the maximum.
	notLarge = "amount_micros BETWEEN 0 AND 4398046511104"
	// dimensions are the columns that sums keep apart, besides the day.
	dimensions = "tenant, team, owner, project, pull_request, pool, blueprint, host, debit, currency"
	// ofTime selects entries of time, ofDays those of more than one day (index entries_days), wholeEntry those that the database adds up.
	ofTime     = "from_at <> 0 AND until_at > from_at"
	ofDays     = "from_at / 86400000000 <> (until_at - 1) / 86400000000"
	wholeEntry = ofTime + " AND from_at / 86400000000 = (until_at - 1) / 86400000000 AND " + notLarge
)

// The statements that add up entries.
const (
	addToSums           = "INSERT INTO sums (day, " + dimensions + ", amount_micros, time_micros) "
	onSumsAlready       = ` ON CONFLICT (day, ` + dimensions + `) DO UPDATE SET amount_micros = ` + saturated + `, time_micros = sums.time_micros + excluded.time_micros`
	saturated           = `CASE WHEN sums.amount_micros > 9223372036854775807 - excluded.amount_micros THEN 9223372036854775807 ELSE sums.amount_micros + excluded.amount_micros END`
	sumOfEntries        = "CAST(SUM(amount_micros) AS BIGINT), CAST(SUM(until_at - from_at) AS BIGINT)"
	selectSummedEntries = "SELECT from_at / 86400000000, " + dimensions + ", " + sumOfEntries + " FROM entries WHERE seq > $1 AND seq <= $2 AND " + wholeEntry + " GROUP BY from_at / 86400000000, " + dimensions
	selectOtherEntries  = "SELECT " + record.EntryColumns + " FROM entries WHERE seq > $1 AND seq <= $2 AND " + ofTime + " AND NOT (" + wholeEntry + ") ORDER BY seq"
	lastSummable        = "SELECT COALESCE(MAX(seq), 0) FROM entries WHERE seq > $1 AND seq <= $2"
	firstUnsummable     = "SELECT COALESCE(MIN(seq), 0) FROM entries WHERE seq > $1 AND seq <= $2 AND at >= $3"
	insertSummedEntries = addToSums + selectSummedEntries + onSumsAlready
)

// SumEntries adds entries booked before a moment to the sums, at most most, in the order of their numbers. It returns how many; fewer
// than most means that all are summed for now.
func (l *Ledger) SumEntries(ctx context.Context, before time.Time, most int) (summed int, err error) {
	err = l.db.InTx(ctx, "sum entries", func(tx *txn.Tx) error {
		summed = 0
		var after, last, first int64
		if err := tx.QueryRowContext(ctx, record.ReadCounter+l.db.ForUpdate, record.SummedEntries).Scan(&after); err != nil {
			return err
		}
		// Numbers rise in the order of commits: no number up to a visible one can appear later.
		if err := tx.QueryRowContext(ctx, lastSummable, after, after+int64(most)).Scan(&last); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, firstUnsummable, after, last, sqlkit.Micros(before)).Scan(&first); err != nil {
			return err
		}
		if first > 0 {
			last = first - 1
		}
		if last <= after {
			return nil
		}
		if _, err := tx.ExecContext(ctx, insertSummedEntries, after, last); err != nil {
			return err
		}
		rows, err := tx.QueryContext(ctx, selectOtherEntries, after, last)
		if err != nil {
			return err
		}
		others, err := sqlkit.Collect(rows, record.ScanEntry)
		if err != nil {
			return err
		}
		statements, err := tx.ForRows(daysOf(others), func(source string) string {
			return addToSums + "SELECT * FROM (" + source + ") AS v WHERE true" + onSumsAlready
		})
		if err != nil {
			return err
		}
		statements = append(statements, sqlkit.Statement{Text: record.RaiseCounter, Args: []any{record.SummedEntries, last}})
		summed = int(last - after)
		return tx.ExecAll(ctx, statements)
	})
	return summed, err
}

// dayOfSum is the key of a row of sums.
type dayOfSum struct {
	day int64
	of  [10]string
}

func dimensionsOf(e ledger.Entry) [10]string {
	return [10]string{e.Tenant, e.Team, e.Owner, e.Project, e.PullRequest, e.Pool, e.Blueprint, e.Host, e.Debit, e.Currency}
}

// daysOf adds up entries by day, as rows of sums: one for each key, since a statement may write a row only once.
func daysOf(entries []ledger.Entry) [][]any {
	type amount struct{ micros, time int64 }
	sums := map[dayOfSum]amount{}
	var order []dayOfSum
	for _, e := range entries {
		ledger.EachDay(e, func(part ledger.Entry) {
			key := dayOfSum{sqlkit.Micros(part.From) / day, dimensionsOf(part)}
			sum, known := sums[key]
			if !known {
				order = append(order, key)
			}
			if sum.micros += part.AmountMicros; sum.micros < 0 {
				sum.micros = math.MaxInt64
			}
			sum.time += sqlkit.Micros(part.Until) - sqlkit.Micros(part.From)
			sums[key] = sum
		})
	}
	rows := make([][]any, 0, len(order))
	for _, key := range order {
		row := []any{key.day}
		for _, text := range key.of {
			row = append(row, text)
		}
		rows = append(rows, append(row, sums[key].micros, sums[key].time))
	}
	return rows
}
