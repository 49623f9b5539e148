package service

import (
	"context"
	"crypto/ed25519"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// EventQuery selects events. Empty fields select all that the caller may see.
type EventQuery struct {
	// Environment is a name or id.
	Environment string
	Pool, Host  string
	After       int64
	Limit       int
	// Newest selects the newest of more than Limit events, in the order oldest first.
	Newest bool
}

// RecordsConfig is what Records needs.
type RecordsConfig struct {
	Base
	// ReceiptKey verifies receipts.
	ReceiptKey ed25519.PublicKey
}

// Records are the use cases of events and receipts.
type Records struct{ cfg RecordsConfig }

// NewRecords makes it.
func NewRecords(c RecordsConfig) *Records { return &Records{cfg: c} }

// Events returns events after a sequence number, oldest first: those of an environment, a
// pool or a host, or all that the caller may see.
//
// Errors: not_found.
func (r *Records) Events(ctx context.Context, who fleet.Identity, q EventQuery) ([]fleet.Event, error) {
	f, err := r.eventFilter(ctx, who, q)
	if err != nil {
		return nil, err
	}
	return r.cfg.Store.EventsBy(ctx, f)
}

func (r *Records) eventFilter(ctx context.Context, who fleet.Identity, q EventQuery) (store.EventFilter, error) {
	f := store.EventFilter{Pool: q.Pool, Host: q.Host, Tenant: who.Sees(), After: q.After, Limit: q.Limit, Newest: q.Newest}
	if q.Environment == "" {
		return f, nil
	}
	env, err := r.cfg.Access.Find(ctx, who, q.Environment)
	// The first events of a pool's member have no tenant.
	f.EnvironmentID, f.Tenant = env.ID, ""
	return f, err
}

// WatchEvents calls write with the events so far, then with each new one, until ctx ends.
//
// Errors: not_found, ctx's error, write's error.
func (r *Records) WatchEvents(ctx context.Context, who fleet.Identity, q EventQuery, write func([]fleet.Event) error) error {
	f, err := r.eventFilter(ctx, who, q)
	if err != nil {
		return err
	}
	f.Newest = false // following starts at the beginning
	s := r.cfg.Followers.Subscribe(f.EnvironmentID, false)
	defer s.Stop()
	for {
		events, upTo, more, err := r.cfg.Followers.Events(ctx, f)
		if err != nil {
			return err
		}
		if len(events) > 0 {
			if err := write(events); err != nil {
				return err
			}
		}
		f.After = upTo
		if more {
			continue
		}
		if err := r.cfg.Followers.Wait(ctx, s); err != nil {
			return err
		}
	}
}
