package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/record"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// takeWork is the statement of TakeWork for a number of hosts and of excluded actions. Descending alphabetical order of actions is their
// priority: personalise, destroy, create.
func (w *WorkQueue) takeWork(hosts, actions int) string {
	except := ""
	if actions > 0 {
		except = " AND work_action NOT IN (" + sqlkit.Placeholders(4+hosts, actions) + ")"
	}
	return `UPDATE environments
		SET work_worker = $1, work_until = $2, work_generation = work_generation + 1, revision = revision + 1, updated_at = $3
		WHERE id = (
			SELECT id FROM environments
			WHERE host IN (` + sqlkit.Placeholders(4, hosts) + `)
				AND work_action <> '' AND (work_worker = '' OR work_until < $3) AND work_not_before <= $3` + except + `
			ORDER BY work_action DESC, created_at, id LIMIT 1` + w.db.SkipLocked + `
		) RETURNING ` + record.Columns
}

// TakeWork assigns to worker, until a time, one recorded action on the named hosts that is due at now and has no worker, or whose
// worker's time has expired. Personalise comes first, because somebody waits for it, then destroy, which frees capacity, then create;
// within an action, the oldest environment. It raises the generation, which fences the former worker. Actions of except are skipped.
// False: there is nothing to do.
func (w *WorkQueue) TakeWork(
	ctx context.Context, worker string, hosts []string, now, until time.Time, except ...fleet.ActionKind,
) (fleet.Environment, bool, error) {
	if worker == "" {
		return fleet.Environment{}, false, fleet.Errorf(fleet.CodeInternal, "take work: the worker has no name")
	}
	if len(hosts) == 0 {
		return fleet.Environment{}, false, nil
	}
	var env fleet.Environment
	query, args := w.takeWork(len(hosts), len(except)), append([]any{worker, sqlkit.Micros(until), sqlkit.Micros(now)}, sqlkit.List(hosts)...)
	for _, action := range except {
		args = append(args, string(action))
	}
	err := w.db.InTx(ctx, "take work", func(tx *txn.Tx) (err error) {
		unnamed := tx.Unnamed()
		env, err = record.ScanEnv(tx.QueryRowContext(ctx, query, args...))
		tx.Name(unnamed, env.ID)
		return err
	})
	// The cause identifies an empty queue, whatever its code.
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.Environment{}, false, nil
	}
	return env, err == nil, err
}

// Heartbeat extends a worker's hold on the work that it took at this generation. It does not change Revision. ErrFenced: another worker
// has the work.
func (w *WorkQueue) Heartbeat(ctx context.Context, id string, generation int64, until time.Time) error {
	const update = "UPDATE environments SET work_until = $1 WHERE id = $2 AND work_generation = $3 AND work_worker <> ''"
	return w.db.InTx(ctx, "renew work", func(tx *txn.Tx) error {
		unnamed := tx.Unnamed()
		result, err := tx.ExecContext(ctx, update, sqlkit.Micros(until), id, generation)
		if err != nil {
			return err
		}
		tx.Name(unnamed, id)
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			return err
		}
		if _, err := expected(ctx, tx, id, Expect{Generation: generation}); err != nil {
			return err
		}
		return late(ErrFenced, "the work on environment %s is no longer this worker's", id)
	})
}
