package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

func claim(t *testing.T, open Open) {
	t.Run("a warm one, with all that goes with it", func(t *testing.T) { claimsOne(t, open(t)) })
	t.Run("first pool by name, then the oldest", func(t *testing.T) { claimsInOrder(t, open(t)) })
	t.Run("none that is not free", func(t *testing.T) { claimsNone(t, open(t)) })
	t.Run("one claimant of 1,000", func(t *testing.T) { oneClaimant(t, open(t)) })
	t.Run("a used one never returns", func(t *testing.T) { neverReturns(t, open(t)) })
	t.Run("same key", func(t *testing.T) { claimSameKey(t, open(t)) })
	t.Run("same key at once", func(t *testing.T) { claimSameKeyAtOnce(t, open(t)) })
	t.Run("errors roll back", func(t *testing.T) { claimRollBack(t, open(t)) })
}

func claimsOne(t *testing.T, s *store.Store) {
	mustPool(t, s, "builders")
	warm := mustWarm(t, s, 1, "builders")
	a := keyed(9)
	a.Secrets = []byte("sealed")
	got := mustAcquire(t, s, a)
	if !got.Claimed || got.Existed || got.Env.ID != warm.ID {
		t.Fatalf("got %q, claimed %v, existed %v; want the warm one", got.Env.ID, got.Claimed, got.Existed)
	}
	want := warm
	if _, err := take(a.Env)(&want); err != nil {
		t.Fatal(err)
	}
	want.Revision++
	want.HeldMicros, want.HeldFor, want.HeldAt = a.HeldMicros, a.HeldFor, a.Env.CreatedAt
	same(t, got.Env, want)
	same(t, mustGet(t, s, warm.ID), want)
	same(t, kinds(t, s, warm.ID), []string{"environment.requested", "environment.claimed"})
	if _, err := s.Get(t.Context(), a.Env.ID); fleet.CodeOf(err) != fleet.CodeNotFound {
		t.Fatalf("a new row was written as well: %v", err)
	}
	if sealed, err := s.Secrets(t.Context(), warm.ID); err != nil || string(sealed) != "sealed" {
		t.Fatalf("secrets are %q, %v", sealed, err)
	}
	usage, err := s.UsageOf(t.Context(), want.Scopes(), a.Env.CreatedAt)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range usage {
		same(t, u.Usage, fleet.Usage{
			Environments: 1, MilliCPUs: 1500, MemoryMiB: 1024, SecondsToday: 3600, MicrosToday: 10_000, MicrosThisMonth: 10_000,
		})
	}
	mustAddUp(t, s)

	// The next finds none and goes cold.
	cold := mustAcquire(t, s, request(10))
	if cold.Claimed || cold.Env.ID != environment(10).ID || cold.Env.State != fleet.Pending {
		t.Fatalf("got %q, claimed %v, %s; want a new row", cold.Env.ID, cold.Claimed, cold.Env.State)
	}
	mustAddUp(t, s)
}

func claimsInOrder(t *testing.T, s *store.Store) {
	for _, pool := range []string{"b", "a"} {
		mustPool(t, s, pool)
	}
	for n, pool := range map[int]string{1: "b", 4: "a", 3: "a", 2: "b"} {
		mustWarm(t, s, n, pool)
	}
	for i, want := range []int{3, 4, 1, 2} {
		if got := mustAcquire(t, s, request(10+i)); got.Env.ID != environment(want).ID {
			t.Fatalf("claim %d gave %s, want %s", i, got.Env.ID, environment(want).ID)
		}
	}
}

func claimsNone(t *testing.T, s *store.Store) {
	mustPool(t, s, "builders")
	mustRefill(t, s, "builders", member(1, "builders")) // not warm
	other := member(2, "builders")
	other.MatchKey = "another key"
	mustRefill(t, s, "builders", other)
	for _, state := range paths[fleet.Warm] {
		mustChange(t, s, other.ID, func(e *fleet.Environment) { e.State = state })
	}
	busy := mustWarm(t, s, 3, "builders")
	mustChange(t, s, busy.ID, func(e *fleet.Environment) { e.Work.Action = fleet.Destroy })
	own := environment(4) // warm, and not a pool's
	own.MatchKey = matchKey
	mustAdmit(t, s, own)
	for _, state := range paths[fleet.Warm] {
		mustChange(t, s, own.ID, func(e *fleet.Environment) { e.State = state })
	}
	if got := mustAcquire(t, s, request(9)); got.Claimed {
		t.Fatalf("%s was taken", got.Env.ID)
	}
	// What stands on a host that is down is given to nobody until that is back.
	mustWarm(t, s, 5, "builders")
	mustDeclare(t, s, host)
	if err := s.SetHostDown(t.Context(), host, "its engine does not answer", nil); err != nil {
		t.Fatal(err)
	}
	if got := mustAcquire(t, s, request(11)); got.Claimed {
		t.Fatalf("%s was taken, whose host is down", got.Env.ID)
	}
	if err := s.SetHostDown(t.Context(), host, "", nil); err != nil {
		t.Fatal(err)
	}
	a := request(10)
	a.Take = nil
	if got := mustAcquire(t, s, a); got.Claimed || got.Env.ID != a.Env.ID {
		t.Fatalf("a request that takes none got %q", got.Env.ID)
	}
}

