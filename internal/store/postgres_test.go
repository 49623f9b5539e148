package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// query runs a statement beside the store and gives the first column of its first row.
func query[T any](t *testing.T, dsn, statement string, args ...any) T {
	t.Helper()
	conn := connect(t, dsn)
	var got T
	if err := conn.QueryRow(t.Context(), statement, args...).Scan(&got); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatalf("%s: %v", statement, err)
	}
	return got
}

// connect gives a connection of the test's own.
func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// admitSample admits the n-th sample.
func admitSample(t *testing.T, s *store.Store, n int) fleet.Environment {
	t.Helper()
	got, err := s.Admit(t.Context(), store.Admission{Env: sample(n), RequestHash: "hash"})
	if err != nil {
		t.Fatal(err)
	}
	return got.Env
}

// try changes a row's attempts by one.
func try(s *store.Store, id string, expect store.Expect) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := s.Change(ctx, id, expect, func(e *fleet.Environment) (store.Writes, error) {
			e.Work.Attempts++
			return store.Writes{Events: []fleet.Event{{Kind: "tried"}}}, nil
		})
		return err
	}
}

// TestPostgresCommitReplyLost: the database has kept the write and its answer never came. The caller must be told that nobody
// knows, and nothing may be done twice.
func TestPostgresCommitReplyLost(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	proxy := server.Proxy(t)
	s := openAt(t, proxy.DSN(t, databaseOf(t, dsn)))

	request := store.Admission{Env: sample(1), RequestHash: "hash", Event: fleet.Event{Kind: "requested"}}
	proxy.DropNextCommit()
	_, err := s.Admit(t.Context(), request)
	wantFault(t, err, fleet.CodeUnavailable, "the same idempotency key")
	// The caller tries again as another process would, with an id of its own.
	request.Env.ID, request.Env.Name = "another", "another"
	got, err := s.Admit(t.Context(), request)
	if err != nil || !got.Existed || got.Env.ID != sample(1).ID {
		t.Fatalf("asked again: %q, existed %v, error %v; want the first", got.Env.ID, got.Existed, err)
	}

	proxy.DropNextCommit()
	wantFault(t, try(s, got.Env.ID, store.Expect{})(t.Context()), fleet.CodeUnavailable, "check first")
	env, err := s.Get(t.Context(), got.Env.ID)
	if err != nil || env.Work.Attempts != 1 || env.Revision != 2 {
		t.Fatalf("%d attempts at revision %d, error %v; want the one that was kept", env.Work.Attempts, env.Revision, err)
	}
	if n := proxy.Dropped.Load(); n != 2 {
		t.Fatalf("%d answers were lost, want 2", n)
	}
}

// databaseOf gives the database that an address names.
func databaseOf(t *testing.T, dsn string) string {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	return config.Database
}

// TestPostgresKilled kills the server under load. What was acknowledged is there, every error says
// "unavailable", and the store goes on by itself when the server is back.
func TestPostgresKilled(t *testing.T) {
	server := pgtest.Own(t, pgtest.Options{})
	dsn := server.Database(t)
	s := openAt(t, dsn)
	id := admitSample(t, s, 1).ID
	bid := store.Bid{Worker: "d1.p1", For: time.Hour}
	if l, _, err := s.Lead(t.Context(), bid, time.Time{}); err != nil || l.Worker != bid.Worker {
		t.Fatalf("lead: %+v, %v", l, err)
	}
	wakes := listen(t, s)
	waitFor(t, wakes, "the store does not listen")

	const writers = 6
	var (
		wg           sync.WaitGroup
		failed       sync.WaitGroup // until every writer has met the fault
		acknowledged [writers]int
		stop         = make(chan struct{})
	)
	failed.Add(writers)
	for w := range writers {
		wg.Go(func() {
			met := false
			for {
				select {
				case <-stop:
					return
				default:
				}
				err := try(s, id, store.Expect{})(t.Context())
				if err == nil {
					acknowledged[w]++
					continue
				}
				wantUnavailable(t, err)
				if !met {
					met = true
					failed.Done()
				}
				_, err = s.Live(t.Context())
				wantUnavailable(t, err)
			}
		})
	}
	server.Kill(t)
	failed.Wait()
	wantUnavailable(t, s.Ping(t.Context()))
	_, _, err := s.Lead(t.Context(), bid, time.Time{})
	wantUnavailable(t, err)
	close(stop)
	wg.Wait()

	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	env, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatalf("after the restart: %v", err)
	}
	sum := 0
	for _, n := range acknowledged {
		sum += n
	}
	// A commit whose answer was lost may have been kept.
	if env.Work.Attempts < sum || env.Work.Attempts > sum+writers {
		t.Fatalf("%d writes were acknowledged, %d are there", sum, env.Work.Attempts)
	}
	if err := try(s, id, store.Expect{})(t.Context()); err != nil {
		t.Fatalf("after the restart: %v", err)
	}
	// It listens again, and says that it may have missed something.
	waitFor(t, wakes, "the store does not listen again")
	if l, _, err := s.Lead(t.Context(), bid, time.Time{}); err != nil || l.Worker != bid.Worker || l.Generation != 1 {
		t.Fatalf("lead after the restart: %+v, %v", l, err)
	}
}

