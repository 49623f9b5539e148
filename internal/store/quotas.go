package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// SetQuota sets the limits of a scope; without any limit the quota is removed. record is called with the former limits and returns the
// event. It runs inside the transaction, which may be retried.
func (t *QuotaTable) SetQuota(ctx context.Context, q fleet.Quota, record func(was fleet.Limits) fleet.Event) error {
	limits, err := sqlkit.WriteJSON(q.Limits)
	if err != nil {
		return fleet.Errorf(fleet.CodeInternal, "set quota of %s: %w", q.Scope, err)
	}
	return t.db.InTx(ctx, "set quota of "+q.Scope.String(), func(tx *txn.Tx) error {
		var was fleet.Limits
		read := "SELECT limits FROM quotas WHERE kind = $1 AND tenant = $2 AND name = $3" + t.db.ForUpdate
		err := tx.QueryRowContext(ctx, read, q.Scope.Kind, q.Scope.Tenant, q.Scope.Name).Scan(jsonColumn{&was})
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		ev := record(was)
		if limits == "{}" {
			const remove = "DELETE FROM quotas WHERE kind = $1 AND tenant = $2 AND name = $3"
			if _, err := tx.ExecContext(ctx, remove, q.Scope.Kind, q.Scope.Tenant, q.Scope.Name); err != nil {
				return err
			}
			return tx.AppendEvents(ctx, ev)
		}
		const write = `INSERT INTO quotas (kind, tenant, name, limits, updated_at, updated_by) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (kind, tenant, name) DO UPDATE SET
			limits = excluded.limits, updated_at = excluded.updated_at, updated_by = excluded.updated_by`
		if _, err := tx.ExecContext(ctx, write,
			q.Scope.Kind, q.Scope.Tenant, q.Scope.Name, limits, sqlkit.Micros(q.UpdatedAt), q.UpdatedBy); err != nil {
			return err
		}
		return tx.AppendEvents(ctx, ev)
	})
}

// Quotas returns the quotas of one tenant or of all (""), by tenant, kind and name.
func (t *QuotaTable) Quotas(ctx context.Context, tenant string) ([]fleet.Quota, error) {
	const query = `SELECT kind, tenant, name, limits, updated_at, updated_by FROM quotas
		WHERE $1 = '' OR tenant = $1 ORDER BY tenant, kind, name`
	rows, err := t.db.Read.QueryContext(ctx, query, tenant)
	if err != nil {
		return nil, t.db.Fault(ctx, "read quotas", err)
	}
	quotas, err := sqlkit.Collect(rows, func(row sqlkit.Scanner) (q fleet.Quota, err error) {
		err = row.Scan(&q.Scope.Kind, &q.Scope.Tenant, &q.Scope.Name, jsonColumn{&q.Limits}, sqlkit.Time(&q.UpdatedAt), &q.UpdatedBy)
		return q, err
	})
	return quotas, t.db.Fault(ctx, "read quotas", err)
}

// jsonColumn reads a JSON object into an empty target.
type jsonColumn struct{ into any }

// Scan reads JSON.
func (c jsonColumn) Scan(src any) error { return sqlkit.ReadJSON(src, c.into) }

// UsageOf returns scopes with their limits and their usage at now.
func (t *QuotaTable) UsageOf(ctx context.Context, scopes []fleet.Scope, now time.Time) ([]fleet.ScopeUsage, error) {
	limits, err := limitsOf(ctx, t.db.Read, scopes)
	if err != nil {
		return nil, t.db.Fault(ctx, "read usage", err)
	}
	all := make([]fleet.ScopeUsage, len(scopes))
	for i, scope := range scopes {
		var a amounts
		const query = "SELECT environments, milli_cpus, memory_mib FROM usage WHERE kind = $1 AND tenant = $2 AND name = $3"
		err := t.db.Read.QueryRowContext(ctx, query, scope.Kind, scope.Tenant, scope.Name).
			Scan(&a.environments, &a.milliCPUs, &a.memoryMiB)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return nil, t.db.Fault(ctx, "read usage", err)
		}
		if all[i], err = usageOf(ctx, t.db.Read, &batch{}, scope, limits[scope], a, now); err != nil {
			return nil, t.db.Fault(ctx, "read usage", err)
		}
	}
	return all, nil
}

// Holders returns the live environments of a scope, the oldest first.
func (t *QuotaTable) Holders(ctx context.Context, scope fleet.Scope, limit int) ([]fleet.Environment, error) {
	where := inScope(scope, "")
	where.Add("state <> 'destroyed'")
	query := where.Text() + " ORDER BY created_at, id LIMIT " + where.Next()
	return t.db.Environments(ctx, "read holders", query, append(where.Args, sqlkit.PageSize(limit, DefaultLimit, MaxLimit))...)
}

