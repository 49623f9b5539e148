package bus

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

const (
	// followPoll is how often a follower looks without having been woken: only what nobody told is found by that.
	followPoll = 30 * time.Second
	// tailFresh is for how long the end of the record is taken for what it was, when no news came since.
	tailFresh = 10 * time.Second
	// tailRest is the least time between two reads of the record's end: what comes at once is read at once.
	tailRest = 10 * time.Millisecond
	// tailKept is how many of the newest events are kept for those who follow.
	tailKept = 2000
	// EventPage is how many events one look reads.
	EventPage = 500
)

// Followers are those who watch an environment, follow its log or the record, or wait in the queue. A wake-up says only "look again";
// the facts are in the store, so a lost or doubled one does no harm. This process's commits wake them, and other
// processes' by store.Wakes. What a wake-up costs does not grow with their number: those of one environment share reads of its row, and
// all share reads of the record's end.
type Followers struct {
	read *store.Store
	bus  *Bus
	// chance draws from [0, 1).
	chance func() float64
	// poll is followPoll, longer in tests.
	poll time.Duration

	mu sync.Mutex
	of map[string]*followed
	// reads counts those of rows.
	reads int64

	tail recordTail
}

// NewFollowers makes those of a store, whose commits wake them.
func (b *Bus) NewFollowers(db *store.Store) *Followers {
	f := &Followers{read: db, bus: b, chance: b.chance, poll: followPoll}
	db.OnCommit(f.committed)
	return f
}

// FollowOnlyWhenWoken has followers look only when they are woken; for tests.
func (f *Followers) FollowOnlyWhenWoken() { f.poll = 24 * time.Hour }

// Reads counts what followers have read of the database: rows, and the end of the record.
func (f *Followers) Reads() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tail.mu.Lock()
	defer f.tail.mu.Unlock()
	return f.reads + f.tail.reads
}

// followed is one environment, or with no id the record of all, and who follows it.
type followed struct {
	wake map[chan struct{}]struct{}
	logs map[chan struct{}]struct{}
	row  SharedRead[fleet.Environment]
}

// Subscription is one follower's. Stop ends it.
type Subscription struct {
	wake <-chan struct{}
	Row  *SharedRead[fleet.Environment]
	Stop func()
}

// everything is what those follow who follow the record of all.
const everything = ""

// Subscribe has a follower woken by changes of an environment and events about it, and by lines of its log as well.
func (f *Followers) Subscribe(id string, log bool) Subscription {
	ch := make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = map[string]*followed{}
	}
	one := f.of[id]
	if one == nil {
		one = &followed{wake: map[chan struct{}]struct{}{}, logs: map[chan struct{}]struct{}{}}
		one.row.Read = func(ctx context.Context) (fleet.Environment, error) {
			f.count()
			return f.read.Get(ctx, id)
		}
		f.of[id] = one
	}
	one.wake[ch] = struct{}{}
	if log {
		one.logs[ch] = struct{}{}
	}
	return Subscription{wake: ch, Row: &one.row, Stop: func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(one.wake, ch)
		delete(one.logs, ch)
		if len(one.wake) == 0 && f.of[id] == one {
			delete(f.of, id)
		}
	}}
}

func (f *Followers) count() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
}

// committed receives this process's own commits.
func (f *Followers) committed(c store.Commit) {
	for _, id := range c.Logged {
		f.NotifyLog(id)
	}
	switch {
	case c.All:
		f.NotifyAll()
	case len(c.Changed) > 0:
		f.Notify(c.Changed...)
	}
}

// Wake passes on what other daemons change, until ctx ends.
func (f *Followers) Wake(ctx context.Context, logger *slog.Logger) {
	err := f.read.Wakes(ctx, func(environmentID string) {
		if environmentID == "" {
			// It may be of an event of none, or some may have been missed.
			f.NotifyAll()
		} else {
			f.Notify(environmentID)
		}
		f.bus.Nudge(Plan, Work)
	}, f.NotifyLog)
	if err != nil && ctx.Err() == nil {
		logger.Error("changes by other daemons are seen late", "error", err)
	}
}

// Notify wakes who follows some environments, and who follows the record.
func (f *Followers) Notify(ids ...string) {
	f.tail.told()
	f.mu.Lock()
	defer f.mu.Unlock()
	wake := func(id string) {
		if one := f.of[id]; one != nil {
			nudgeAll(one.wake)
		}
	}
	for _, id := range ids {
		wake(id)
	}
	wake(everything)
}

// NotifyLog wakes who follows an environment's log.
func (f *Followers) NotifyLog(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one := f.of[id]; one != nil {
		nudgeAll(one.logs)
	}
}