// wantUnavailable checks an error, if there is one.
func wantUnavailable(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	coded, ok := errors.AsType[*fleet.Error](err)
	if !ok || coded.Code != fleet.CodeUnavailable || coded.Hint == "" || strings.Contains(err.Error()+coded.Hint, "not a secret") {
		t.Errorf("got %#v, want unavailable, with a hint and no password", err)
	}
}

// waitFor waits for something that must come.
func waitFor[T any](t *testing.T, c <-chan T, or string) T {
	t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(2 * time.Minute):
		t.Fatal(or)
		panic("not reached")
	}
}

// listen gives what Wakes hears.
func listen(t *testing.T, s *store.Store) <-chan string {
	t.Helper()
	heard := make(chan string, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Wakes(ctx, func(id string) { heard <- id }, func(string) {}) // it has no error to give
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return heard
}

// TestPostgresConnectionsCut: connections that break while they are idle, or before a commit, cost nobody an error.
func TestPostgresConnectionsCut(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	s := openAt(t, dsn)
	id := admitSample(t, s, 1).ID
	for range 5 {
		if n := query[int](t, dsn, "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"); n == 0 {
			t.Fatal("the store had no connection to cut")
		}
		if err := try(s, id, store.Expect{})(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if env, err := s.Get(t.Context(), id); err != nil || env.Work.Attempts != 5 {
		t.Fatalf("%d writes are there, error %v; want 5", env.Work.Attempts, err)
	}
}

// TestPostgresTakeWorkDoesNotWait: whoever is busy with one row does not hold up the next.
func TestPostgresTakeWorkDoesNotWait(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	s := openAt(t, dsn)
	for n := 1; n <= 2; n++ {
		env := sample(n)
		env.Work.Action = fleet.Create
		if _, err := s.Admit(t.Context(), store.Admission{Env: env}); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := connect(t, dsn).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT id FROM environments WHERE id = $1 FOR UPDATE", sample(1).ID); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	now := time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	got, ok, err := s.TakeWork(ctx, "w", []string{"local"}, now, now)
	if err != nil || !ok || got.ID != sample(2).ID {
		t.Fatalf("got %q, %v, %v; want the second, at once", got.ID, ok, err)
	}
}

// TestPostgresStuckPeer: a daemon that stops in the middle of a transaction is cut off, and does not hold up the others.
func TestPostgresStuckPeer(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	s, stuck := openAt(t, dsn), openAt(t, dsn)
	id := admitSample(t, s, 1).ID
	tx, err := stuck.WriteDB().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	for _, statement := range []string{
		"SET LOCAL idle_in_transaction_session_timeout = '100ms'", // not the full time of every real connection
		"UPDATE environments SET revision = 99 WHERE id = '" + id + "'",
	} {
		if _, err := tx.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := try(s, id, store.Expect{Revision: 1})(t.Context()); err != nil {
		t.Fatalf("the other daemon: %v", err)
	}
	if err := stuck.Fault(t.Context(), "write", tx.Commit()); fleet.CodeOf(err) != fleet.CodeUnavailable {
		t.Fatalf("the stuck one wakes up and gets %v", err)
	}
}

// TestPostgresDeadlock: two transactions that wait for each other both come through.
func TestPostgresDeadlock(t *testing.T) {
	s := openAt(t, pgtest.Shared(t).Database(t))
	for n := 1; n <= 2; n++ {
		admitSample(t, s, n)
	}
	var wg, both sync.WaitGroup
	both.Add(2)
	for _, order := range [][2]int{{1, 2}, {2, 1}} {
		wg.Go(func() {
			var once sync.Once
			err := s.InTx(t.Context(), "lock two", func(tx *txn.Tx) error {
				for i, n := range order {
					if _, err := tx.ExecContext(t.Context(), "UPDATE environments SET revision = revision + 1 WHERE id = $1", sample(n).ID); err != nil {
						return err
					}
					if i == 0 {
						once.Do(func() { both.Done(); both.Wait() })
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for n := 1; n <= 2; n++ {
		if env, err := s.Get(t.Context(), sample(n).ID); err != nil || env.Revision != 3 {
			t.Errorf("row %d is at revision %d, error %v; want 3", n, env.Revision, err)
		}
	}
}
