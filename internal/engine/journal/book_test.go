package journal

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/receipt"
	"github.com/bothy-env/bothy/internal/store"
)

var bookBase = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// walker changes a row as rooms do and keeps what is booked.
type walker struct {
	j       *Journal
	env     fleet.Environment
	entries []ledger.Entry
	now     time.Time
	// receipts counts those that were asked for.
	receipts int
}

func newWalker(t testing.TB, rate int64) *walker {
	t.Helper()
	return &walker{
		j: New(nil, nil, "inst", ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), nil), now: bookBase,
		env: fleet.Environment{
			ID: "env-a", Name: "a", State: fleet.Pending, CreatedAt: bookBase, Pool: "builders",
			Size: fleet.Size{Name: "small", RateMicros: rate, Currency: "USD"},
		},
	}
}

// to moves the row to a state after a time, as rooms do.
func (w *walker) to(state fleet.State, after time.Duration) error {
	w.now = w.now.Add(after)
	before := w.env
	w.env.State = state
	switch state {
	case fleet.Leased:
		w.env.Tenant, w.env.Team, w.env.Owner = "acme", "core", "ann"
	case fleet.Destroyed:
		w.env.DestroyedAt = w.now
		ledger.Gone(&w.env, w.now)
	}
	return w.book(before)
}

// begin is when the first resource is written down.
func (w *walker) begin(after time.Duration) error {
	w.now = w.now.Add(after)
	before := w.env
	ledger.Begin(&w.env, w.now)
	return w.book(before)
}

func (w *walker) book(before fleet.Environment) error {
	var writes store.Writes
	if before.State == fleet.Destroying && w.env.State == fleet.Destroyed {
		proven := w.j.ReceiptBody(w.env)
		proven.Checks = []receipt.Check{{At: w.now, What: "everything"}}
		writes.Receipt = w.j.Sign(proven)
	}
	if err := w.j.Book(&before, &w.env, w.now, &writes); err != nil {
		return err
	}
	w.entries = append(w.entries, writes.Entries...)
	if writes.Receipt != nil {
		w.receipts++
		r, err := writes.Receipt(fleet.Receipt{Seq: 1, EnvironmentID: w.env.ID, PrevHash: receipt.First()})
		if err != nil {
			return err
		}
		_, err = receipt.Verify(receipt.Receipt{
			Seq: r.Seq, Environment: r.EnvironmentID, At: r.At, Body: r.Body, PrevHash: r.PrevHash, Hash: r.Hash, Signature: r.Signature,
		}, w.j.key.Public().(ed25519.PublicKey))
		return err
	}
	return nil
}

// check compares the entries with the charge of the whole life.
func (w *walker) check() error {
	from := w.env.BilledFrom
	for _, entry := range w.entries {
		if !entry.From.Equal(from) || !entry.Until.After(from) {
			return fmt.Errorf("an entry is of %s to %s, want it to begin at %s", entry.From, entry.Until, from)
		}
		from = entry.Until
	}
	if end := w.env.BilledUntil; !from.Equal(end) && w.env.BilledFrom.Before(end) {
		return fmt.Errorf("booked until %s, want until %s", from, end)
	}
	if got, want := Charged(w.entries), ledger.Charge(w.env.Size.RateMicros, w.env.BilledFrom, w.env.BilledUntil); got != want {
		return fmt.Errorf("booked %d, want %d", got, want)
	}
	if w.receipts != 1 {
		return fmt.Errorf("%d receipts, want 1", w.receipts)
	}
	return nil
}

// TestPromiseCostOverEveryLife walks every way from pending to destroyed that the table of moves
// allows. The entries follow each other without gap or overlap and add up to the charge for the whole life.
func TestPromiseCostOverEveryLife(t *testing.T) {
	lives := 0
	var walk func(path []fleet.State)
	walk = func(path []fleet.State) {
		last := path[len(path)-1]
		if last == fleet.Destroyed {
			lives++
			for _, begun := range []int{-1, 1, 2} { // never, as it is begun, late
				w := newWalker(t, 3_599_999)
				for i, state := range path[1:] {
					if err := w.to(state, time.Duration(i+1)*1_234_567*time.Microsecond); err != nil {
						t.Fatalf("%v: %v", path, err)
					}
					if i+1 == begun && state != fleet.Destroyed {
						if err := w.begin(7 * time.Millisecond); err != nil {
							t.Fatalf("%v: %v", path, err)
						}
					}
				}
				if err := w.check(); err != nil {
					t.Errorf("%v, begun at step %d: %v", path, begun, err)
				}
			}
			return
		}
		for _, next := range fleet.States() {
			if last.CanBecome(next) {
				walk(append(slices.Clone(path), next))
			}
		}
	}
	walk([]fleet.State{fleet.Pending})
	if lives < 9 {
		t.Errorf("only %d ways to live and die were walked", lives)
	}
}

// TestPromiseCostOfAnyLife does the same at random times, with changes that move no state in between.
func TestPromiseCostOfAnyLife(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWalker(t, rapid.Int64Range(0, 1_000_000_000).Draw(rt, "rate"))
		step := func() time.Duration {
			return time.Duration(rapid.Int64Range(0, 100_000_000_000).Draw(rt, "microseconds")) * time.Microsecond / 1000
		}
		for w.env.State != fleet.Destroyed {
			if rapid.Bool().Draw(rt, "begins") && w.env.State != fleet.Pending {
				if err := w.begin(step()); err != nil {
					rt.Fatal(err)
				}
			}
			var next []fleet.State
			for _, s := range fleet.States() {
				if w.env.State.CanBecome(s) {
					next = append(next, s)
				}
			}
			if err := w.to(rapid.SampledFrom(next).Draw(rt, "state"), step()); err != nil {
				rt.Fatal(err)
			}
		}
		if err := w.check(); err != nil {
			rt.Fatal(err)
		}
	})
}

// TestNothingEndsWithoutProof: what was begun is not recorded as gone unless somebody brings the receipt.
func TestNothingEndsWithoutProof(t *testing.T) {
	w := newWalker(t, 1)
	before, after := w.env, w.env
	before.State, after.State = fleet.Destroying, fleet.Destroyed
	if err := w.j.Book(&before, &after, w.now, &store.Writes{}); err == nil {
		t.Error("it was recorded as gone without a proof")
	}
}
