package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dialect"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

const poolColumns = `name, blueprint, size, inputs, target, schedule, min, max, surge, pause, held, held_at, failures,
	from_file, revision, updated_at, updated_by`

func poolFields(p *fleet.Pool) []any {
	return []any{
		&p.Name, &p.Blueprint, &p.Size, sqlkit.Inputs(&p.Inputs), sqlkit.Int(&p.Target), sqlkit.JSON(&p.Schedule),
		sqlkit.Int(&p.Min), sqlkit.Int(&p.Max), sqlkit.Int(&p.Surge), sqlkit.Bool(&p.Pause), sqlkit.Text(&p.Held), sqlkit.Time(&p.HeldAt),
		sqlkit.Int(&p.Failures), sqlkit.Bool(&p.FromFile), &p.Revision, sqlkit.Time(&p.UpdatedAt), &p.UpdatedBy,
	}
}

func scanPool(row sqlkit.Scanner) (p fleet.Pool, err error) {
	err = row.Scan(poolFields(&p)...)
	return p, err
}

// poolValues returns a pool's columns as stored.
func poolValues(p *fleet.Pool) ([]any, error) {
	fields := poolFields(p)
	for i, at := range fields {
		v, err := sqlkit.ValueOf(at)
		if err != nil {
			return nil, fleet.Errorf(fleet.CodeInternal, "encode pool %q: %w", p.Name, err)
		}
		fields[i] = v
	}
	return fields, nil
}

// writePool takes poolFields. An existing pool keeps its hold, and its revision rises.
var writePool = "INSERT INTO pools (" + poolColumns + ") VALUES (" + sqlkit.Placeholders(1, 17) + `) ON CONFLICT (name) DO UPDATE SET
	blueprint = excluded.blueprint, size = excluded.size, inputs = excluded.inputs, target = excluded.target,
	schedule = excluded.schedule, min = excluded.min, max = excluded.max, surge = excluded.surge, pause = excluded.pause,
	from_file = excluded.from_file, revision = pools.revision + 1, updated_at = excluded.updated_at, updated_by = excluded.updated_by
	RETURNING ` + poolColumns

// SetPool creates or updates a pool. An existing one keeps Held, HeldAt and Failures. It sets Revision.
func (t *PoolTable) SetPool(ctx context.Context, pool fleet.Pool, ev fleet.Event) (fleet.Pool, error) {
	if pool.Name == "" {
		return fleet.Pool{}, fleet.Errorf(fleet.CodeInternal, "set pool: it has no name")
	}
	pool.Revision = 1
	var kept fleet.Pool
	err := t.db.InTx(ctx, "set pool "+pool.Name, func(tx *txn.Tx) (err error) {
		if kept, err = scanPool(tx.QueryRowContext(ctx, writePool, poolFields(&pool)...)); err != nil {
			return err
		}
		return tx.AppendEvents(ctx, ev)
	})
	if err != nil {
		return fleet.Pool{}, err
	}
	return kept, nil
}

// Pools returns all pools by name.
func (t *PoolTable) Pools(ctx context.Context) ([]fleet.Pool, error) {
	rows, err := t.db.Read.QueryContext(ctx, "SELECT "+poolColumns+" FROM pools ORDER BY name")
	if err != nil {
		return nil, t.db.Fault(ctx, "read pools", err)
	}
	pools, err := sqlkit.Collect(rows, scanPool)
	return pools, t.db.Fault(ctx, "read pools", err)
}

// Pool returns one pool, or CodeNotFound.
func (t *PoolTable) Pool(ctx context.Context, name string) (fleet.Pool, error) {
	pool, err := scanPool(t.db.Read.QueryRowContext(ctx, "SELECT "+poolColumns+" FROM pools WHERE name = $1", name))
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.Pool{}, noPool(name)
	}
	return pool, t.db.Fault(ctx, "read pool", err)
}

func noPool(name string) error {
	return fleet.Errorf(fleet.CodeNotFound, "there is no pool %q", name).WithHint("list pools: bothy pool ls")
}

func poolMoved(name string, expected, at int64) error {
	return late(ErrMoved, "pool %s has moved on: revision %d was expected, it is at %d", name, expected, at)
}

