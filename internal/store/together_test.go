package store_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
	"github.com/bothy-env/bothy/internal/store/txn"
)

// onBoth runs a test on an empty store of each database.
func onBoth(t *testing.T, test func(*testing.T, *store.Store)) {
	t.Run("SQLite", func(t *testing.T) { test(t, open(t)) })
	t.Run("Postgres", func(t *testing.T) { test(t, openAt(t, pgtest.Shared(t).Database(t))) })
}

// asking is a request of acme's for a warm one of key, else a new one.
func asking(n int, key string) store.Admission {
	env := sample(n)
	env.Tenant, env.Team, env.Owner, env.MatchKey = "acme", "core", "ada", key
	env.IdempotencyKey = ""
	return store.Admission{
		Env: env, RequestHash: "hash", Event: fleet.Event{Kind: "environment.requested"}, HeldMicros: 10, HeldFor: time.Minute,
		Decide: func([]fleet.ScopeUsage) error { return nil },
		Take: func(e *fleet.Environment) (store.Writes, error) {
			e.Name, e.Tenant, e.Team, e.Owner, e.IdempotencyKey = env.Name, env.Tenant, env.Team, env.Owner, env.IdempotencyKey
			e.State, e.Lease = fleet.Leased, env.Lease
			return store.Writes{Events: []fleet.Event{{Kind: "environment.claimed"}}}, nil
		},
	}
}

// crowd makes calls share a transaction: they are asked for, in order, while another one is held up.
type crowd struct {
	t      *testing.T
	s      *store.Store
	resume chan struct{}
	wg     sync.WaitGroup
	size   int
}

func newCrowd(t *testing.T, s *store.Store, holdUp func(wait func()) error) *crowd {
	t.Helper()
	c := &crowd{t: t, s: s, resume: make(chan struct{})}
	inside := make(chan struct{})
	c.wg.Go(func() {
		err := holdUp(sync.OnceFunc(func() {
			close(inside)
			<-c.resume
		}))
		if err != nil {
			t.Errorf("the one that is held up: %v", err)
		}
	})
	<-inside
	return c
}

// admitting holds up an admission.
func admitting(t *testing.T, s *store.Store) *crowd {
	return newCrowd(t, s, func(wait func()) error {
		a := asking(900, "none")
		a.Decide = func([]fleet.ScopeUsage) error { wait(); return nil }
		_, err := s.Admit(t.Context(), a)
		return err
	})
}

// add asks for one more, and returns when it waits.
func (c *crowd) add(call func()) {
	c.t.Helper()
	c.wg.Go(call)
	c.size++
	for {
		if c.s.Queued() == c.size {
			return
		}
		runtime.Gosched()
	}
}

// let lets all go on and waits for them.
func (c *crowd) let() {
	close(c.resume)
	c.wg.Wait()
}

// admitted is what came of a request.
type admitted struct {
	store.Admitted
	err error
}

func (c *crowd) admit(ctx context.Context, a store.Admission) *admitted {
	c.t.Helper()
	got := &admitted{}
	c.add(func() { got.Admitted, got.err = c.s.Admit(ctx, a) })
	return got
}

func mustAddUp(t *testing.T, s *store.Store) {
	t.Helper()
	usage, err := s.CheckUsage(t.Context())
	if err != nil || len(usage) > 0 {
		t.Errorf("usage: %q, %v", usage, err)
	}
	spend, err := s.CheckSpend(t.Context())
	if err != nil || len(spend) > 0 {
		t.Errorf("spend: %q, %v", spend, err)
	}
}