// decide calls ask with the limits and usage that a request counts in. Usage with limits stays locked until the transaction ends, so the
// next request sees what this one got. known is nil when nothing has been locked before.
func decide(ctx context.Context, tx *txn.Tx, known *standing, env *fleet.Environment, ask func([]fleet.ScopeUsage) error) error {
	if ask == nil {
		return nil
	}
	scopes := env.Scopes()
	if known == nil {
		var err error
		if known, err = standingOf(ctx, tx, scopes); err != nil {
			return err
		}
	}
	var asked []fleet.ScopeUsage
	for _, scope := range scopes {
		limits, limited := known.limits[scope]
		if !limited {
			continue
		}
		one, err := usageOf(ctx, tx, &known.promised, scope, limits, known.usage[scope], env.HeldAt)
		if err != nil {
			return err
		}
		asked = append(asked, one)
	}
	if err := ask(asked); err != nil {
		return dialect.Passed{Err: err}
	}
	return nil
}

// standing is what a transaction that has locked the usage of scopes knows of them.
type standing struct {
	limits map[fleet.Scope]fleet.Limits
	usage  map[fleet.Scope]amounts
	// promised is what earlier requests of this transaction were admitted to and is not written yet.
	promised batch
}

// standingOf reads the limits of scopes. If there are any, it locks the usage of all the scopes, those without limits as well: every
// transaction that locks more than one does so in the same order.
func standingOf(ctx context.Context, tx *txn.Tx, scopes []fleet.Scope) (*standing, error) {
	scopes = slices.Clone(scopes)
	slices.SortFunc(scopes, locked)
	scopes = slices.Compact(scopes)
	limits, err := limitsOf(ctx, tx, scopes)
	if err != nil || len(limits) == 0 {
		return &standing{}, err
	}
	usage, err := lockUsage(ctx, tx, scopes)
	return &standing{limits: limits, usage: usage}, err
}

// limitsOf returns the limits of those scopes that have any.
func limitsOf(ctx context.Context, q sqlkit.Querier, scopes []fleet.Scope) (map[fleet.Scope]fleet.Limits, error) {
	limits := map[fleet.Scope]fleet.Limits{}
	if len(scopes) == 0 {
		return limits, nil
	}
	var where sqlkit.Where
	for _, scope := range scopes {
		where.Add("(kind = ? AND tenant = ? AND name = ?)", scope.Kind, scope.Tenant, scope.Name)
	}
	rows, err := q.QueryContext(ctx, "SELECT kind, tenant, name, limits FROM quotas "+where.Any(), where.Args...)
	if err != nil {
		return nil, err
	}
	_, err = sqlkit.Collect(rows, func(row sqlkit.Scanner) (none struct{}, err error) {
		var scope fleet.Scope
		var l fleet.Limits
		err = row.Scan(&scope.Kind, &scope.Tenant, &scope.Name, jsonColumn{&l})
		limits[scope] = l
		return none, err
	})
	return limits, err
}

// usageOf returns a scope's usage: its amounts, its spend in the day and month of at, and what of both is not written yet.
func usageOf(
	ctx context.Context, q sqlkit.Querier, unwritten *batch, scope fleet.Scope, limits fleet.Limits, a amounts, at time.Time,
) (fleet.ScopeUsage, error) {
	u := fleet.ScopeUsage{Scope: scope, Limits: limits}
	day, month := record.PeriodsOf(at)
	const query = `SELECT period, settled_micros, settled_time, held_micros, held_time FROM spend
		WHERE kind = $1 AND tenant = $2 AND name = $3 AND period IN ($4, $5)`
	rows, err := q.QueryContext(ctx, query, scope.Kind, scope.Tenant, scope.Name, day, month)
	if err != nil {
		return u, err
	}
	spent := map[string]money{}
	_, err = sqlkit.Collect(rows, func(row sqlkit.Scanner) (none struct{}, err error) {
		var of string
		var m money
		err = row.Scan(&of, &m.settledMicros, &m.settledTime, &m.heldMicros, &m.heldTime)
		spent[of] = m
		return none, err
	})
	a = a.plus(unwritten.usage[scope], 1)
	for _, of := range []string{day, month} {
		spent[of] = spent[of].plus(unwritten.spend[period{scope, of}], 1)
	}
	u.Usage = fleet.Usage{
		Environments: a.environments, MilliCPUs: a.milliCPUs, MemoryMiB: a.memoryMiB,
		MicrosToday: spent[day].micros(), MicrosThisMonth: spent[month].micros(), SecondsToday: spent[day].seconds(),
	}
	return u, err
}
