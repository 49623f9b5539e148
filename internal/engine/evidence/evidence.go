// Package evidence is what is known of the resources of environments: when they were seen, what their receipt says, and until when they
// are charged. It removes nothing and looks at no host.
package evidence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/receipt"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// Ended is what is known of sandboxes that were removed without a record.
type Ended interface {
	// EndedAt gives when this process removed the sandbox of a lease without a record.
	EndedAt(environmentID string) (at time.Time, ok bool)
}

// Evidence is kept for all rooms.
type Evidence struct {
	store   *store.Store
	clock   *clock.Clock
	journal *journal.Journal
	ended   Ended

	// sights are when sandboxes were last listed; lookedBefore is when any process looked last before this one.
	sights       sights
	lookedBefore time.Time
}

// New makes it.
func New(db *store.Store, c *clock.Clock, j *journal.Journal, ended Ended) *Evidence {
	return &Evidence{store: db, clock: c, journal: j, ended: ended}
}

// LookedBefore sets when any process looked last before this one.
func (e *Evidence) LookedBefore(at time.Time) { e.lookedBefore = at }

// Listed keeps what a list shows of a host's environments, and of those that it does not show when they were shown last.
func (e *Evidence) Listed(host string, envs map[string]fleet.Environment, listed []provisioner.Found) {
	e.sights.note(host, envs, listed, e.clock.Now())
}

// NoteSeen records what was found of an environment before it is deleted. It begins the bill of one whose
// create was cut off before its first resource was written down, at the time the provider says, and charges none beyond now:
// should what removes it die, nobody can tell when it went. It reports whether the bill had ended already, and stays so.
func (e *Evidence) NoteSeen(ctx context.Context, env fleet.Environment, found []provisioner.Found) (billed bool, err error) {
	if len(found) == 0 {
		return false, nil
	}
	known, unread := e.seenOf(ctx, env.ID)
	if unread != nil && !errors.Is(unread, errUnread) {
		return false, unread
	}
	first := oldest(found)
	now := e.clock.Now()
	_, err = e.journal.Change(ctx, env.ID, store.Expect{Generation: env.Work.Generation}, func(row *fleet.Environment) (store.Writes, error) {
		// A lease that this process ended by memory: what else is left of it, such as a volume, does not prolong its bill.
		if at, byUs := e.ended.EndedAt(row.ID); byUs && row.BilledUntil.IsZero() && !slices.ContainsFunc(found, provisioner.Found.Runs) {
			ledger.Gone(row, at)
		}
		if billed = endedBefore(*row, found); !billed {
			ledger.Seen(row, Billable(first, *row, now), now)
		}
		var writes store.Writes
		for _, f := range found {
			r := resourceSeen(f)
			if slices.ContainsFunc(known, func(k receipt.Resource) bool { return k.Kind == r.Kind && k.ID == r.ID }) {
				continue
			}
			ev := e.journal.Event(row, journal.Self, fleet.EventResourceSeen, "%s", r.Text())
			var err error
			if ev.Data, err = fleet.WriteEventData(r); err != nil {
				return store.Writes{}, err
			}
			writes.Events = append(writes.Events, ev)
		}
		return writes, nil
	})
	if err != nil {
		return false, fmt.Errorf("record what was found: %w", err)
	}
	return billed, unread
}

// endedBefore reports whether the bill of an environment ended before what is left of it was found: its sandbox ended by itself,
// and all that is left is that, or was made before. What is made after the end of a bill opens another one.
func endedBefore(env fleet.Environment, found []provisioner.Found) bool {
	if env.BilledUntil.IsZero() {
		return false
	}
	for _, f := range found {
		switch {
		case f.Runs() && f.State != provisioner.StateEnded:
			return false
		case !f.Runs() && (f.CreatedAt.IsZero() || f.CreatedAt.After(env.BilledUntil)):
			return false
		}
	}
	return true
}

// oldest is the first time of creation that the provider tells; zero when it tells none.
func oldest(found []provisioner.Found) time.Time {
	var first time.Time
	for _, f := range found {
		if first.IsZero() || !f.CreatedAt.IsZero() && f.CreatedAt.Before(first) {
			first = f.CreatedAt
		}
	}
	return first
}

// Billable is when the bill of an environment begins whose first resource is of a provider's time, which may
// be untold or by another clock.
func Billable(created time.Time, env fleet.Environment, now time.Time) time.Time {
	if created.Before(env.CreatedAt) {
		return env.CreatedAt
	}
	if created.After(now) {
		return now
	}
	return created.UTC().Truncate(time.Microsecond)
}

// errUnread says that the record tells of a resource in a way that this program cannot read.
var errUnread = errors.New("the record of its resources cannot be read")