func adoptWarm(t *testing.T, s *store.Store, n int, key string) fleet.Environment {
	t.Helper()
	env := warmSample(n)
	env.MatchKey = key
	got, err := s.Adopt(t.Context(), env, fleet.Event{Kind: "adopted"})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestAdmissionsTogether: what comes of requests that share a transaction is what would have come of each alone.
func TestAdmissionsTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		quota := fleet.Quota{Scope: fleet.Scope{Kind: fleet.ScopeUser, Tenant: "acme", Name: "ada"}, Limits: fleet.Limits{Environments: new(int64(5))}}
		if err := s.SetQuota(t.Context(), quota, func(fleet.Limits) fleet.Event { return fleet.Event{Kind: "quota.set"} }); err != nil {
			t.Fatal(err)
		}
		warm := []fleet.Environment{adoptWarm(t, s, 1, "a"), adoptWarm(t, s, 2, "a"), adoptWarm(t, s, 3, "b")}
		full := errors.New("full")
		room := func(scopes []fleet.ScopeUsage) error {
			for _, u := range scopes {
				if u.Usage.Environments >= *u.Limits.Environments {
					return fmt.Errorf("%d environments, %d micros, %d s: %w", u.Usage.Environments, u.Usage.MicrosToday, u.Usage.SecondsToday, full)
				}
			}
			return nil
		}
		c := admitting(t, s) // the first of five
		var got []*admitted
		for n, key := range []string{"a", "b", "a", "a", "b", "c"} {
			a := asking(100+n, key)
			a.Decide, a.Secrets = room, fmt.Appendf(nil, "secret of %d", n)
			got = append(got, c.admit(t.Context(), a))
		}
		refused := asking(200, "a")
		refused.Decide = func([]fleet.ScopeUsage) error { return errors.New("not you") }
		no := c.admit(t.Context(), refused)
		c.let()

		want := []struct {
			warm *fleet.Environment
			full bool
		}{{&warm[0], false}, {&warm[2], false}, {&warm[1], false}, {nil, false}, {nil, true}, {nil, true}}
		for n, g := range got {
			switch {
			case want[n].full:
				if !errors.Is(g.err, full) || g.err.Error() != "5 environments, 50 micros, 300 s: full" {
					t.Errorf("request %d: %v, want it refused for five", n, g.err)
				}
				continue
			case g.err != nil:
				t.Errorf("request %d: %v", n, g.err)
			case want[n].warm == nil && (g.Claimed || g.Env.ID != fmt.Sprintf("env%06d", 100+n) && g.Env.State != fleet.Pending):
				t.Errorf("request %d was given %s, claimed %v; want a new one", n, g.Env.ID, g.Claimed)
			case want[n].warm != nil && (!g.Claimed || g.Env.ID != want[n].warm.ID || g.Env.Revision != want[n].warm.Revision+1):
				t.Errorf("request %d was given %s at %d, claimed %v; want %s", n, g.Env.ID, g.Env.Revision, g.Claimed, want[n].warm.ID)
			}
			row, err := s.Get(t.Context(), g.Env.ID)
			if err != nil || row.Name != g.Env.Name || row.Revision != g.Env.Revision || row.State != g.Env.State {
				t.Errorf("request %d was told %+v, the row is %+v, %v", n, g.Env, row, err)
			}
			if sealed, err := s.Secrets(t.Context(), g.Env.ID); err != nil || string(sealed) != fmt.Sprintf("secret of %d", n) {
				t.Errorf("the secrets of request %d are %q, %v", n, sealed, err)
			}
		}
		if no.err == nil || no.err.Error() != "not you" {
			t.Errorf("the refused one: %v", no.err)
		}
		live, err := s.Live(t.Context())
		if err != nil || len(live) != 5 { // three of the pools' and two new ones
			t.Errorf("%d rows live, %v; want 5", len(live), err)
		}
		mustAddUp(t, s)
	})
}

// TestSameKeyTogether: two requests under one key share a transaction and are given one environment.
func TestSameKeyTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		for n := range 3 {
			adoptWarm(t, s, n, "a")
		}
		c := admitting(t, s)
		var got []*admitted
		for n := range 4 {
			a := asking(100+n, "a")
			a.Env.IdempotencyKey = "once"
			if n == 3 {
				a.RequestHash = "another"
			}
			a.Take = asking(100+n, "a").Take
			take := a.Take
			a.Take = func(e *fleet.Environment) (store.Writes, error) {
				w, err := take(e)
				e.IdempotencyKey = "once"
				return w, err
			}
			got = append(got, c.admit(t.Context(), a))
		}
		c.let()
		// Done alone they come in any order: the first has the key.
		same, other := got[:3], got[3:]
		if other[0].err == nil {
			same, other = other, same
		}
		first := 0
		for n, g := range same {
			if g.err != nil || g.Env.ID != same[0].Env.ID {
				t.Errorf("request %d was given %s, %v; the first was given %s", n, g.Env.ID, g.err, same[0].Env.ID)
			}
			if !g.Existed {
				first++
			}
		}
		if first != 1 {
			t.Errorf("%d of them were the first", first)
		}
		for _, g := range other {
			if fleet.CodeOf(g.err) != fleet.CodeConflict {
				t.Errorf("another request under the key: %v", g.err)
			}
		}
		mustAddUp(t, s)
	})
}

