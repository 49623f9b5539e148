package daemon_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/receipt"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// oracles checks what must hold in every committed state: usage and spend as they are counted anew, the
// ledger, and the chain of receipts.
func (b *bench) oracles() {
	b.t.Helper()
	ctx := b.t.Context()
	for name, check := range map[string]func() ([]string, error){
		"usage": func() ([]string, error) { return b.db.CheckUsage(ctx) },
		"spend": func() ([]string, error) { return b.db.CheckSpend(ctx) },
	} {
		if wrong, err := check(); err != nil || len(wrong) > 0 {
			b.t.Errorf("%s is off: %v %v", name, wrong, err)
		}
	}
	b.ledgerHolds()
	b.receiptsHold()
}

// ledgerHolds checks that each environment's entries do not overlap and cover the time in which it had something at the
// provider, that they add up, that no lease cost more than was held for it, and that debits are credits.
func (b *bench) ledgerHolds() {
	b.t.Helper()
	envs, _, err := b.db.List(b.t.Context(), store.Filter{IncludeGone: true, Limit: store.MaxLimit})
	if err != nil {
		b.t.Fatal(err)
	}
	now := b.clock.Now()
	var capacity int64
	for _, env := range envs {
		entries, err := b.db.Entries(b.t.Context(), env.ID)
		if err != nil {
			b.t.Fatal(err)
		}
		var from time.Time
		var covered time.Duration
		var sum, held, leased int64
		for _, e := range entries {
			switch {
			case e.Credit == ledger.AccountCapacity:
				if e.From.Before(from) || !e.Until.After(e.From) {
					b.t.Errorf("%s: an entry is from %s until %s, the one before ended %s", env.Name, e.From, e.Until, from)
				}
				from, sum, covered = e.Until, sum+e.AmountMicros, covered+e.Until.Sub(e.From)
				if e.Debit == ledger.AccountLeased {
					leased += e.AmountMicros
				}
			case e.Debit == ledger.AccountHeld:
				held += e.AmountMicros
			case e.Credit == ledger.AccountHeld:
				held -= e.AmountMicros
			}
		}
		there := env.BilledBefore + env.BilledUntil.Sub(env.BilledFrom)
		if env.State == fleet.Destroyed && (from.After(env.BilledUntil) || covered != there || held != 0) {
			b.t.Errorf("%s: booked %s until %s, want %s until %s; %d still held", env.Name, covered, from, there, env.BilledUntil, held)
		}
		if want := ledger.Charge(env.Size.RateMicros, now, now.Add(covered)); sum != want {
			b.t.Errorf("%s: booked %d for %s, want %d", env.Name, sum, covered, want)
		}
		if env.Tenant != "" && leased > env.HeldMicros {
			b.t.Errorf("%s: its lease cost %d, and %d was held", env.Name, leased, env.HeldMicros)
		}
		if !from.Equal(env.BookedUntil) && !env.BookedUntil.IsZero() {
			b.t.Errorf("%s: booked until %s by its entries, until %s by its row", env.Name, from, env.BookedUntil)
		}
		capacity += sum
	}
	all, err := b.db.EntriesBy(b.t.Context(), store.EntryFilter{})
	if err != nil {
		b.t.Fatal(err)
	}
	var debit, credit, sold int64
	for _, s := range ledger.Replay(all) {
		debit, credit = debit+s.Debit, credit+s.Credit
		if s.Account == ledger.AccountCapacity {
			sold = s.Credit
		}
	}
	if debit != credit || sold != capacity {
		b.t.Errorf("debits %d, credits %d; capacity sold %d, environments charged %d", debit, credit, sold, capacity)
	}
}

// receiptsHold checks the whole chain, and that everything that is gone has a receipt.
func (b *bench) receiptsHold() {
	b.t.Helper()
	receipts, err := b.db.Receipts(b.t.Context(), 0, store.MaxLimit)
	if err != nil {
		b.t.Fatal(err)
	}
	var chain []receipt.Receipt
	for _, r := range receipts {
		chain = append(chain, wireOf(r))
	}
	if err := receipt.VerifyChain(chain, b.engine.ReceiptKey()); err != nil {
		b.t.Error(err)
	}
	gone, _, err := b.db.List(b.t.Context(), store.Filter{States: []fleet.State{fleet.Destroyed}, Limit: store.MaxLimit})
	if err != nil {
		b.t.Fatal(err)
	}
	if len(gone) != len(chain) {
		b.t.Errorf("%d environments are gone, %d have a receipt", len(gone), len(chain))
	}
}

// TestRandomHistories runs random requests, uses, extensions and releases through random faults, of people
// and pools. At the end nothing is left, all sums agree, and every receipt verifies.
func TestRandomHistories(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			b := setup(t, patient).run()
			b.pool("builders", 2)
			h := &history{b: b, rand: rand.New(rand.NewPCG(seed, 5))}
			for range 60 {
				h.step()
			}
			h.end()
			b.oracles()
		})
	}
}

type history struct {
	b    *bench
	rand *rand.Rand
	ids  []string
}

func (h *history) step() {
	b := h.b
	b.pass(time.Duration(h.rand.Int64N(int64(20 * time.Second))))
	who := []fleet.Identity{ann, bob}[h.rand.IntN(2)]
	switch h.rand.IntN(8) {
	case 0, 1, 2:
		got, err := b.engine.Acquire(b.t.Context(), service.Request{Who: who, NoPool: h.rand.IntN(2) == 0})
		if err != nil {
			b.t.Fatalf("acquire: %v", err)
		}
		h.ids = append(h.ids, got.Env.ID)
	case 3, 4:
		if id := h.one(); id != "" {
			if _, err := b.engine.Release(b.t.Context(), operator, id); err != nil {
				b.t.Fatalf("release: %v", err)
			}
		}
	case 5:
		if id := h.one(); id != "" {
			_, err := b.engine.Extend(b.t.Context(), operator, id, time.Minute)
			if err != nil && !unfit(err) {
				b.t.Fatalf("extend: %v", err)
			}
		}
	default:
		b.inject(h.fault())
	}
}

func (h *history) one() string {
	if len(h.ids) == 0 {
		return ""
	}
	return h.ids[h.rand.IntN(len(h.ids))]
}

func (h *history) fault() fake.Fault {
	faults := []fake.Fault{
		fake.LoseReply(fake.OpCreate), fake.LoseReply(fake.OpDestroy), fake.HalfCreate(kindData), fake.HalfCreate(kindMore, kindSandbox),
		fake.ExitAtOnce(1), fake.CorruptState(),
		fake.FailBefore(fake.OpRemove, provisioner.Transient, "removal is stuck"),
		fake.FailBefore(fake.OpInventory, provisioner.Transient, "a hiccup"),
		fake.FailAfter(fake.OpDestroy, provisioner.Transient, "a hiccup"),
		fake.FailBefore(fake.OpReserve, provisioner.Transient, "a hiccup"),
	}
	return faults[h.rand.IntN(len(faults))]
}

// end takes everything away, also the pool's.
func (h *history) end() {
	b := h.b
	if err := b.engine.Pools.Remove(b.t.Context(), platform, "builders"); err != nil {
		b.t.Fatal(err)
	}
	for _, id := range h.ids {
		if _, err := b.engine.Release(b.t.Context(), operator, id); err != nil {
			b.t.Fatal(err)
		}
	}
	waitUntil(b.t, "everything is gone", func() bool {
		b.pass(5 * time.Second)
		live, err := b.db.Live(b.t.Context())
		return err == nil && len(live) == 0 && len(b.left()) == 0
	})
}
