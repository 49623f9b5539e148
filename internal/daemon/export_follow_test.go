package daemon

import (
	"context"
	"testing"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/store"
)

// Retain prunes and adds up what is due now, as the leader does.
func (d *Daemon) Retain(ctx context.Context) error { return d.pruner.Once(ctx) }

// FollowOnlyWhenWoken has followers look only when they are woken.
func (d *Daemon) FollowOnlyWhenWoken() { d.followers.FollowOnlyWhenWoken() }

// FollowReads counts what followers have read of the database: rows, and the end of the record.
func (d *Daemon) FollowReads() int64 { return d.followers.Reads() }

// Follow gives how followers of a store read the record: all that a filter selects after its number, as one that has just been woken.
func Follow(db *store.Store) func(t testing.TB, filter store.EventFilter) []int64 {
	f := bus.New(func() float64 { return 0 }).NewFollowers(db)
	return func(t testing.TB, filter store.EventFilter) (all []int64) {
		t.Helper()
		for more := true; more; {
			events, upTo, again, err := f.Events(t.Context(), filter)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				all = append(all, e.Seq)
			}
			filter.After, more = upTo, again
		}
		return all
	}
}

// Wake passes on what other daemons change until ctx ends, which Run does otherwise.
func (d *Daemon) Wake(ctx context.Context) { d.followers.Wake(ctx, d.cfg.Logger) }