// poolForUpdate reads a pool for writing; revision 0 means any.
func (t *PoolTable) poolForUpdate(ctx context.Context, tx *txn.Tx, name string, revision int64) (fleet.Pool, error) {
	query := "SELECT " + poolColumns + " FROM pools WHERE name = $1" + t.db.ForUpdate
	pool, err := scanPool(tx.QueryRowContext(ctx, query, name))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return pool, noPool(name)
	case err == nil && revision != 0 && revision != pool.Revision:
		return pool, poolMoved(name, revision, pool.Revision)
	}
	return pool, err
}

// ChangePool changes a pool in one transaction under an expected revision (0: any), and raises the revision. When change alters nothing
// and returns no events, nothing is written.
//
// Errors: ErrMoved, CodeNotFound, CodeInternal when the name was changed, and the error of change, unchanged.
//
// change runs inside the transaction: it must be quick and must not call the store.
func (t *PoolTable) ChangePool(
	ctx context.Context, name string, revision int64, change func(*fleet.Pool) ([]fleet.Event, error),
) (fleet.Pool, error) {
	var pool fleet.Pool
	err := t.db.InTx(ctx, "change pool "+name, func(tx *txn.Tx) error {
		before, err := t.poolForUpdate(ctx, tx, name, revision)
		if err != nil {
			return err
		}
		old, err := poolValues(&before)
		if err != nil {
			return err
		}
		pool = before
		events, err := change(&pool)
		if err != nil {
			return dialect.Passed{Err: err}
		}
		pool.Revision = before.Revision
		values, err := poolValues(&pool)
		if err != nil {
			return err
		}
		if len(events) == 0 && record.Same(old, values) {
			return nil
		}
		if pool.Name != name {
			return fleet.Errorf(fleet.CodeInternal, "change pool %s: its name is fixed", name)
		}
		pool.Revision++
		if pool, err = scanPool(tx.QueryRowContext(ctx, updatePool, poolFields(&pool)...)); err != nil {
			return err
		}
		return tx.AppendEvents(ctx, events...)
	})
	if err != nil {
		return fleet.Pool{}, err
	}
	return pool, nil
}

// updatePool takes poolFields; the first is the name.
var updatePool = "UPDATE pools SET (" + strings.TrimPrefix(poolColumns, "name, ") + ") = (" + sqlkit.Placeholders(2, 16) +
	") WHERE name = $1 RETURNING " + poolColumns

// RemovePool removes a pool; its members stay, and the planner sees that their pool is gone. CodeNotFound.
func (t *PoolTable) RemovePool(ctx context.Context, name string, ev fleet.Event) error {
	return t.db.InTx(ctx, "remove pool "+name, func(tx *txn.Tx) error {
		if _, err := t.poolForUpdate(ctx, tx, name, 0); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM pools WHERE name = $1", name); err != nil {
			return err
		}
		return tx.AppendEvents(ctx, ev)
	})
}

// Refill inserts pending members of a pool if the pool still has the expected revision, and raises the revision, so that only one of
// several daemons that saw the same gap fills it. The caller sets the members' Pool and MatchKey.
//
// Errors, with nothing written: ErrMoved, CodeNotFound, and CodeConflict for a taken name.
func (t *PoolTable) Refill(ctx context.Context, pool string, revision int64, members []fleet.Environment, events []fleet.Event) error {
	for _, m := range members {
		if m.ID == "" || m.Name == "" || m.State != fleet.Pending || m.Pool != pool || m.MatchKey == "" || m.Tenant+m.Owner != "" {
			return fleet.Errorf(fleet.CodeInternal, "refill pool %s: member %q is not a new one of it", pool, m.Name)
		}
	}
	return t.db.InTx(ctx, "refill pool "+pool, func(tx *txn.Tx) error {
		if _, err := t.poolForUpdate(ctx, tx, pool, revision); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE pools SET revision = revision + 1 WHERE name = $1", pool); err != nil {
			return err
		}
		var b batch
		for _, m := range members {
			if _, err := insertRow(ctx, tx, &b, m, ""); err != nil {
				return err
			}
		}
		b.events = events
		return b.flush(ctx, tx)
	})
}
