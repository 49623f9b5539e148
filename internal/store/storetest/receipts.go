package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

func receipts(t *testing.T, open Open) {
	t.Run("chain", func(t *testing.T) { receiptChain(t, open(t)) })
	t.Run("at once", func(t *testing.T) { receiptsAtOnce(t, open(t)) })
	t.Run("errors roll back", func(t *testing.T) { receiptRollBack(t, open(t)) })
}

// sign fills a receipt as the engine does, but for the signature.
func sign(next fleet.Receipt) (fleet.Receipt, error) {
	next.At, next.Body, next.Signature = base, fmt.Appendf(nil, "{%q:\x00%d}", next.EnvironmentID, next.Seq), "signature"
	sum := sha256.Sum256(append([]byte(next.PrevHash), next.Body...))
	next.Hash = hex.EncodeToString(sum[:])
	return next, nil
}

// gone leads an environment that is destroying to its end, with a receipt.
func gone(s *store.Store, t tb, id string, sign func(fleet.Receipt) (fleet.Receipt, error)) error {
	_, err := s.Change(t.Context(), id, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		e.State = fleet.Destroyed
		return store.Writes{Receipt: sign}, nil
	})
	return err
}

// mustChain checks that receipts follow each other without a gap, and gives them.
func mustChain(t tb, s *store.Store) []fleet.Receipt {
	t.Helper()
	all, err := s.Receipts(t.Context(), 0, 0)
	if err != nil {
		t.Fatalf("read receipts: %v", err)
	}
	prev := strings.Repeat("0", 64)
	for i, r := range all {
		want, _ := sign(fleet.Receipt{Seq: int64(i + 1), EnvironmentID: r.EnvironmentID, PrevHash: prev})
		same(t, r, want)
		prev = r.Hash
	}
	return all
}

func receiptChain(t *testing.T, s *store.Store) {
	for n := range 3 {
		id := admitIn(t, s, n, fleet.Destroying).ID
		_, err := s.Receipt(t.Context(), id)
		wantCode(t, err, fleet.CodeNotFound)
		if err := gone(s, t, id, sign); err != nil {
			t.Fatal(err)
		}
	}
	all := mustChain(t, s)
	if len(all) != 3 {
		t.Fatalf("%d receipts", len(all))
	}
	one, err := s.Receipt(t.Context(), environment(1).ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, one, all[1])
	page, err := s.Receipts(t.Context(), 1, 1)
	if err != nil {
		t.Fatal(err)
	}
	same(t, page, all[1:2])
	if _, n, err := s.Marks(t.Context()); err != nil || n != 3 {
		t.Fatalf("the mark is at %d, %v", n, err)
	}
}

func receiptsAtOnce(t *testing.T, s *store.Store) {
	const n = 32
	for i := range n {
		admitIn(t, s, i, fleet.Destroying)
	}
	inParallel(n, 16, func(i int) {
		if err := gone(s, t, environment(i).ID, sign); err != nil {
			t.Errorf("environment %d: %v", i, err)
		}
	})
	if all := mustChain(t, s); len(all) != n {
		t.Fatalf("%d receipts, want %d", len(all), n)
	}
}

func receiptRollBack(t *testing.T, s *store.Store) {
	env := admitIn(t, s, 1, fleet.Destroying)
	own := errors.New("no key")
	if err := gone(s, t, env.ID, func(fleet.Receipt) (fleet.Receipt, error) { return fleet.Receipt{}, own }); !errors.Is(err, own) {
		t.Fatalf("got %v, want its own error", err)
	}
	for name, alter := range map[string]func(*fleet.Receipt){
		"another number":       func(r *fleet.Receipt) { r.Seq++ },
		"another before it":    func(r *fleet.Receipt) { r.PrevHash = strings.Repeat("1", 64) },
		"another environment":  func(r *fleet.Receipt) { r.EnvironmentID = "other" },
		"without its own hash": func(r *fleet.Receipt) { r.Hash = "" },
	} {
		err := gone(s, t, env.ID, func(next fleet.Receipt) (fleet.Receipt, error) {
			r, err := sign(next)
			alter(&r)
			return r, err
		})
		if fleet.CodeOf(err) != fleet.CodeInternal {
			t.Errorf("%s: got %v", name, err)
		}
	}
	same(t, mustGet(t, s, env.ID), env)
	if err := gone(s, t, env.ID, sign); err != nil {
		t.Fatal(err)
	}
	// There is one for each, and no number was lost on the way.
	wantCode(t, gone(s, t, env.ID, sign), fleet.CodeConflict)
	if all := mustChain(t, s); len(all) != 1 {
		t.Fatalf("%d receipts", len(all))
	}
}

func orphans(t *testing.T, open Open) {
	s := open(t)
	found := func(ids ...string) []fleet.Orphan {
		var all []fleet.Orphan
		for _, id := range ids {
			all = append(all, fleet.Orphan{
				Kind: "container", ID: id, Name: "bothy-" + id, EnvironmentID: "e" + id,
				Labels: map[string]string{"io.bothy.instance": "i"}, CreatedAt: base.Add(time.Nanosecond),
			})
		}
		return all
	}
	known := func(host string, first, last time.Time, sightings int, id string) fleet.Orphan {
		o := found(id)[0]
		o.Host, o.CreatedAt, o.FirstSeen, o.LastSeen, o.Sightings = host, base, first, last, sightings
		return o
	}
	see := func(host string, now time.Time, ids []string, want ...fleet.Orphan) {
		t.Helper()
		got, err := s.SeeOrphans(t.Context(), host, found(ids...), now)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, want)
	}
	first, second, third := base, base.Add(time.Minute), base.Add(2*time.Minute)
	see("one", first, nil)
	see("one", first, []string{"b", "a"}, known("one", first, first, 1, "a"), known("one", first, first, 1, "b"))
	see("two", first, []string{"a"}, known("two", first, first, 1, "a"))
	see("one", second, []string{"b", "c"}, known("one", first, second, 2, "b"), known("one", second, second, 1, "c"))
	see("one", third, []string{"b", "a"}, known("one", third, third, 1, "a"), known("one", first, third, 3, "b"))
	all, err := s.Orphans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, all, []fleet.Orphan{known("one", third, third, 1, "a"), known("one", first, third, 3, "b"), known("two", first, first, 1, "a")})
	see("one", third, nil)
	see("two", third, nil)
	if all, err = s.Orphans(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("%v, %v", all, err)
	}
}

func adopt(t *testing.T, open Open) {
	s := open(t)
	env := environment(1)
	env.State, env.SandboxID, env.HeldMicros = fleet.Leased, "c0ffee", 5
	env.Lease.Start, env.Lease.End = base, base.Add(time.Hour)
	got, err := s.Adopt(t.Context(), env, fleet.Event{At: base, Kind: "orphan.adopted"})
	if err != nil {
		t.Fatal(err)
	}
	env.Revision = 1
	same(t, got, env)
	same(t, mustGet(t, s, env.ID), env)
	same(t, kinds(t, s, env.ID), []string{"orphan.adopted"})
	_, err = s.Adopt(t.Context(), env, fleet.Event{})
	wantCode(t, err, fleet.CodeConflict)
	env.ID = "another" // the name is taken
	_, err = s.Adopt(t.Context(), env, fleet.Event{})
	wantCode(t, err, fleet.CodeConflict)
	env.Name, env.State = "other", "asleep"
	_, err = s.Adopt(t.Context(), env, fleet.Event{})
	wantCode(t, err, fleet.CodeInternal)
	mustAddUp(t, s)
}
