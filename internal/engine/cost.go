package engine

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

// Cost gives what environments have cost, grouped: what the ledger has booked, and what is still open of
// those that live. Members see their tenant's, the platform team everybody's. Of days whose entries are pruned, since and until are
// moved to midnights, and environments are one group without a name.
//
// Errors: invalid (By is no group, or Until is before Since).
func (e *Engine) Cost(ctx context.Context, who fleet.Identity, q CostQuery) (CostReport, error) {
	if !q.Until.IsZero() && q.Until.Before(q.Since) {
		return CostReport{}, fleet.Errorf(fleet.CodeInvalid, "the time until %s is before the time since %s",
			q.Until.Format(time.RFC3339), q.Since.Format(time.RFC3339)).WithHint("give them the other way round")
	}
	if _, err := ledger.Group(nil, q.By, q.Since, q.Until); err != nil {
		return CostReport{}, err
	}
	charges, err := e.store.Charges(ctx, store.ChargeFilter{Tenant: who.Sees(), Since: q.Since, Until: q.Until, By: q.By})
	if err != nil {
		return CostReport{}, err
	}
	now := e.Now()
	for _, env := range charges.Live {
		if entry, ok := ledger.Open(env, now); ok {
			charges.Entries = append(charges.Entries, entry)
		}
	}
	q.Since, q.Until = charges.Since, charges.Until
	rows, err := ledger.GroupWith(charges.Totals, charges.Entries, q.By, q.Since, q.Until)
	if err != nil {
		return CostReport{}, err
	}
	totals, err := ledger.GroupWith(charges.Totals, charges.Entries, "", q.Since, q.Until)
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
