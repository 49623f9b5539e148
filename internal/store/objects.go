package store

import (
	"context"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// IntendObject records an object before it is created for an environment. ErrFenced: the work was taken over since the object's
// generation, so nothing may be created.
func (a *Artifacts) IntendObject(ctx context.Context, environment string, o fleet.Object) error {
	if o.Generation <= 0 {
		return fleet.Errorf(fleet.CodeInternal, "record what is made for environment %s: need a generation", environment)
	}
	return a.db.InTx(ctx, "record what is made", func(tx *txn.Tx) error {
		if _, err := expected(ctx, tx, environment, Expect{Generation: o.Generation}); err != nil {
			return err
		}
		const insert = `INSERT INTO objects (environment_id, generation, kind, name, id, answered, at) VALUES ($1, $2, $3, $4, '', 0, $5)
			ON CONFLICT (environment_id, generation, kind, name) DO UPDATE SET id = '', answered = 0, at = excluded.at`
		_, err := tx.ExecContext(ctx, insert, environment, o.Generation, o.Kind, o.Name, sqlkit.Micros(o.At))
		return err
	})
}

// AnswerObject records the provider's answer to a create: with an id the object was created, without one it was not. This is a fact
// whoever holds the work now, so it is not fenced.
func (a *Artifacts) AnswerObject(ctx context.Context, environment string, o fleet.Object) error {
	return a.db.InTx(ctx, "record what was made", func(tx *txn.Tx) error {
		const update = `UPDATE objects SET id = $5, answered = 1 WHERE environment_id = $1 AND generation = $2 AND kind = $3 AND name = $4`
		_, err := tx.ExecContext(ctx, update, environment, o.Generation, o.Kind, o.Name, o.ID)
		return err
	})
}

// Objects returns the recorded objects of an environment that is not destroyed, oldest first.
func (a *Artifacts) Objects(ctx context.Context, environment string) ([]fleet.Object, error) {
	const query = "SELECT generation, kind, name, id, answered, at FROM objects WHERE environment_id = $1 ORDER BY generation, at, kind, name"
	rows, err := a.db.Read.QueryContext(ctx, query, environment)
	if err != nil {
		return nil, a.db.Fault(ctx, "read what was made", err)
	}
	all, err := sqlkit.Collect(rows, func(row sqlkit.Scanner) (o fleet.Object, err error) {
		var answered int64
		err = row.Scan(&o.Generation, &o.Kind, &o.Name, &o.ID, &answered, sqlkit.Time(&o.At))
		o.Answered = answered != 0
		return o, err
	})
	return all, a.db.Fault(ctx, "read what was made", err)
}

// dropObjects forgets the objects of an environment that is proven gone: its receipt lists them.
func dropObjects(ctx context.Context, tx *txn.Tx, environment string) error {
	_, err := tx.ExecContext(ctx, "DELETE FROM objects WHERE environment_id = $1", environment)
	return err
}