// oneClaimant is promise 2: of 1,000 claimants, 64 at a time, one gets the warm environment.
// oneClaimant has claimants of one daemon or of more race for one warm environment.
func oneClaimant(t *testing.T, daemons ...*store.Store) {
	const claimants, atOnce = 1000, 64
	s := daemons[0]
	mustPool(t, s, "builders")
	warm := mustWarm(t, s, 0, "builders")
	got := make([]store.Admitted, claimants)
	inParallel(claimants, atOnce, func(i int) {
		var err error
		if got[i], err = daemons[i%len(daemons)].Admit(t.Context(), request(1+i)); err != nil {
			t.Errorf("claimant %d: %v", i, err)
		}
	})
	winner := ""
	for i, g := range got {
		if !g.Claimed {
			continue
		}
		if winner != "" || g.Env.ID != warm.ID {
			t.Errorf("claimant %d was given %s as well as %s", i, g.Env.ID, winner)
		}
		winner = g.Env.Name
	}
	if holder := mustGet(t, s, warm.ID).Name; winner == "" || holder != winner {
		t.Fatalf("the winner is %q, the row says %q", winner, holder)
	}
	live, err := s.Live(t.Context())
	if err != nil || len(live) != claimants {
		t.Fatalf("%d rows, %v; want one for each request", len(live), err)
	}
	mustAddUp(t, s)
}

// twoAtOnce stops a daemon's claimant in the middle: another's passes its environment by and takes the next.
func twoAtOnce(t *testing.T, daemons [2]*store.Store) {
	s, other := daemons[0], daemons[1]
	mustPool(t, s, "builders")
	mustWarm(t, s, 1, "builders")
	mustWarm(t, s, 2, "builders")
	inside, goOn := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(inside) }) // a transaction may be tried again
	a := request(8)
	a.Take = func(e *fleet.Environment) (store.Writes, error) {
		once()
		<-goOn
		return take(a.Env)(e)
	}
	first := make(chan store.Admitted, 1)
	go func() {
		got, err := s.Admit(t.Context(), a)
		if err != nil {
			t.Errorf("the first claimant: %v", err)
		}
		first <- got
	}()
	<-inside
	second := make(chan store.Admitted, 1)
	go func() {
		got, err := other.Admit(t.Context(), request(9))
		if err != nil {
			t.Errorf("the second claimant: %v", err)
		}
		second <- got
	}()
	var got [2]store.Admitted
	select {
	case got[1] = <-second:
		close(goOn)
	case <-time.After(10 * time.Second):
		t.Error("the second claimant waits for the first")
		close(goOn)
		got[1] = <-second
	}
	got[0] = <-first
	if !got[0].Claimed || !got[1].Claimed || got[0].Env.ID == got[1].Env.ID {
		t.Fatalf("the claimants got %s (%v) and %s (%v)", got[0].Env.ID, got[0].Claimed, got[1].Env.ID, got[1].Claimed)
	}
}

// neverReturns is promise 2: what was used once is given to nobody else, whatever is tried.
func neverReturns(t *testing.T, s *store.Store) {
	mustPool(t, s, "builders")
	mustWarm(t, s, 1, "builders")
	used := mustAcquire(t, s, request(2)).Env
	for name, c := range map[string]struct {
		alter func(*fleet.Environment)
		want  fleet.Code
	}{
		"warm again":      {func(e *fleet.Environment) { e.State = fleet.Warm }, fleet.CodeConflict},
		"pending again":   {func(e *fleet.Environment) { e.State = fleet.Pending }, fleet.CodeConflict},
		"another owner":   {func(e *fleet.Environment) { e.Owner = "grace" }, fleet.CodeInternal},
		"another team":    {func(e *fleet.Environment) { e.Team = "other" }, fleet.CodeInternal},
		"another tenant":  {func(e *fleet.Environment) { e.Tenant = "other" }, fleet.CodeInternal},
		"nobody's":        {func(e *fleet.Environment) { e.Tenant, e.Team, e.Owner = "", "", "" }, fleet.CodeInternal},
		"another request": {func(e *fleet.Environment) { e.HeldAt = e.HeldAt.Add(time.Hour) }, fleet.CodeInternal},
		"nobody's and going": {func(e *fleet.Environment) {
			e.State, e.Tenant, e.Team, e.Owner = fleet.Destroying, "", "", ""
		}, fleet.CodeInternal},
	} {
		_, err := s.Change(t.Context(), used.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			c.alter(e)
			return store.Writes{}, nil
		})
		if fleet.CodeOf(err) != c.want {
			t.Errorf("%s: got %v, want code %s", name, err, c.want)
		}
	}
	for _, state := range []fleet.State{fleet.Destroying, fleet.Destroyed} {
		mustChange(t, s, used.ID, func(e *fleet.Environment) { e.State = state })
		if got := mustAcquire(t, s, request(10+len(state))); got.Claimed {
			t.Fatalf("it was given away again when it was %s", state)
		}
	}
	mustAddUp(t, s)
}