// NotifyAll wakes everybody: some may have missed something.
func (f *Followers) NotifyAll() {
	f.tail.told()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, one := range f.of {
		nudgeAll(one.wake)
	}
}

func nudgeAll(all map[chan struct{}]struct{}) {
	for ch := range all {
		Nudge(ch)
	}
}

// Wait waits until a follower is woken, or for a while that is another one for each.
func (f *Followers) Wait(ctx context.Context, s Subscription) error {
	return Wait(ctx, s.wake, f.poll-time.Duration(f.chance()*float64(f.poll/2)))
}

// Events gives what a filter selects of the record after a number, oldest first: out of the kept end, or when that begins later, a page
// of the store. The record has been looked at up to upTo; more says that it may go on at once.
func (f *Followers) Events(ctx context.Context, filter store.EventFilter) (events []fleet.Event, upTo int64, more bool, err error) {
	end, err := f.tail.now(ctx, f.read)
	if err != nil {
		return nil, filter.After, false, err
	}
	if filter.After >= end.from {
		// Numbers rise by one.
		newer, _ := slices.BinarySearchFunc(end.events, filter.After+1, func(e fleet.Event, seq int64) int { return int(e.Seq - seq) })
		for _, e := range end.events[newer:] {
			if filter.Matches(e) {
				events = append(events, e)
			}
		}
		return events, max(filter.After, end.to), false, nil
	}
	filter.Limit = EventPage
	if events, err = f.read.EventsBy(ctx, filter); err != nil {
		return nil, filter.After, false, err
	}
	if len(events) == EventPage {
		return events, events[EventPage-1].Seq, true, nil
	}
	upTo = max(filter.After, end.to) // all up to there was committed before it was read
	if len(events) > 0 {
		upTo = max(upTo, events[len(events)-1].Seq)
	}
	return events, upTo, false, nil
}

// recordTail is the end of the record, read once for all who follow it.
type recordTail struct {
	mu sync.Mutex
	// news counts the news, and known how many of them came before the last read began.
	news, known int64
	readAt      time.Duration // since boot; 0 for never
	end         recordEnd
	// reads counts the reads of the record.
	reads int64

	shared SharedRead[recordEnd]
}

// recordEnd are the events with numbers above from, up to to. Its events are only to be read.
type recordEnd struct {
	events   []fleet.Event
	from, to int64
}

func (t *recordTail) told() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.news++
}

// now gives the record's end as it is. Those who ask at the same time share a read, and nothing is read when there is no news.
func (t *recordTail) now(ctx context.Context, db *store.Store) (recordEnd, error) {
	t.mu.Lock()
	if t.readAt != 0 && t.known == t.news && clock.SinceBoot()-t.readAt < tailFresh {
		defer t.mu.Unlock()
		return t.end, nil
	}
	if t.shared.Read == nil {
		t.shared.Read = func(ctx context.Context) (recordEnd, error) { return t.refresh(ctx, db) }
	}
	t.mu.Unlock()
	return t.shared.Get(ctx)
}

// refresh reads what has come since the last read. One at a time does it.
func (t *recordTail) refresh(ctx context.Context, db *store.Store) (recordEnd, error) {
	t.mu.Lock()
	if t.readAt != 0 && t.known == t.news && clock.SinceBoot()-t.readAt < tailFresh {
		defer t.mu.Unlock()
		return t.end, nil // somebody has just read it
	}
	rest := tailRest - (clock.SinceBoot() - t.readAt)
	first := t.readAt == 0
	t.mu.Unlock()
	if rest > 0 && !first {
		if err := Wait(ctx, nil, rest); err != nil {
			return recordEnd{}, err
		}
	}
	t.mu.Lock()
	end, known := t.end, t.news
	t.reads++
	t.mu.Unlock()
	at := clock.SinceBoot()
	newest, _, err := db.Marks(ctx)
	if err != nil {
		return recordEnd{}, err
	}
	if first || newest < end.to || newest-end.to > tailKept {
		// It is read for the first time, was set back, or has gone far on: those behind read the store.
		end = recordEnd{from: newest, to: newest}
	}
	for end.to < newest {
		page, err := db.EventsBy(ctx, store.EventFilter{After: end.to, Limit: store.MaxLimit})
		if err != nil {
			return recordEnd{}, err
		}
		if len(page) == 0 {
			break // it was set back meanwhile
		}
		// Those who read the former end go on with it: what is added lies behind it.
		end.events, end.to = append(end.events, page...), page[len(page)-1].Seq
	}
	if over := len(end.events) - tailKept; over > 0 {
		end.from = end.events[over-1].Seq
		end.events = end.events[over:]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end, t.known, t.readAt = end, known, at
	return end, nil
}
