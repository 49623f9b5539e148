package service

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

// CostQuery selects and groups cost.
type CostQuery struct {
	// By is "user", "team", "tenant", "blueprint", "project", "pool", "day", "host", "pull-request" or "environment".
	By string
	// Since and Until limit the time; zero for no limit.
	Since, Until time.Time
}

// CostReport is cost by group, the highest first ("day": in order).
type CostReport struct {
	By           string
	Since, Until time.Time
	Rows         []CostRow
	Total        CostRow
}

// CostRow is one group, in one currency. Amounts are in millionths of it.
type CostRow struct {
	Key      string
	Currency string
	// Leased, Pool, Provisioning, Failed and Destroying are the cost by state; Total is their sum.
	Leased, Pool, Provisioning, Failed, Destroying, Total int64
	// Seconds is the time of all of them.
	Seconds int64
}

// CostsConfig is what Costs needs.
type CostsConfig struct {
	Base
	Blueprints Blueprints
}

// Costs are the use cases of money.
type Costs struct{ cfg CostsConfig }

// NewCosts makes it.
func NewCosts(c CostsConfig) *Costs { return &Costs{cfg: c} }

// Report returns the cost of environments by group: the entries of the ledger, and the open time of live
// ones. Members see their tenant's, the platform role sees all. On days with pruned entries, Since and Until
// move to midnight, and environments are one group without a name.
//
// Errors: invalid (By is no group, or Until is before Since).
func (c *Costs) Report(ctx context.Context, who fleet.Identity, q CostQuery) (CostReport, error) {
	if !q.Until.IsZero() && q.Until.Before(q.Since) {
		return CostReport{}, fleet.Errorf(fleet.CodeInvalid, "the time until %s is before the time since %s",
			q.Until.Format(time.RFC3339), q.Since.Format(time.RFC3339)).WithHint("give them the other way round")
	}
	if _, err := ledger.Group(nil, q.By, q.Since, q.Until); err != nil {
		return CostReport{}, err
	}
	charges, err := c.cfg.Store.Charges(ctx, store.ChargeFilter{Tenant: who.Sees(), Since: q.Since, Until: q.Until, By: q.By})
	if err != nil {
		return CostReport{}, err
	}
	now := c.cfg.Clock.Now()
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
		// Amounts of different currencies have no sum, but times do.
		report.Total.Seconds += t.Seconds
	}
	return report, nil
}