// TestTakenNameTogether: a name that is taken is refused to one, and those beside it are granted.
func TestTakenNameTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		c := admitting(t, s)
		var got []*admitted
		for n := range 4 {
			a := asking(100+n, "none")
			if n == 2 {
				a.Env.Name = asking(101, "none").Env.Name
			}
			got = append(got, c.admit(t.Context(), a))
		}
		c.let()
		conflicts := 0
		for n, g := range got {
			switch {
			case fleet.CodeOf(g.err) == fleet.CodeConflict && (n == 1 || n == 2):
				conflicts++
			case g.err != nil:
				t.Errorf("request %d: %v", n, g.err)
			}
		}
		if conflicts != 1 {
			t.Errorf("%d of two were refused for the name that they share", conflicts)
		}
		mustAddUp(t, s)
	})
}

// TestLeftTheQueue: whoever goes away while others are served is not served, and holds nobody up.
func TestLeftTheQueue(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		c := admitting(t, s)
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan error)
		c.add(func() {
			_, err := s.Admit(ctx, asking(100, "none"))
			gone <- err
		})
		leave()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("whoever left was told %v", err)
		}
		c.size-- // it does not wait any more
		stayed := c.admit(t.Context(), asking(101, "none"))
		c.let()
		if stayed.err != nil {
			t.Error(stayed.err)
		}
		if _, err := s.Get(t.Context(), asking(100, "none").Env.ID); fleet.CodeOf(err) != fleet.CodeNotFound {
			t.Errorf("whoever left was served: %v", err)
		}
	})
}

// TestPanicTogether: a panic in one caller's function is that caller's own.
func TestPanicTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		c := admitting(t, s)
		before := c.admit(t.Context(), asking(100, "none"))
		panicked := false
		c.add(func() {
			defer func() { panicked = recover() != nil }()
			a := asking(101, "none")
			a.Decide = func([]fleet.ScopeUsage) error { panic("a bug") }
			_, _ = s.Admit(t.Context(), a)
		})
		after := c.admit(t.Context(), asking(102, "none"))
		c.let()
		if before.err != nil || after.err != nil || !panicked {
			t.Errorf("those beside it: %v, %v; it panicked: %v", before.err, after.err, panicked)
		}
		mustAddUp(t, s)
	})
}

// TestChangesTogether: changes that share a transaction are done as if each were alone, also two of one row.
func TestChangesTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		var ids []string
		for n := range 5 {
			got, err := s.Admit(t.Context(), asking(100+n, "none"))
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, got.Env.ID)
		}
		c := changing(t, s, ids[4])
		refused := errors.New("not this")
		errs := make([]error, 7)
		envs := make([]fleet.Environment, 7)
		change := func(n int, id string, expect store.Expect, fn func(*fleet.Environment) error) {
			c.add(func() {
				envs[n], errs[n] = s.Change(t.Context(), id, expect, func(e *fleet.Environment) (store.Writes, error) {
					return store.Writes{Events: []fleet.Event{{Kind: fmt.Sprintf("change.%d", n)}}}, fn(e)
				})
			})
		}
		tried := func(e *fleet.Environment) error { e.Work.Attempts++; return nil }
		change(0, ids[2], store.Expect{}, tried)
		change(1, ids[0], store.Expect{Revision: 1}, tried)
		change(2, ids[0], store.Expect{}, tried)            // the same row
		change(3, ids[1], store.Expect{Revision: 7}, tried) // late
		change(4, ids[1], store.Expect{}, func(*fleet.Environment) error { return refused })
		change(5, "nobody", store.Expect{}, tried)
		change(6, ids[3], store.Expect{}, func(e *fleet.Environment) error {
			e.State = fleet.Destroyed
			return nil
		})
		c.let()
		for n, want := range []func(error) bool{
			isNil, isNil, isNil,
			func(err error) bool { return errors.Is(err, store.ErrMoved) },
			func(err error) bool { return err == refused }, //nolint:errorlint // handed back as it is
			func(err error) bool { return fleet.CodeOf(err) == fleet.CodeNotFound },
			isNil,
		} {
			if !want(errs[n]) {
				t.Errorf("change %d: %v", n, errs[n])
			}
		}
		for n, want := range []struct {
			attempts int
			revision int64
			state    fleet.State
		}{{2, 3, fleet.Pending}, {0, 1, fleet.Pending}, {1, 2, fleet.Pending}, {0, 2, fleet.Destroyed}} {
			row, err := s.Get(t.Context(), ids[n])
			if err != nil || row.Work.Attempts != want.attempts || row.Revision != want.revision || row.State != want.state {
				t.Errorf("row %d is %s, tried %d times, at revision %d, %v; want %+v", n, row.State, row.Work.Attempts, row.Revision, err, want)
			}
		}
		if envs[0].Revision != 2 || envs[0].Work.Attempts != 1 || envs[6].State != fleet.Destroyed {
			t.Errorf("the changes were told %+v", envs)
		}
		for n, want := range []bool{true, true, true, false, false, false, true} {
			events, err := s.EventsBy(t.Context(), store.EventFilter{Limit: 100})
			found := false
			for _, e := range events {
				found = found || e.Kind == fmt.Sprintf("change.%d", n)
			}
			if err != nil || found != want {
				t.Errorf("an entry of change %d: %v, %v; want %v", n, found, err, want)
			}
		}
		mustAddUp(t, s)
	})
}

