package storetest

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

// history is a random history of many environments; beside the store it knows their ids and who used which key.
type history struct {
	s *store.Store
	n *int // ids are never used twice
	// tenant is its own, so that histories do not meet.
	tenant string
	at     time.Time
	ids    []string
	keys   map[string]string // the environment of each key
}

// usageModel tries random histories of requests, claims, changes and ends: after each step, what is
// kept of usage is what the rows say, and spend is what rows and entries say.
func usageModel(t *testing.T, open Open) {
	s := open(t)
	n := 0
	mustPool(t, s, "model")
	rapid.Check(t, func(rt *rapid.T) {
		n++
		h := &history{s: s, n: &n, tenant: fmt.Sprintf("tenant-%d", n), at: base, keys: map[string]string{}}
		rt.Repeat(map[string]func(*rapid.T){
			"":        h.check,
			"add up":  func(rt *rapid.T) { mustAddUp(rt, s) },
			"wait":    func(rt *rapid.T) { h.at = h.at.Add(time.Duration(rapid.IntRange(1, 40).Draw(rt, "h")) * time.Hour) },
			"refill":  h.refill,
			"request": h.request,
			"replace": h.replace,
			"move":    h.move,
			"resize":  h.resize,
			"extend":  h.extend,
		})
		mustAddUp(rt, s)
	})
}

func (h *history) key() string { return "key of " + h.tenant }

func (h *history) next() int {
	*h.n++
	return *h.n
}

func (h *history) refill(rt *rapid.T) {
	env := member(h.next(), "model")
	env.MatchKey = h.key()
	env.Size.CPUs = rapid.SampledFrom([]float64{0.1, 1.0005, 2, 0.0001}).Draw(rt, "cpus")
	mustRefill(rt, h.s, "model", env)
	for _, state := range paths[fleet.Warm] {
		mustChange(rt, h.s, env.ID, func(e *fleet.Environment) { e.State = state })
	}
	h.ids = append(h.ids, env.ID)
}

func (h *history) asked(rt *rapid.T) store.Admission {
	env := environment(h.next())
	env.Tenant, env.MatchKey, env.CreatedAt, env.UpdatedAt = h.tenant, h.key(), h.at, h.at
	env.Team = rapid.SampledFrom([]string{"core", "infra"}).Draw(rt, "team")
	env.Owner = rapid.SampledFrom([]string{"ada", "grace", "core"}).Draw(rt, "owner")
	env.Size.CPUs = rapid.SampledFrom([]float64{0.1, 1.0005, 2}).Draw(rt, "cpus")
	env.IdempotencyKey = rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "key")
	a := ask(env)
	// Often less than what it will have cost.
	a.HeldMicros = rapid.OneOf(rapid.Int64Range(0, 300), rapid.Int64Range(0, 1e9)).Draw(rt, "hold")
	a.HeldFor = time.Duration(rapid.OneOf(rapid.Int64Range(0, 3e9), rapid.Int64Range(0, 1e15)).Draw(rt, "hold for"))
	return a
}

func (h *history) request(rt *rapid.T) {
	a := h.asked(rt)
	if rapid.Bool().Draw(rt, "fresh") {
		a.Take = nil
	}
	got := mustAcquire(rt, h.s, a)
	key := a.Env.Owner + " " + a.Env.IdempotencyKey
	if first, used := h.keys[key]; a.Env.IdempotencyKey != "" && (used != got.Existed || used && got.Env.ID != first) {
		rt.Fatalf("the key %q gave %s (existed %v), it was used for %q", key, got.Env.ID, got.Existed, first)
	}
	if a.Env.IdempotencyKey != "" {
		h.keys[key] = got.Env.ID
	}
	if !got.Existed && !got.Claimed {
		h.ids = append(h.ids, got.Env.ID)
	}
}

// one draws an environment of the history.
func (h *history) one(rt *rapid.T) fleet.Environment {
	if len(h.ids) == 0 {
		rt.Skip("there is none yet")
	}
	return mustGet(rt, h.s, rapid.SampledFrom(h.ids).Draw(rt, "id"))
}

func (h *history) replace(rt *rapid.T) {
	bad := h.one(rt)
	if bad.State != fleet.Leased || bad.Work.Action != fleet.Personalise {
		rt.Skip("it is not being handed over")
	}
	a := h.asked(rt)
	a.Env.Tenant, a.Env.Team, a.Env.Owner, a.Env.IdempotencyKey = bad.Tenant, bad.Team, bad.Owner, bad.IdempotencyKey
	a.Take = take(a.Env)
	got, err := h.s.Replace(rt.Context(), bad.ID, bad.Work.Generation, strip, a)
	if err != nil {
		rt.Fatalf("replace %s: %v", bad.ID, err)
	}
	if !got.Claimed {
		h.ids = append(h.ids, got.Env.ID)
	}
	if bad.IdempotencyKey != "" {
		h.keys[bad.Owner+" "+bad.IdempotencyKey] = got.Env.ID
	}
}

func (h *history) move(rt *rapid.T) {
	env := h.one(rt)
	to := rapid.SampledFrom(fleet.States()).Draw(rt, "state")
	if !env.State.CanBecome(to) || env.State == fleet.Warm && to == fleet.Leased {
		rt.Skip("it cannot become that")
	}
	_, err := h.s.Change(rt.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		booked := leasedTime(*e, h.at, h.at.Add(time.Second), rapid.Int64Range(0, 100).Draw(rt, "cost"))
		booked.Debit = rapid.SampledFrom(append([]string{ledger.AccountPool, ledger.AccountFailed},
			ledger.AccountLeased, ledger.AccountProvisioning, ledger.AccountDestroying)).Draw(rt, "account")
		e.State = to
		return store.Writes{Entries: []ledger.Entry{booked}}, nil
	})
	if err != nil {
		rt.Fatalf("move %s to %s: %v", env.ID, to, err)
	}
}

func (h *history) resize(rt *rapid.T) {
	env := h.one(rt)
	mustChange(rt, h.s, env.ID, func(e *fleet.Environment) { e.Size.MemoryMiB = rapid.Int64Range(0, 1<<20).Draw(rt, "MiB") })
}

func (h *history) extend(rt *rapid.T) {
	env := h.one(rt)
	if !env.State.Live() {
		rt.Skip("what it held is fixed")
	}
	mustChange(rt, h.s, env.ID, func(e *fleet.Environment) {
		e.HeldMicros += rapid.Int64Range(0, 1000).Draw(rt, "micros")
		e.HeldFor += time.Duration(rapid.Int64Range(0, 1e12).Draw(rt, "time"))
	})
}

// check counts the tenant's rows.
func (h *history) check(rt *rapid.T) {
	live, _, err := h.s.List(rt.Context(), store.Filter{Tenant: h.tenant, Limit: store.MaxLimit})
	if err != nil {
		rt.Fatalf("list: %v", err)
	}
	var want fleet.Usage
	for _, env := range live {
		want.Environments++
		want.MilliCPUs += env.Size.MilliCPUs()
		want.MemoryMiB += env.Size.MemoryMiB
	}
	got, err := h.s.UsageOf(rt.Context(), []fleet.Scope{{Kind: fleet.ScopeTenant, Tenant: h.tenant}}, time.Time{})
	if err != nil {
		rt.Fatalf("read usage: %v", err)
	}
	same(rt, got[0].Usage, want)
}
