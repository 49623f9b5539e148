package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// money is an amount held from a scope's limits and an amount settled: millionths of the currency, and microseconds.
type money struct{ settledMicros, settledTime, heldMicros, heldTime int64 }

func (m money) plus(o money, sign int64) money {
	return money{
		m.settledMicros + sign*o.settledMicros, m.settledTime + sign*o.settledTime,
		m.heldMicros + sign*o.heldMicros, m.heldTime + sign*o.heldTime,
	}
}

// micros is the amount of money, seconds the time, rounded up.
func (m money) micros() int64 { return m.settledMicros + m.heldMicros }
func (m money) seconds() int64 {
	return (m.settledTime + m.heldTime + time.Second.Microseconds() - 1) / time.Second.Microseconds()
}

// period is a UTC day ("2026-05-06") or month ("2026-05") of a scope.
type period struct {
	scope fleet.Scope
	of    string
}

// begins returns the first moment of a period.
func (p period) begins() (time.Time, error) {
	layout := time.DateOnly
	if strings.Count(p.of, "-") == 1 {
		layout = "2006-01"
	}
	return time.Parse(layout, p.of)
}

// spendIn adds to the periods of a row's scopes in which its request counts.
func (b *batch) spendIn(env *fleet.Environment, m money, sign int64) {
	if env.HeldAt.IsZero() || m == (money{}) {
		return
	}
	day, month := record.PeriodsOf(env.HeldAt)
	for _, scope := range env.Scopes() {
		b.pay(period{scope, day}, m, sign)
		b.pay(period{scope, month}, m, sign)
	}
}

func (b *batch) pay(p period, m money, sign int64) {
	if b.spend == nil {
		b.spend = map[period]money{}
	}
	b.spend[p] = b.spend[p].plus(m, sign)
}

// held is what a row holds from its scopes' limits: all of it until the environment is proven gone.
func held(env *fleet.Environment) money {
	if env == nil || env.Tenant == "" || env.HeldAt.IsZero() || !env.State.Live() {
		return money{}
	}
	return money{heldMicros: env.HeldMicros, heldTime: env.HeldFor.Microseconds()}
}

func (b *batch) hold(env *fleet.Environment, sign int64) { b.spendIn(env, held(env), sign) }

func (b *batch) settle(env *fleet.Environment, spent money) { b.spendIn(env, spent, 1) }

// settles reports whether a change settles what a row has cost its holder: the environment is gone. One that is withdrawn before its
// handover settles nothing: its replacement holds what was admitted, and the platform pays for the failure.
func settles(before, after *fleet.Environment) bool {
	return before.Tenant != "" && before.State.Live() && !after.State.Live()
}

// holdEntries book what a change holds from the budgets or releases.
func holdEntries(before, after *fleet.Environment) []ledger.Entry {
	was, is := held(before).heldMicros, held(after).heldMicros
	whose := after
	if is == 0 {
		whose = before
	}
	switch {
	case is > was:
		return []ledger.Entry{holdEntry(whose, after.UpdatedAt, ledger.AccountHeld, ledger.AccountBudget, is-was)}
	case is < was:
		return []ledger.Entry{holdEntry(whose, after.UpdatedAt, ledger.AccountBudget, ledger.AccountHeld, was-is)}
	}
	return nil
}

func holdEntry(env *fleet.Environment, at time.Time, debit, credit string, amount int64) ledger.Entry {
	return ledger.Entry{
		At: at, EnvironmentID: env.ID, Tenant: env.Tenant, Team: env.Team, Owner: env.Owner,
		Project: env.Project, PullRequest: env.PullRequest, Pool: env.Pool, Blueprint: env.Blueprint.String(),
		Size: env.Size.Name, Host: env.Host, Debit: debit, Credit: credit,
		RateMicros: env.Size.RateMicros, AmountMicros: amount, Currency: env.Size.Currency,
	}
}

// paidAccounts are those that a holder pays for; the platform pays for failures.
var paidAccounts = []string{ledger.AccountLeased, ledger.AccountProvisioning, ledger.AccountDestroying}

// within is the settled part of a row's cost: never more than it held, so that what was admitted within a limit stays within it. The
// lease itself never costs more (see ledger.Hold, and ledger.Book for one that ends late), so only the cost of creating and destroying
// can be left out. The ledger has all of it; the rest counts in no budget.
func (m money) within(hold money) money {
	m.settledMicros, m.settledTime = min(m.settledMicros, hold.heldMicros), min(m.settledTime, hold.heldTime)
	return m
}

// add counts an entry if the environment's holder pays for it.
func (m money) add(e ledger.Entry) money {
	if !slices.Contains(paidAccounts, e.Debit) {
		return m
	}
	m.settledMicros += min(e.AmountMicros, mostHeld-m.settledMicros)
	if e.Debit == ledger.AccountLeased {
		m.settledTime += sqlkit.Micros(e.Until) - sqlkit.Micros(e.From)
	}
	return m
}

// spentBy is the amount settled for a row's holder, including the entries about to be written.
func spentBy(ctx context.Context, tx *txn.Tx, env *fleet.Environment, coming []ledger.Entry) (money, error) {
	rows, err := tx.QueryContext(ctx, "SELECT "+record.EntryColumns+" FROM entries WHERE environment_id = $1", env.ID)
	if err != nil {
		return money{}, err
	}
	entries, err := sqlkit.Collect(rows, record.ScanEntry)
	if err != nil {
		return money{}, err
	}
	var spent money
	for _, e := range append(entries, coming...) {
		if e.Tenant == env.Tenant && e.Team == env.Team && e.Owner == env.Owner {
			spent = spent.add(e)
		}
	}
	return spent.within(held(env)), nil
}

