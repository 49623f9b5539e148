package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// takeWork orders by action backwards: "destroy" comes before "create", as what
// goes frees capacity. PostgreSQL will want FOR UPDATE SKIP LOCKED in the inner query.
var takeWork = `UPDATE environments
	SET work_worker = $1, work_until = $2, work_generation = work_generation + 1, revision = revision + 1, updated_at = $3
	WHERE id = (
		SELECT id FROM environments
		WHERE work_action <> '' AND (work_worker = '' OR work_until < $3) AND work_not_before <= $3
		ORDER BY work_action DESC, created_at, id LIMIT 1
	) RETURNING ` + columnList

// TakeWork gives a recorded action that is due at now, and that nobody does or
// whose worker's time is over, to worker until the time until. Destroys come
// before creates, then the oldest environment. It raises the generation, which
// fences whoever had it before. False: there is nothing to do.
func (s *Store) TakeWork(ctx context.Context, worker string, now, until time.Time) (fleet.Environment, bool, error) {
	if worker == "" {
		return fleet.Environment{}, false, fleet.Errorf(fleet.CodeInternal, "take work: the worker has no name")
	}
	var env fleet.Environment
	err := s.inTx(ctx, "take work", func(tx *sql.Tx) (err error) {
		env, err = scanEnv(tx.QueryRowContext(ctx, takeWork, worker, micros(until), micros(now)))
		return err
	})
	// The cause tells an empty queue, under whatever code it came out.
	if errors.Is(err, sql.ErrNoRows) {
		return fleet.Environment{}, false, nil
	}
	return env, err == nil, err
}

// Heartbeat moves the end of a worker's hold on the work that it took at this
// generation. It does not touch Revision. ErrFenced: the work is no longer its own.
func (s *Store) Heartbeat(ctx context.Context, id string, generation int64, until time.Time) error {
	const update = "UPDATE environments SET work_until = $1 WHERE id = $2 AND work_generation = $3 AND work_worker <> ''"
	return s.inTx(ctx, "renew work", func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, update, micros(until), id, generation)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			return err
		}
		if _, err := expected(ctx, tx, id, Expect{Generation: generation}); err != nil {
			return err
		}
		return late(ErrFenced, "the work on environment %s is no longer held", id)
	})
}

// ReleaseWorkers frees the work of every worker but one, and gives how much
// that was. It is for the start of the only daemon, when all others are dead;
// raising the generation makes sure of that. The actions stay recorded.
func (s *Store) ReleaseWorkers(ctx context.Context, exceptWorker string) (int, error) {
	const update = `UPDATE environments
		SET work_worker = '', work_until = 0, work_generation = work_generation + 1, revision = revision + 1
		WHERE work_worker <> '' AND work_worker <> $1`
	var released int64
	err := s.inTx(ctx, "release workers", func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, update, exceptWorker)
		if err != nil {
			return err
		}
		released, err = result.RowsAffected()
		return err
	})
	return int(released), err
}
