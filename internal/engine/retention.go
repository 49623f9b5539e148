package engine

import (
	"context"
	"errors"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/store"
)

// Retention is how long records are kept. Zero keeps a class for good.
type Retention struct {
	// Events and Receipts are kept from when they were recorded, Logs and Environments (the row, with its idempotency key) from the end of
	// an environment, Entries from the end of the time that they charge.
	Events, Logs, Environments, Entries, Receipts time.Duration
}

const (
	// retentionEvery is how often records are pruned, and entries of days that are over added up.
	retentionEvery = 10 * time.Minute
	// retentionRest is the time between two steps: others write in between.
	retentionRest = 50 * time.Millisecond
	// mostPruned bounds one step, mostSteps those of one class at a time.
	mostPruned = 1000
	mostSteps  = 200
	// closedAfter is how long after its end a day is closed: what is booked of it later is added when that day is.
	closedAfter = time.Hour
)

// retainLoop prunes records, and adds up entries of closed days, while this daemon leads.
func (e *Engine) retainLoop(ctx context.Context) {
	bus.Loop(ctx, nil, func() time.Duration {
		if !e.reconcile.Leader().Leads() {
			return e.bus.Apart(2 * e.cfg.WorkLease)
		}
		if err := e.retain(ctx); err != nil && ctx.Err() == nil {
			e.logger.Warn("pruning records failed; it is tried again", "error", err)
		}
		return e.bus.Apart(retentionEvery)
	})
}

// retain does all that is due. In safe mode nothing is removed: it may be what tells what is whose.
func (e *Engine) retain(ctx context.Context) error {
	ctx, leads := e.reconcile.Leader().InItsName(ctx)
	if !leads {
		return nil
	}
	now := e.Now()
	closed := now.Add(-closedAfter).Truncate(24 * time.Hour)
	errs := []error{e.inSteps(ctx, "entries added up", func() (int, bool, error) {
		n, err := e.store.SumEntries(ctx, closed, mostPruned)
		return n, n == mostPruned, err
	})}
	if unsafe, err := e.safeMode.Reason(ctx); err != nil || unsafe != "" {
		return errors.Join(append(errs, err)...)
	}
	var after, from int64
	keep, logs := e.cfg.Retention, e.cfg.Retention.Logs
	if logs == 0 || keep.Environments > 0 && keep.Environments < logs {
		logs = keep.Environments // a row takes its log along
	}
	for _, class := range []struct {
		what string
		keep time.Duration
		step func(before time.Time) (store.Pruned, error)
	}{
		{"events", keep.Events, func(before time.Time) (p store.Pruned, err error) {
			p, err = e.store.PruneEvents(ctx, before, after, mostPruned)
			after = p.After
			return p, err
		}},
		{"lines of logs", logs, func(before time.Time) (p store.Pruned, err error) {
			p, err = e.store.PruneLogs(ctx, before, from, mostPruned)
			from = p.After
			return p, err
		}},
		{"environments", keep.Environments, func(before time.Time) (store.Pruned, error) {
			return e.store.PruneEnvironments(ctx, before, mostPruned/10)
		}},
		{"entries", keep.Entries, func(before time.Time) (store.Pruned, error) { return e.store.PruneEntries(ctx, before, mostPruned) }},
		{"receipts", keep.Receipts, func(before time.Time) (store.Pruned, error) { return e.store.PruneReceipts(ctx, before, mostPruned) }},
	} {
		if class.keep <= 0 {
			continue
		}
		before := now.Add(-class.keep)
		errs = append(errs, e.inSteps(ctx, class.what, func() (int, bool, error) {
			p, err := class.step(before)
			return p.Count, p.More, err
		}))
	}
	return errors.Join(errs...)
}

// inSteps does a step again and again until nothing is left of what is due, or enough was done for now.
func (e *Engine) inSteps(ctx context.Context, what string, step func() (n int, more bool, err error)) error {
	sum := 0
	defer func() {
		if sum > 0 {
			e.logger.Info("records were pruned or added up", "what", what, "count", sum)
		}
	}()
	for range mostSteps {
		n, more, err := step()
		sum += n
		if err != nil || !more {
			return err
		}
		if err := bus.Wait(ctx, nil, retentionRest); err != nil {
			return err
		}
	}
	return nil
}