// seenOf gives every resource of an environment that was ever seen, in the order of sight. An errUnread comes beside those that could
// be read: a receipt that leaves the others out would be wrong, so none is made, and what is found meanwhile is recorded.
func (e *Evidence) seenOf(ctx context.Context, id string) (all []receipt.Resource, unread error) {
	filter := store.EventFilter{EnvironmentID: id, Limit: store.MaxLimit}
	for {
		events, err := e.store.EventsBy(ctx, filter)
		if err != nil {
			return nil, fmt.Errorf("read what was seen: %w", err)
		}
		for _, ev := range events {
			if ev.Kind != fleet.EventResourceSeen {
				continue
			}
			if ev.Data == "" {
				all = append(all, seenBefore(ev.Message))
				continue
			}
			r, err := fleet.ReadEventData[fleet.ResourceSeen](ev)
			if err != nil {
				unread = cmp.Or(unread, fmt.Errorf("%w: %w", errUnread, err))
				continue
			}
			all = append(all, seenResource(r))
		}
		if len(events) < store.MaxLimit {
			return all, unread
		}
		filter.After = events[len(events)-1].Seq
	}
}

// maxSeenText is the most bytes of a resource's kind, id and name that its record keeps, of each. What a provider tells is a claim:
// a longer one is cut, and the removal goes on. JSON may write a byte as six, so all of them fit into fleet.MaxEventData.
const maxSeenText = 400

// resourceSeen is what the record tells of a resource that was found.
func resourceSeen(f provisioner.Found) fleet.ResourceSeen {
	return fleet.ResourceSeen{Kind: seenText(f.Kind), ID: seenText(f.ID), Name: seenText(f.Name), CreatedAt: providerTime(f.CreatedAt)}
}

func seenText(s string) string {
	const more = "..."
	if s = strings.ToValidUTF8(s, "\uFFFD"); len(s) <= maxSeenText {
		return s
	}
	return strings.ToValidUTF8(s[:maxSeenText-len(more)], "") + more
}

// seenResource is what a receipt tells of a resource on record.
func seenResource(r fleet.ResourceSeen) receipt.Resource {
	return receipt.Resource{Kind: r.Kind, ID: r.ID, Name: r.Name, CreatedAt: r.CreatedAt}
}

// ClearBill ends the bill of what a try left, now that it is proven gone: the next try's begins with what that makes.
func (e *Evidence) ClearBill(ctx context.Context, env fleet.Environment, gone Absence) error {
	_, err := e.journal.Change(ctx, env.ID, store.Expect{Generation: env.Work.Generation}, func(row *fleet.Environment) (store.Writes, error) {
		e.BillGone(row, gone, e.clock.Now())
		return store.Writes{}, nil
	})
	if err != nil {
		return fmt.Errorf("close the bill of an earlier try: %w", err)
	}
	return nil
}

// BillGone closes a row's bill. What was removed went before the first look that missed it; what was not there any more went
// unseen, and is charged until it was last known to exist.
func (e *Evidence) BillGone(row *fleet.Environment, gone Absence, now time.Time) {
	switch {
	case gone.Billed && !row.BilledUntil.IsZero():
		// Its bill ended with its sandbox.
	case gone.Removed && len(gone.Checks) > 0:
		ledger.Gone(row, gone.Checks[0].At)
	case row.BilledUntil.IsZero():
		ledger.Gone(row, e.LastSight(*row, now))
	}
}

// sights are when each host's sandboxes were last listed, by environment.
type sights struct {
	mu sync.Mutex
	of map[string]map[string]time.Time
}

// note keeps what a list shows of a host's environments, and of those that it does not show when they were shown last.
func (s *sights) note(host string, envs map[string]fleet.Environment, listed []provisioner.Found, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := map[string]time.Time{}
	for id := range envs {
		if at, ok := s.of[host][id]; ok {
			next[id] = at
		}
	}
	for _, f := range listed {
		if env, ok := envs[f.Labels[provisioner.LabelEnvironment]]; ok && f.ID == env.SandboxID {
			next[env.ID] = now
		}
	}
	if s.of == nil {
		s.of = map[string]map[string]time.Time{}
	}
	s.of[host] = next
}

// LastSight is when something of an environment that is gone was last known to exist.
func (e *Evidence) LastSight(row fleet.Environment, now time.Time) time.Time {
	e.sights.mu.Lock()
	at, ok := e.sights.of[row.Host][row.ID]
	e.sights.mu.Unlock()
	if ended, byUs := e.ended.EndedAt(row.ID); byUs {
		at, ok = ended, true
	}
	if !ok {
		at = e.lookedBefore
	}
	for _, known := range []time.Time{row.ReadyAt, row.BilledFrom} {
		if known.After(at) {
			at = known
		}
	}
	if at.After(now) {
		return now
	}
	return at
}

// Damaged reports whether an error says that a record cannot be read any more: that must not keep a sandbox alive.
func Damaged(err error) bool { return errors.Is(err, store.ErrDamaged) || errors.Is(err, errUnread) }