// TestRequestsAndChangesTogether: requests and changes that share a transaction are done as if each were alone. A change of
// a warm row that a request may take waits for that, and then sees that it is late.
func TestRequestsAndChangesTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		pending, warm := admitSample(t, s, 1), adoptWarm(t, s, 2, "a")
		c := admitting(t, s)
		var changed, late error
		tried := func(err *error, env fleet.Environment) {
			c.add(func() { *err = try(s, env.ID, store.Expect{Revision: env.Revision})(t.Context()) })
		}
		tried(&changed, pending)
		tried(&late, warm)
		claimed, cold := c.admit(t.Context(), asking(100, "a")), c.admit(t.Context(), asking(101, "a"))
		c.let()
		if changed != nil || !errors.Is(late, store.ErrMoved) {
			t.Errorf("changes: %v; %v, want the one of the row that was taken to be late", changed, late)
		}
		if claimed.err != nil || claimed.Env.ID != warm.ID || !claimed.Claimed || cold.err != nil || cold.Claimed {
			t.Errorf("requests: %s, claimed %v, %v; claimed %v, %v", claimed.Env.ID, claimed.Claimed, claimed.err, cold.Claimed, cold.err)
		}
		for _, want := range []fleet.Environment{claimed.Env, cold.Env} {
			if row, err := s.Get(t.Context(), want.ID); err != nil || row.State != want.State || row.Name != want.Name || row.Work.Attempts != 0 {
				t.Errorf("the row of %s is %+v, %v", want.Name, row, err)
			}
		}
		if row, err := s.Get(t.Context(), pending.ID); err != nil || row.Work.Attempts != pending.Work.Attempts+1 {
			t.Errorf("%s was tried %d times, %v", row.Name, row.Work.Attempts, err)
		}
		mustAddUp(t, s)
	})
}

// TestLockedRowHoldsNobodyUp: a change of a row that another transaction holds does not hold up those beside it.
func TestLockedRowHoldsNobodyUp(t *testing.T) {
	dsn := pgtest.Shared(t).Database(t)
	s, other := openAt(t, dsn), openAt(t, dsn)
	held, free := admitSample(t, s, 1), admitSample(t, s, 2)
	release, inside := make(chan struct{}), make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := other.Change(t.Context(), held.ID, store.Expect{}, func(*fleet.Environment) (store.Writes, error) {
			close(inside)
			<-release
			return store.Writes{}, nil
		})
		done <- err
	}()
	<-inside
	c := admitting(t, s)
	waited := make(chan error, 1)
	c.add(func() { waited <- try(s, held.ID, store.Expect{})(t.Context()) })
	beside := make(chan error, 2)
	c.add(func() { beside <- try(s, free.ID, store.Expect{})(t.Context()) })
	c.add(func() {
		_, err := s.Admit(t.Context(), asking(100, "none"))
		beside <- err
	})
	close(c.resume)
	enough, cancel := context.WithTimeout(t.Context(), 4*time.Second) // until the server ends the transaction that holds the row
	defer cancel()
	for range 2 {
		select {
		case err := <-beside:
			if err != nil {
				t.Error(err)
			}
		case <-enough.Done():
			t.Error("those beside it were held up")
		}
	}
	select {
	case err := <-waited:
		t.Errorf("a change of the held row did not wait: %v", err)
	default:
	}
	close(release)
	if err := errors.Join(<-done, <-waited); err != nil {
		t.Error(err)
	}
	c.wg.Wait()
}

