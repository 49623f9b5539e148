package store

import (
	"context"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// keptEstimates is how many of the newest estimates count.
const keptEstimates = 200

func keepEstimate(ctx context.Context, tx *txn.Tx, env *fleet.Environment, off time.Duration) error {
	const write = `INSERT INTO estimates (environment_id, at, off_nanos) VALUES ($1, $2, $3)
		ON CONFLICT (environment_id) DO UPDATE SET at = excluded.at, off_nanos = excluded.off_nanos`
	_, err := tx.ExecContext(ctx, write, env.ID, sqlkit.Micros(env.UpdatedAt), int64(off.Abs()))
	return err
}

// Estimates returns the accuracy of the estimates of the last 200 requests that waited.
func (q *Queries) Estimates(ctx context.Context) (fleet.Estimate, error) {
	const query = "SELECT off_nanos FROM estimates ORDER BY at DESC, environment_id LIMIT $1"
	rows, err := q.db.Read.QueryContext(ctx, query, keptEstimates)
	if err != nil {
		return fleet.Estimate{}, q.db.Fault(ctx, "read estimates", err)
	}
	offs, err := sqlkit.Collect(rows, func(row sqlkit.Scanner) (off time.Duration, err error) {
		err = row.Scan((*int64)(&off))
		return off, err
	})
	if err != nil || len(offs) == 0 {
		return fleet.Estimate{}, q.db.Fault(ctx, "read estimates", err)
	}
	slices.Sort(offs)
	// Nearest rank: with one value, every percentile is that value.
	at := func(percent int) time.Duration { return offs[(len(offs)*percent+99)/100-1] }
	return fleet.Estimate{Count: len(offs), Median: at(50), P90: at(90)}, nil
}
