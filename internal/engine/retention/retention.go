// Package retention removes records that are older than they are kept, and adds up the entries of days that are over, while this daemon
// leads. It never touches what lives.
package retention

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/store"
)

// Lead is who plans.
type Lead interface {
	Leads() bool
	// InItsName gives a context for what is written in the name of who leads; false when another does.
	InItsName(ctx context.Context) (context.Context, bool)
}

// Safety is whether the database can be believed.
type Safety interface {
	// Reason is why it cannot, "" when it can.
	Reason(ctx context.Context) (string, error)
}

// Config is what a Pruner is made of.
type Config struct {
	Store     *store.Store
	Clock     *clock.Clock
	Bus       *bus.Bus
	Logger    *slog.Logger
	Lead      Lead
	Safety    Safety
	Keep      Periods
	WorkLease time.Duration
}

// Pruner removes records.
type Pruner struct{ cfg Config }

// New makes a pruner. It starts nothing.
func New(cfg Config) *Pruner { return &Pruner{cfg} }

// Periods are how long records are kept. Zero keeps a class forever.
type Periods struct {
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

// Run prunes records, and adds up entries of closed days, while this daemon leads.
func (p *Pruner) Run(ctx context.Context) {
	bus.Loop(ctx, nil, func() time.Duration {
		if !p.cfg.Lead.Leads() {
			return p.cfg.Bus.Apart(2 * p.cfg.WorkLease)
		}
		if err := p.Once(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Logger.Warn("pruning records failed; it is tried again", "error", err)
		}
		return p.cfg.Bus.Apart(retentionEvery)
	})
}

// Once does all that is due. In safe mode nothing is removed: it may be what tells what is whose.
func (p *Pruner) Once(ctx context.Context) error {
	ctx, leads := p.cfg.Lead.InItsName(ctx)
	if !leads {
		return nil
	}
	now := p.cfg.Clock.Now()
	closed := now.Add(-closedAfter).Truncate(24 * time.Hour)
	errs := []error{p.inSteps(ctx, "entries added up", func() (int, bool, error) {
		n, err := p.cfg.Store.SumEntries(ctx, closed, mostPruned)
		return n, n == mostPruned, err
	})}
	if unsafe, err := p.cfg.Safety.Reason(ctx); err != nil || unsafe != "" {
		return errors.Join(append(errs, err)...)
	}
	var after, from int64
	keep, logs := p.cfg.Keep, p.cfg.Keep.Logs
	if logs == 0 || keep.Environments > 0 && keep.Environments < logs {
		logs = keep.Environments // a row takes its log along
	}
	for _, class := range []struct {
		what string
		keep time.Duration
		step func(before time.Time) (store.Pruned, error)
	}{
		{"events", keep.Events, func(before time.Time) (done store.Pruned, err error) {
			done, err = p.cfg.Store.PruneEvents(ctx, before, after, mostPruned)
			after = done.After
			return done, err
		}},
		{"lines of logs", logs, func(before time.Time) (done store.Pruned, err error) {
			done, err = p.cfg.Store.PruneLogs(ctx, before, from, mostPruned)
			from = done.After
			return done, err
		}},
		{"environments", keep.Environments, func(before time.Time) (store.Pruned, error) {
			return p.cfg.Store.PruneEnvironments(ctx, before, mostPruned/10)
		}},
		{"entries", keep.Entries, func(before time.Time) (store.Pruned, error) { return p.cfg.Store.PruneEntries(ctx, before, mostPruned) }},
		{"receipts", keep.Receipts, func(before time.Time) (store.Pruned, error) {
			return p.cfg.Store.PruneReceipts(ctx, before, mostPruned)
		}},
	} {
		if class.keep <= 0 {
			continue
		}
		before := now.Add(-class.keep)
		errs = append(errs, p.inSteps(ctx, class.what, func() (int, bool, error) {
			done, err := class.step(before)
			return done.Count, done.More, err
		}))
	}
	return errors.Join(errs...)
}

// inSteps does a step again and again until nothing is left of what is due, or enough was done for now.
func (p *Pruner) inSteps(ctx context.Context, what string, step func() (n int, more bool, err error)) error {
	sum := 0
	defer func() {
		if sum > 0 {
			p.cfg.Logger.Info("records were pruned or added up", "what", what, "count", sum)
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
