package engine

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/receipt"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// eventSeen is the record of one resource of an environment. The receipt is made from these: whatever
// crashes in between, what was seen once is in it.
const eventSeen = "resource.seen"

// noteSeen records what was found of an environment before it is taken away. It begins the bill of one whose
// create was cut off before its first resource was written down, at the time the provider says.
func (e *Engine) noteSeen(ctx context.Context, env fleet.Environment, found []provisioner.Found) error {
	if len(found) == 0 {
		return nil
	}
	known, err := e.seenOf(ctx, env.ID)
	if err != nil {
		return err
	}
	first := oldest(found)
	now := e.Now()
	_, err = e.change(ctx, env.ID, store.Expect{Generation: env.Work.Generation}, func(row *fleet.Environment) (store.Writes, error) {
		if row.BilledFrom.IsZero() {
			row.BilledFrom = billable(first, *row, now)
		}
		var writes store.Writes
		for _, f := range found {
			r := receipt.Resource{Kind: f.Kind, ID: f.ID, Name: f.Name, CreatedAt: providerTime(f.CreatedAt)}
			if !slices.ContainsFunc(known, func(k receipt.Resource) bool { return k.Kind == r.Kind && k.ID == r.ID }) {
				writes.Events = append(writes.Events, e.event(row, actorSelf, eventSeen, "%s", seenText(r)))
			}
		}
		return writes, nil
	})
	if err != nil {
		return fmt.Errorf("record what was found: %w", err)
	}
	return nil
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

// billable is when the bill of an environment begins whose first resource is of a provider's time, which may
// be untold or by another clock.
func billable(created time.Time, env fleet.Environment, now time.Time) time.Time {
	if created.Before(env.CreatedAt) {
		return env.CreatedAt
	}
	if created.After(now) {
		return now
	}
	return created.UTC().Truncate(time.Microsecond)
}

// seenOf gives every resource of an environment that was ever seen, in the order of sight.
func (e *Engine) seenOf(ctx context.Context, id string) ([]receipt.Resource, error) {
	var all []receipt.Resource
	filter := store.EventFilter{EnvironmentID: id, Limit: store.MaxLimit}
	for {
		events, err := e.store.EventsBy(ctx, filter)
		if err != nil {
			return nil, fmt.Errorf("read what was seen: %w", err)
		}
		for _, ev := range events {
			if r, ok := parseSeen(ev.Message); ok && ev.Kind == eventSeen {
				all = append(all, r)
			}
		}
		if len(events) < store.MaxLimit {
			return all, nil
		}
		filter.After = events[len(events)-1].Seq
	}
}

// seenText is a resource as the record tells it; parseSeen reads it.
func seenText(r receipt.Resource) string {
	text := fmt.Sprintf("%s %s, id %s", r.Kind, r.Name, r.ID)
	if r.CreatedAt != nil {
		text += ", created " + r.CreatedAt.Format(time.RFC3339Nano)
	}
	return text
}

var seenPattern = regexp.MustCompile(`^([a-z]+) (.*), id ([^ ]*?)(?:, created ([0-9TZ:.+-]+))?$`)

func parseSeen(text string) (receipt.Resource, bool) {
	m := seenPattern.FindStringSubmatch(text)
	if m == nil {
		return receipt.Resource{}, false
	}
	r := receipt.Resource{Kind: m[1], Name: m[2], ID: m[3]}
	if m[4] != "" {
		at, err := time.Parse(time.RFC3339Nano, m[4])
		if err != nil {
			return r, false
		}
		r.CreatedAt = &at
	}
	return r, true
}