// spendRows are the rows that change, in order.
func (b *batch) spendRows() [][]any {
	inOrder := func(a, b period) int { return cmp.Or(locked(a.scope, b.scope), strings.Compare(a.of, b.of)) }
	var rows [][]any
	for _, p := range slices.SortedFunc(maps.Keys(b.spend), inOrder) {
		if m := b.spend[p]; m != (money{}) {
			rows = append(rows, []any{
				p.scope.Kind, p.scope.Tenant, p.scope.Name, p.of, m.settledMicros, m.settledTime, m.heldMicros, m.heldTime,
			})
		}
	}
	return rows
}

func changeSpend(source string) string {
	return "INSERT INTO spend (kind, tenant, name, period, settled_micros, settled_time, held_micros, held_time) " + source +
		` ON CONFLICT (kind, tenant, name, period) DO UPDATE SET
		settled_micros = spend.settled_micros + excluded.settled_micros, settled_time = spend.settled_time + excluded.settled_time,
		held_micros = spend.held_micros + excluded.held_micros, held_time = spend.held_time + excluded.held_time`
}

// goneCosts selects for each destroyed environment its cost to its holder and what it held; the lesser of both is settled, see
// money.within. More conditions may follow, and then GROUP BY v.id.
var goneCosts = `SELECT v.tenant, v.team, v.owner, v.held_at, v.held_micros, v.held_for / 1000 AS held_time, SUM(e.amount_micros) AS cost,
	SUM(CASE WHEN e.debit = 'leased' THEN e.until_at - e.from_at ELSE 0 END) AS leased
	FROM environments v JOIN entries e ON e.environment_id = v.id AND e.tenant = v.tenant AND e.team = v.team AND e.owner = v.owner
	WHERE v.tenant <> '' AND v.state = 'destroyed' AND v.held_at <> 0 AND e.debit IN ('` + strings.Join(paidAccounts, "', '") + `')`

const (
	settledMicros = "CASE WHEN cost < held_micros THEN cost ELSE held_micros END"
	settledTime   = "CASE WHEN leased < held_time THEN leased ELSE held_time END"
)

// checkSpend selects the stored spend of each scope's periods, then, negated, what rows and entries add up to. Days are numbers where
// they are counted, because SQLite and PostgreSQL share no date function.
var checkSpend = `SELECT kind, tenant, name, '', period, -1, settled_micros, settled_time, held_micros, held_time FROM spend
	UNION ALL SELECT '', tenant, team, owner, '', held_at / 86400000000,
		0, 0, -CAST(SUM(held_micros) AS BIGINT), -CAST(SUM(held_for / 1000) AS BIGINT)
		FROM environments WHERE tenant <> '' AND state <> 'destroyed' AND held_at <> 0
		GROUP BY tenant, team, owner, held_at / 86400000000
	UNION ALL SELECT '', tenant, team, owner, '', held_at / 86400000000,
		-CAST(SUM(` + settledMicros + `) AS BIGINT), -CAST(SUM(` + settledTime + `) AS BIGINT), 0, 0
		FROM (` + goneCosts + ` GROUP BY v.id) AS gone
		GROUP BY tenant, team, owner, held_at / 86400000000`

// CheckSpend recomputes spend from rows and entries and returns a sentence for each scope and period whose stored spend differs: none, in
// every committed state. It is one statement, so it sees one state. Periods that began before what is pruned are left out.
func (a *Audit) CheckSpend(ctx context.Context) ([]string, error) {
	rows, err := a.db.Read.QueryContext(ctx, checkSpend)
	if err != nil {
		return nil, a.db.Fault(ctx, "check spend", err)
	}
	off := map[period]money{}
	_, err = sqlkit.Collect(rows, func(row sqlkit.Scanner) (none struct{}, err error) {
		var kind, tenant, name, owner, of string
		var day int64
		var m money
		if err := row.Scan(&kind, &tenant, &name, &owner, &of, &day, &m.settledMicros, &m.settledTime, &m.heldMicros, &m.heldTime); err != nil {
			return none, err
		}
		if kind != "" {
			p := period{fleet.Scope{Kind: kind, Tenant: tenant, Name: name}, of}
			off[p] = off[p].plus(m, 1)
			return none, nil
		}
		var sum batch
		sum.spendIn(&fleet.Environment{
			Tenant: tenant, Team: name, Owner: owner, HeldAt: time.Unix(day*24*60*60, 0).UTC(),
		}, m, 1)
		for p, m := range sum.spend {
			off[p] = off[p].plus(m, 1)
		}
		return none, nil
	})
	if err != nil {
		return nil, a.db.Fault(ctx, "check spend", err)
	}
	pruned, err := a.prunedDays(ctx)
	if err != nil {
		return nil, a.db.Fault(ctx, "check spend", err)
	}
	var wrong []string
	for p, m := range off {
		begins, err := p.begins()
		if err != nil {
			return nil, fleet.Errorf(fleet.CodeInternal, "check spend: %w", err)
		}
		if m != (money{}) && !begins.Before(pruned) {
			wrong = append(wrong, fmt.Sprintf("spend of %s in %s is off: %d settled, %d µs settled, %d held, %d µs held",
				p.scope, p.of, m.settledMicros, m.settledTime, m.heldMicros, m.heldTime))
		}
	}
	slices.Sort(wrong)
	return wrong, nil
}

// prunedDays returns the moment before which rows or entries of spend may be pruned.
func (a *Audit) prunedDays(ctx context.Context) (time.Time, error) {
	const query = "SELECT MAX(value) FROM counters WHERE name IN ($1, $2)"
	var days int64
	err := a.db.Read.QueryRowContext(ctx, query, record.PrunedEntries, record.PrunedEnvironments).Scan(&days)
	return time.UnixMicro(days * record.DayMicros).UTC(), err
}
