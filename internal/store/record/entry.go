package record

import (
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// EntryColumns are bound to the fields of an Entry by entryFields.
const EntryColumns = `seq, at, environment_id, tenant, team, owner, project, pull_request, pool, blueprint, size, host,
	debit, credit, from_at, until_at, rate_micros, amount_micros, currency`

// EntryMoment is the expression of the index entries_moment.
const EntryMoment = "(CASE WHEN until_at > 0 THEN until_at ELSE at END)"

func entryFields(e *ledger.Entry) []any {
	return []any{
		&e.Seq, sqlkit.Time(&e.At), &e.EnvironmentID, &e.Tenant, &e.Team, &e.Owner, &e.Project, &e.PullRequest,
		&e.Pool, &e.Blueprint, &e.Size, &e.Host, &e.Debit, &e.Credit, sqlkit.Time(&e.From), sqlkit.Time(&e.Until),
		&e.RateMicros, &e.AmountMicros, &e.Currency,
	}
}

// ScanEntry reads one entry.
func ScanEntry(row sqlkit.Scanner) (e ledger.Entry, err error) {
	err = row.Scan(entryFields(&e)...)
	return e, err
}

// EntryRows returns entries as rows of InsertEntries, each with its offset as its number.
func EntryRows(entries []ledger.Entry) [][]any {
	rows := make([][]any, len(entries))
	for i, e := range entries {
		e.Seq = placeFromLast(i, len(entries))
		rows[i] = entryFields(&e)
	}
	return rows
}
