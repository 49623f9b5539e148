package engine

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

// Cost gives what environments have cost, grouped: what the ledger has booked, and what is still open of
// those that live. Members see their tenant's, the platform team everybody's.
//
// Errors: invalid (By is no group, or Until is before Since).
func (e *Engine) Cost(ctx context.Context, who fleet.Identity, q CostQuery) (CostReport, error) {
	if !q.Until.IsZero() && q.Until.Before(q.Since) {
		return CostReport{}, fleet.Errorf(fleet.CodeInvalid, "the time until %s is before the time since %s",
			q.Until.Format(time.RFC3339), q.Since.Format(time.RFC3339)).WithHint("give them the other way round")
	}
	entries, err := e.charges(ctx, who.Sees(), q.Since)
	if err != nil {
		return CostReport{}, err
	}
	rows, err := ledger.Group(entries, q.By, q.Since, q.Until)
	if err != nil {
		return CostReport{}, err
	}
	totals, err := ledger.Group(entries, "", q.Since, q.Until)
	if err != nil {
		return CostReport{}, err
	}
	report := CostReport{By: q.By, Since: q.Since, Until: q.Until, Rows: make([]CostRow, len(rows))}
	for i, row := range rows {
		report.Rows[i] = CostRow(row)
	}
	if len(totals) == 1 {
		report.Total = CostRow(totals[0])
		return report, nil
	}
	for _, t := range totals {
		// Amounts of different currencies have no sum; their times have.
		report.Total.Seconds += t.Seconds
	}
	return report, nil
}

// charges gives the entries that end at since or later, and what is open of live environments.
func (e *Engine) charges(ctx context.Context, tenant string, since time.Time) ([]ledger.Entry, error) {
	now := e.Now()
	// The rows first. What is booked between the two reads is then open by its row, and left out of what is booked.
	live, err := e.store.Live(ctx)
	if err != nil {
		return nil, err
	}
	booked, err := e.store.EntriesBy(ctx, store.EntryFilter{Tenant: tenant, Since: since})
	if err != nil {
		return nil, err
	}
	var all []ledger.Entry
	openFrom := map[string]time.Time{}
	for _, env := range live {
		if tenant != "" && env.Tenant != tenant {
			continue
		}
		if entry, ok := ledger.Open(env, now); ok {
			openFrom[env.ID] = entry.From
			all = append(all, entry)
		}
	}
	for _, entry := range booked {
		from, open := openFrom[entry.EnvironmentID]
		if !open || entry.From.Before(from) {
			all = append(all, entry)
		}
	}
	return all, nil
}
