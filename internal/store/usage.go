package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// amounts are what environments count for in each of their scopes.
type amounts struct{ environments, milliCPUs, memoryMiB int64 }

func (a amounts) plus(b amounts, sign int64) amounts {
	return amounts{a.environments + sign*b.environments, a.milliCPUs + sign*b.milliCPUs, a.memoryMiB + sign*b.memoryMiB}
}

// use counts a row in its scopes until the environment is proven gone.
func (b *batch) use(env *fleet.Environment, sign int64) {
	if !env.State.Live() {
		return
	}
	for _, scope := range env.Scopes() {
		b.count(scope, amounts{1, env.Size.MilliCPUs(), env.Size.MemoryMiB}, sign)
	}
}

func (b *batch) count(scope fleet.Scope, a amounts, sign int64) {
	if b.usage == nil {
		b.usage = map[fleet.Scope]amounts{}
	}
	b.usage[scope] = b.usage[scope].plus(a, sign)
}

var lockRank = map[string]int{fleet.ScopeUser: 0, fleet.ScopeTeam: 1, fleet.ScopeTenant: 2}

// locked is the order in which the rows of scopes are locked: users, teams, tenants. The most contended come last, so they are locked for
// the shortest time.
func locked(a, b fleet.Scope) int {
	return cmp.Or(cmp.Compare(lockRank[a.Kind], lockRank[b.Kind]), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Name, b.Name))
}

const addUsage = `INSERT INTO usage (kind, tenant, name, environments, milli_cpus, memory_mib)`

func changeUsage(source string) string {
	return addUsage + " " + source + ` ON CONFLICT (kind, tenant, name) DO UPDATE SET
		environments = usage.environments + excluded.environments, milli_cpus = usage.milli_cpus + excluded.milli_cpus,
		memory_mib = usage.memory_mib + excluded.memory_mib`
}

// usageRows are the rows that change. They include those of scopes whose spend changes: the row of a scope is the lock for everything
// that its limits look at.
func (b *batch) usageRows() [][]any {
	changed := map[fleet.Scope]amounts{}
	for scope, delta := range b.usage {
		if delta != (amounts{}) {
			changed[scope] = delta
		}
	}
	for p, delta := range b.spend {
		if delta != (money{}) {
			changed[p.scope] = b.usage[p.scope]
		}
	}
	var rows [][]any
	for _, scope := range slices.SortedFunc(maps.Keys(changed), locked) {
		delta := changed[scope]
		rows = append(rows, []any{scope.Kind, scope.Tenant, scope.Name, delta.environments, delta.milliCPUs, delta.memoryMiB})
	}
	return rows
}

// lockUsage locks the rows of scopes, given in lock order, and returns their amounts.
func lockUsage(ctx context.Context, tx *txn.Tx, scopes []fleet.Scope) (map[fleet.Scope]amounts, error) {
	var args []any
	for _, scope := range scopes {
		args = append(args, scope.Kind, scope.Tenant, scope.Name)
	}
	rows, err := tx.QueryContext(ctx, lockUsageSQL(len(scopes)), args...)
	if err != nil {
		return nil, err
	}
	got := map[fleet.Scope]amounts{}
	_, err = sqlkit.Collect(rows, func(row sqlkit.Scanner) (none struct{}, err error) {
		var scope fleet.Scope
		var a amounts
		err = row.Scan(&scope.Kind, &scope.Tenant, &scope.Name, &a.environments, &a.milliCPUs, &a.memoryMiB)
		got[scope] = a
		return none, err
	})
	return got, err
}

// lockUsageSQL writes the values that are stored: that takes the lock on both databases, whether or not the row exists.
func lockUsageSQL(scopes int) string {
	rows := make([]string, scopes)
	for i := range rows {
		rows[i] = "(" + sqlkit.Placeholders(3*i+1, 3) + ", 0, 0, 0)"
	}
	return addUsage + " VALUES " + strings.Join(rows, ", ") + ` ON CONFLICT (kind, tenant, name)
		DO UPDATE SET environments = usage.environments RETURNING kind, tenant, name, environments, milli_cpus, memory_mib`
}

// CheckUsage recounts every scope's environments and returns a sentence for each scope whose stored usage differs: none, in every
// committed state. It is one statement, so it sees one state.
func (a *Audit) CheckUsage(ctx context.Context) ([]string, error) {
	count := func(kind, name string) string {
		return " UNION ALL SELECT '" + kind + "', tenant, " + name + `, -1, -CAST(CEIL(cpus * 1000) AS BIGINT), -memory_mib
			FROM environments WHERE state <> 'destroyed' AND tenant <> ''`
	}
	query := `SELECT kind, tenant, name, CAST(SUM(environments) AS BIGINT), CAST(SUM(milli_cpus) AS BIGINT), CAST(SUM(memory_mib) AS BIGINT)
		FROM (SELECT kind, tenant, name, environments, milli_cpus, memory_mib FROM usage` +
		count(fleet.ScopeTenant, "''") + count(fleet.ScopeTeam, "team") + count(fleet.ScopeUser, "owner") +
		`) AS counted GROUP BY kind, tenant, name
		HAVING SUM(environments) <> 0 OR SUM(milli_cpus) <> 0 OR SUM(memory_mib) <> 0 ORDER BY kind, tenant, name`
	rows, err := a.db.Read.QueryContext(ctx, query)
	if err != nil {
		return nil, a.db.Fault(ctx, "check usage", err)
	}
	wrong, err := sqlkit.Collect(rows, func(row sqlkit.Scanner) (string, error) {
		var scope fleet.Scope
		var off amounts
		err := row.Scan(&scope.Kind, &scope.Tenant, &scope.Name, &off.environments, &off.milliCPUs, &off.memoryMiB)
		return fmt.Sprintf("usage of %s is off by %d environments, %d thousandths of a core, %d MiB",
			scope, off.environments, off.milliCPUs, off.memoryMiB), err
	})
	return wrong, a.db.Fault(ctx, "check usage", err)
}
