package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

// TestDatabaseSetBack: what this process wrote is known to it without asking, and a transaction on a database that was
// restored to before that writes nothing, until the process is told to take it as it is.
func TestDatabaseSetBack(t *testing.T) {
	for name, open := range map[string]func(*testing.T) (s *store.Store, exec func(string) error){
		"sqlite": func(t *testing.T) (*store.Store, func(string) error) {
			s := open(t)
			return s, func(statement string) error {
				_, err := s.WriteDB().ExecContext(t.Context(), statement)
				return err
			}
		},
		"postgres": func(t *testing.T) (*store.Store, func(string) error) {
			dsn := pgtest.Shared(t).Database(t)
			conn := connect(t, dsn)
			return openAt(t, dsn), func(statement string) error {
				_, err := conn.Exec(t.Context(), statement)
				return err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, exec := open(t)
			write := func() error { return s.AppendEvents(t.Context(), fleet.Event{Kind: "one"}, fleet.Event{Kind: "two"}) }
			wantSeen := func() {
				t.Helper()
				events, receipts, err := s.Marks(t.Context())
				if gotEvents, gotReceipts := s.Seen(); err != nil || gotEvents != events || gotReceipts != receipts || events == 0 {
					t.Errorf("it knows of event %d and receipt %d, there are %d and %d; %v", gotEvents, gotReceipts, events, receipts, err)
				}
			}
			if err := write(); err != nil {
				t.Fatal(err)
			}
			wantSeen()
			// Those that share a transaction are known to each that comes back from it.
			var all sync.WaitGroup
			for n := range 20 {
				all.Go(func() {
					request := store.Admission{Env: sample(n), RequestHash: "hash", Event: fleet.Event{Kind: "requested"}}
					if _, err := s.Admit(context.WithoutCancel(t.Context()), request); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			wantSeen()
			env, err := s.Change(t.Context(), sample(1).ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
				e.State = fleet.Destroyed
				return store.Writes{Events: []fleet.Event{{Kind: "gone"}}, Receipt: func(r fleet.Receipt) (fleet.Receipt, error) {
					r.Hash, r.Body, r.Signature = "hash", []byte("{}"), "signature"
					return r, nil
				}}, nil
			})
			if err != nil || env.State != fleet.Destroyed {
				t.Fatal(err)
			}
			if wantSeen(); len(receiptsOf(t, s)) != 1 {
				t.Error("there is no receipt")
			}

			for _, statement := range []string{"DELETE FROM events WHERE seq > 1", "UPDATE counters SET value = 1 WHERE name = 'events'"} {
				if err := exec(statement); err != nil {
					t.Fatal(err)
				}
			}
			if err := write(); !errors.Is(err, store.ErrSetBack) || fleet.CodeOf(err) != fleet.CodeUnavailable {
				t.Errorf("on a database that was set back: %v", err)
			}
			if events, _, err := s.Marks(t.Context()); err != nil || events != 1 {
				t.Errorf("it was written to all the same: there are %d events, %v", events, err)
			}
			s.ForgetSeen()
			if err := write(); err != nil {
				t.Error(err)
			}
			if events, _ := s.Seen(); events != 3 {
				t.Errorf("then it knows of %d events, want 3", events)
			}
		})
	}
}

func receiptsOf(t *testing.T, s *store.Store) []fleet.Receipt {
	t.Helper()
	all, err := s.Receipts(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	return all
}
