package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

// gives is how long a call may take on connections that are cut off without a word: one that was used a moment ago is waited for
// longest, 25 s; twice that is for a busy machine.
const gives = 50 * time.Second

// TestPostgresBlackhole: what stands between daemon and database acknowledges everything and passes nothing on. Nobody waits for ever, every
// error says "unavailable", and the same store goes on when the way is free again.
func TestPostgresBlackhole(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	proxy := server.Proxy(t)
	s := openAt(t, proxy.DSN(t, databaseOf(t, server.Database(t))))
	id := admitSample(t, s, 1).ID
	wakes := listen(t, s)
	waitFor(t, wakes, "the store does not listen")
	calls := map[string]func(context.Context) error{
		"read":  func(ctx context.Context) error { _, err := s.Live(ctx); return err },
		"write": try(s, id, store.Expect{}),
		"lead": func(ctx context.Context) error {
			_, _, err := s.Lead(ctx, store.Bid{Worker: "d.p", For: time.Minute}, time.Time{})
			return err
		},
		"hold": func(ctx context.Context) error {
			_, err := s.HoldHosts(ctx, store.Hold{Worker: "d.p", Names: []string{"local"}}, time.Now(), time.Now().Add(time.Minute))
			return err
		},
	}
	all := func(check func(name string, took time.Duration, err error)) {
		t.Helper()
		var wg sync.WaitGroup
		for name, call := range calls {
			wg.Go(func() {
				began := time.Now()
				err := call(t.Context())
				check(name, time.Since(began), err)
			})
		}
		wg.Wait()
	}
	healthy := func(name string, _ time.Duration, err error) {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	all(healthy)
	proxy.Blackhole()
	all(func(name string, took time.Duration, err error) {
		if fleet.CodeOf(err) != fleet.CodeUnavailable || took > gives {
			t.Errorf("%s gave up after %s with %v, want unavailable within %s", name, took, err, gives)
		}
		wantUnavailable(t, err)
	})
	// One's own time is kept, whatever the connection does.
	soon, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.Ping(soon); fleet.CodeOf(err) != fleet.CodeUnavailable {
		t.Errorf("a ping with a time of its own: %v", err)
	}
	proxy.Heal()
	all(healthy)
}

// TestOwnTimeoutIsUnavailable: a time-out of one's own says nothing of what was asked for. Being told to stop does.
func TestOwnTimeoutIsUnavailable(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*store.Store{"SQLite": openAt(t, "sqlite://"+t.TempDir()+"/bothy.db"), "PostgreSQL": openAt(t, pgtest.Shared(t).Database(t))} {
		over, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
		t.Cleanup(cancel)
		<-over.Done()
		err := s.SaveState(over, "x", 1, 1, []byte("sealed"))
		if fleet.CodeOf(err) != fleet.CodeUnavailable {
			t.Errorf("%s: %v has code %q, want unavailable", name, err, fleet.CodeOf(err))
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if err := s.SaveState(stopped, "x", 1, 1, []byte("sealed")); err == nil || fleet.CodeOf(err) == fleet.CodeUnavailable {
			t.Errorf("%s: a call that was told to stop: %v", name, err)
		}
	}
}
