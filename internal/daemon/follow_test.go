package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

// follower is what one of many saw.
type follower struct{ events atomic.Int64 }

// crowd follows in several ways, a third each, until ctx ends: an environment, the record of all, its tenant's record.
func (b *bench) crowd(ctx context.Context, n int, id string) (all []*follower, ended *sync.WaitGroup) {
	b.t.Helper()
	ended = &sync.WaitGroup{}
	for i := range n {
		f := &follower{}
		all = append(all, f)
		count := func(events []fleet.Event) error {
			for _, e := range events {
				if e.Kind == "test" {
					f.events.Add(1)
				}
			}
			return nil
		}
		ended.Go(func() {
			var err error
			switch i % 3 {
			case 0:
				err = b.engine.Watch(ctx, platform, id, 0, func(_ fleet.Environment, events []fleet.Event) error { return count(events) })
			case 1:
				err = b.engine.WatchEvents(ctx, platform, service.EventQuery{}, count)
			case 2:
				err = b.engine.WatchEvents(ctx, ann, service.EventQuery{Environment: id}, count)
			}
			if !errors.Is(err, context.Canceled) {
				b.t.Errorf("follower %d ended: %v", i, err)
			}
		})
	}
	return all, ended
}

// tell records an event of an environment.
func (b *bench) tell(env fleet.Environment, text string) {
	b.t.Helper()
	err := b.db.AppendEvents(b.t.Context(), fleet.Event{At: b.clock.Now(), EnvironmentID: env.ID, Tenant: env.Tenant, Kind: "test", Message: text})
	if err != nil {
		b.t.Fatal(err)
	}
}

// sawAll waits until each has seen so many.
func sawAll(t *testing.T, all []*follower, want int64) {
	t.Helper()
	waitUntil(t, fmt.Sprint("all have seen ", want), func() bool {
		for _, f := range all {
			if f.events.Load() < want {
				return false
			}
		}
		return true
	})
}

// TestAThousandFollowersAreWoken: who follows is woken by a change and reads nothing else. What a change costs does not grow with
// their number, and nothing is read while nothing happens.
func TestAThousandFollowersAreWoken(t *testing.T) {
	b := setup(t, patient)
	b.engine.FollowOnlyWhenWoken()
	env := b.acquire()
	ctx, stop := context.WithCancel(t.Context())
	all, ended := b.crowd(ctx, 1000, env.ID)
	b.tell(env, "first")
	sawAll(t, all, 1)
	const told = 20
	before := b.engine.FollowReads()
	for i := range told {
		b.tell(env, "more")
		sawAll(t, all, int64(i)+2)
	}
	// For each: the row and the record's end, each once more for those who came while it was being read; polled they would be 2,000.
	if reads := b.engine.FollowReads() - before; reads > told*40 {
		t.Errorf("%d changes were read %d times for 1,000 followers", told, reads)
	} else {
		t.Logf("%d changes were read %d times for 1,000 followers", told, reads)
	}
	stop()
	ended.Wait()
	for i, f := range all {
		if n := f.events.Load(); n != told+1 {
			t.Errorf("follower %d has seen %d events, want %d", i, n, told+1)
		}
	}
}

// TestFollowersOfAnotherDaemon: with PostgreSQL who follows at one daemon is woken by what another one writes, a log's lines too.
func TestFollowersOfAnotherDaemon(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	b := setup(t, patient, func(c *daemon.Config) {
		db, err := store.Open(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		c.Store = db
	})
	b.engine.FollowOnlyWhenWoken()
	ctx, stop := context.WithCancel(t.Context())
	other, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	b.db = other
	env := b.acquire()
	all, ended := b.crowd(ctx, 9, env.ID)
	ended.Go(func() { b.engine.Wake(ctx) })
	lines := make(chan string, 100)
	ended.Go(func() {
		err := b.engine.Logs(ctx, ann, env.ID, time.Time{}, true, func(l fleet.LogLine) error {
			lines <- l.Text
			return nil
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the log's follower ended: %v", err)
		}
	})
	for i := range 3 {
		b.tell(env, "by another")
		sawAll(t, all, int64(i)+1)
		text := fmt.Sprint("line ", i)
		if err := other.AppendLog(ctx, env.ID, []fleet.LogLine{{At: b.clock.Now(), Source: "bothy", Text: text}}); err != nil {
			t.Fatal(err)
		}
		select {
		case line := <-lines:
			if line != text {
				t.Fatalf("got %q, want %q", line, text)
			}
		case <-time.After(patience):
			t.Fatal("the line did not come")
		}
	}
	stop()
	ended.Wait()
}

// TestTheQueueIsFollowed: who waits is woken by each change of their place.
func TestTheQueueIsFollowed(t *testing.T) {
	b := setup(t, patient)
	b.engine.FollowOnlyWhenWoken()
	b.run()
	waitUntil(t, "this daemon leads", b.engine.Leads)
	b.drain()
	env := b.acquire()
	got := b.until(env.ID, "told its place", func(e fleet.Environment) bool { return e.Queue.Rank == 1 && e.Reason != "" })
	if got.State != fleet.Pending {
		t.Fatalf("it is %s", got.State)
	}
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed)
}

// TestWhyReadsTheNewest: of a long record why shows the end, by one read of it.
func TestWhyReadsTheNewest(t *testing.T) {
	b := setup(t, patient)
	env := b.acquire()
	for i := range 60 {
		b.tell(env, fmt.Sprint("entry ", i))
	}
	why, err := b.engine.Why(t.Context(), platform, env.ID)
	if err != nil {
		t.Fatal(err)
	}
	if len(why.Events) != 20 || why.Events[19].Message != "entry 59" || why.Events[0].Message != "entry 40" {
		t.Errorf("%d events, from %q to %q", len(why.Events), why.Events[0].Message, why.Events[len(why.Events)-1].Message)
	}
}

// TestTheRecordsEndIsThePages: what is given out of memory is what the store gives, whatever is asked for, however far behind.
func TestTheRecordsEndIsThePages(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "bothy.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	follow := daemon.Follow(db)
	add := func(n int) {
		t.Helper()
		var events []fleet.Event
		for i := range n {
			events = append(events, fleet.Event{
				EnvironmentID: []string{"", "a", "b"}[i%3], Pool: []string{"", "p"}[i%2], Host: []string{"", "h", "k"}[i/2%3], Tenant: []string{"acme", "zeta", ""}[i/3%3],
			})
		}
		if err := db.AppendEvents(t.Context(), events...); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		newest, _, err := db.Marks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []store.EventFilter{{}, {EnvironmentID: "a"}, {Pool: "p"}, {Host: "h"}, {Tenant: "acme"}, {Tenant: "zeta", Pool: "p"}} {
			for _, back := range []int64{0, 1, 7, 400, 3000, newest} {
				f.After = max(newest-back, 0)
				got, want := follow(t, f), pages(t, db, f)
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("%+v: %d events, the store gives %d", f, len(got), len(want))
				}
			}
		}
	}
	add(10)
	check()
	for _, n := range []int{3, 500, 1, 2500, 40} {
		add(n)
		check()
	}
}

// pages gives all that a filter selects.
func pages(t *testing.T, db *store.Store, f store.EventFilter) (all []int64) {
	t.Helper()
	f.Limit = store.MaxLimit
	for {
		page, err := db.EventsBy(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			all = append(all, e.Seq)
			f.After = e.Seq
		}
		if len(page) < store.MaxLimit {
			return all
		}
	}
}