// TestOneOfManyStatementsFails: of statements that are sent at once, the one that fails is told, and nothing is kept of any.
func TestOneOfManyStatementsFails(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		set := func(name string) string { return "INSERT INTO settings (name, value) VALUES ('" + name + "', 'x')" }
		for n, texts := range [][]string{
			{set("a"), set("a"), set("b")}, {set("a"), set("b"), set("b")}, {set("a"), "INSERT INTO nowhere VALUES (1)"}, {"SELECT 1", "no statement"},
		} {
			err := s.InTx(t.Context(), "set", func(tx *txn.Tx) error { return store.ExecTexts(t.Context(), tx, texts...) })
			if want := []fleet.Code{fleet.CodeConflict, fleet.CodeConflict, fleet.CodeInternal, fleet.CodeInternal}[n]; fleet.CodeOf(err) != want {
				t.Errorf("%q: %v, want %s", texts, err, want)
			}
		}
		if err := s.InTx(t.Context(), "set", func(tx *txn.Tx) error { return store.ExecTexts(t.Context(), tx, set("a"), set("b")) }); err != nil {
			t.Errorf("after those that failed: %v", err)
		}
	})
}

func isNil(err error) bool { return err == nil }

// changing holds up a change of a row.
func changing(t *testing.T, s *store.Store, id string) *crowd {
	return newCrowd(t, s, func(wait func()) error {
		_, err := s.Change(t.Context(), id, store.Expect{}, func(*fleet.Environment) (store.Writes, error) {
			wait()
			return store.Writes{}, nil
		})
		return err
	})
}

// TestDecisionTogether: a change that raises what is held is decided, whoever shares its transaction.
func TestDecisionTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store.Store) {
		first, second := admitSample(t, s, 1), admitSample(t, s, 2)
		c := changing(t, s, admitSample(t, s, 3).ID)
		var errs [2]error
		c.add(func() { errs[0] = try(s, first.ID, store.Expect{})(t.Context()) })
		full := errors.New("full")
		c.add(func() {
			_, errs[1] = s.Change(t.Context(), second.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
				e.HeldMicros++
				return store.Writes{Decide: func([]fleet.ScopeUsage) error { return full }}, nil
			})
		})
		c.let()
		if errs[0] != nil || !errors.Is(errs[1], full) {
			t.Errorf("%v; want the second refused", errs)
		}
		if row, err := s.Get(t.Context(), second.ID); err != nil || row.HeldMicros != second.HeldMicros {
			t.Errorf("it holds %d, %v", row.HeldMicros, err)
		}
		mustAddUp(t, s)
	})
}

// TestCommitReplyLostTogether: when nobody knows whether a shared transaction was kept, all that share it are told, and
// nothing is done again.
func TestCommitReplyLostTogether(t *testing.T) {
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	proxy := server.Proxy(t)
	s := openAt(t, proxy.DSN(t, databaseOf(t, dsn)))
	ids := []string{admitSample(t, s, 1).ID, admitSample(t, s, 2).ID, admitSample(t, s, 3).ID}
	c := changing(t, s, admitSample(t, s, 4).ID)
	errs := make([]error, len(ids))
	for n, id := range ids {
		c.add(func() {
			_, errs[n] = s.Change(t.Context(), id, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
				proxy.DropNextCommit() // theirs: the one that holds them up was committed before
				e.Work.Attempts++
				return store.Writes{}, nil
			})
		})
	}
	c.let()
	for n, id := range ids {
		wantFault(t, errs[n], fleet.CodeUnavailable, "check first")
		if row, err := s.Get(t.Context(), id); err != nil || row.Work.Attempts != 1 {
			t.Errorf("row %d was changed %d times, %v; want once", n, row.Work.Attempts, err)
		}
	}
	if n := proxy.Dropped.Load(); n != 1 {
		t.Errorf("%d answers were lost, want 1", n)
	}
}