func claimSameKey(t *testing.T, s *store.Store) {
	mustPool(t, s, "builders")
	mustWarm(t, s, 1, "builders")
	mustWarm(t, s, 2, "builders")
	got := mustAcquire(t, s, keyed(8))
	again := keyed(9)
	if second := mustAcquire(t, s, again); !second.Existed || second.Claimed || second.Env.ID != got.Env.ID {
		t.Fatalf("the same key gave %s, existed %v; want %s", second.Env.ID, second.Existed, got.Env.ID)
	}
	again.RequestHash = "another"
	_, err := s.Admit(t.Context(), again)
	wantCode(t, err, fleet.CodeConflict)
	// Also when it is gone, and above all limits.
	for _, state := range []fleet.State{fleet.Destroying, fleet.Destroyed} {
		mustChange(t, s, got.Env.ID, func(e *fleet.Environment) { e.State = state })
	}
	again.RequestHash = "hash"
	again.Decide = func([]fleet.ScopeUsage) error { return errors.New("asked again") }
	if third := mustAcquire(t, s, again); !third.Existed || third.Env.ID != got.Env.ID {
		t.Fatalf("after the end the same key gave %s", third.Env.ID)
	}
	if next := mustAcquire(t, s, request(10)); next.Env.ID != environment(2).ID {
		t.Fatalf("the second warm one is not free: got %s", next.Env.ID)
	}
}

func claimSameKeyAtOnce(t *testing.T, s *store.Store) {
	const callers = 32
	mustPool(t, s, "builders")
	for n := range 4 {
		mustWarm(t, s, n, "builders")
	}
	var got [callers]store.Admitted
	inParallel(callers, callers, func(i int) {
		var err error
		if got[i], err = s.Admit(t.Context(), keyed(10+i)); err != nil {
			t.Errorf("caller %d: %v", i, err)
		}
	})
	fresh := 0
	for i, g := range got {
		if g.Env.ID != got[0].Env.ID {
			t.Errorf("caller %d got %s, caller 0 %s", i, g.Env.ID, got[0].Env.ID)
		}
		if !g.Existed {
			fresh++
		}
	}
	warm, _, err := s.List(t.Context(), store.Filter{States: []fleet.State{fleet.Warm}})
	if err != nil || fresh != 1 || len(warm) != 3 {
		t.Fatalf("%d callers were told it is new, %d are still warm, %v; want 1 and 3", fresh, len(warm), err)
	}
	mustAddUp(t, s)
}

func claimRollBack(t *testing.T, s *store.Store) {
	mustPool(t, s, "builders")
	warm := mustWarm(t, s, 1, "builders")
	mustAdmit(t, s, environment(2))
	own := errors.New("own error")
	a := request(9)
	for name, c := range map[string]struct {
		take func(*fleet.Environment) (store.Writes, error)
		want fleet.Code
	}{
		"its own error": {func(e *fleet.Environment) (store.Writes, error) { e.State = fleet.Leased; return store.Writes{}, own }, ""},
		"left warm":     {func(*fleet.Environment) (store.Writes, error) { return store.Writes{}, nil }, fleet.CodeInternal},
		"nobody's":      {func(e *fleet.Environment) (store.Writes, error) { e.State = fleet.Leased; return store.Writes{}, nil }, fleet.CodeInternal},
		"a taken name": {func(e *fleet.Environment) (store.Writes, error) {
			writes, err := take(a.Env)(e)
			e.Name = environment(2).Name
			return writes, err
		}, fleet.CodeConflict},
	} {
		a.Take = c.take
		_, err := s.Admit(t.Context(), a)
		if c.want == "" && !errors.Is(err, own) || c.want != "" && fleet.CodeOf(err) != c.want {
			t.Errorf("%s: got %v", name, err)
		}
		same(t, mustGet(t, s, warm.ID), warm)
	}
	same(t, kinds(t, s, warm.ID), []string(nil))
	mustAddUp(t, s)
}
