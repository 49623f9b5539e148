package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
)

// TestNothingByHalf lets the last statement of each write fail by a trigger:
// what the statements before it wrote must be gone as well.
func TestNothingByHalf(t *testing.T) {
	s := openAt(t, dsn(t.TempDir()))
	admitted, err := s.Admit(t.Context(), store.Admission{Env: sample(1), Event: fleet.Event{Kind: "requested"}})
	if err != nil {
		t.Fatal(err)
	}
	env, err := s.Change(t.Context(), admitted.Env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		e.Work.Generation = 1
		return store.Writes{}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for serial := range int64(store.KeptStates) {
		if err := s.SaveState(t.Context(), env.ID, 1, serial, []byte("state")); err != nil {
			t.Fatal(err)
		}
	}
	for name, on := range map[string]string{
		"events": "INSERT ON events WHEN NEW.kind = 'bad'", "entries": "INSERT ON entries",
		"states": "DELETE ON terraform_states", "lines": "INSERT ON log_lines WHEN NEW.line = 'bad'",
	} {
		trigger := "CREATE TRIGGER refuse_" + name + " BEFORE " + on + " BEGIN SELECT RAISE(FAIL, 'refused'); END"
		if _, err := s.WriteDB().ExecContext(t.Context(), trigger); err != nil {
			t.Fatal(err)
		}
	}
	bad := fleet.Event{Kind: "bad"}
	writes := map[string]func() error{
		"Admit": func() error {
			_, err := s.Admit(t.Context(), store.Admission{Env: sample(2), Event: bad})
			return err
		},
		"Change": func() error {
			_, err := s.Change(t.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
				e.State = fleet.Provisioning
				return store.Writes{Events: []fleet.Event{{Kind: "good"}}, Entries: []ledger.Entry{{AmountMicros: 1}}}, nil
			})
			return err
		},
		"SaveState": func() error { return s.SaveState(t.Context(), env.ID, 1, store.KeptStates, []byte("too much")) },
		"AppendLog": func() error {
			return s.AppendLog(t.Context(), env.ID, []fleet.LogLine{{Text: "good"}, {Text: "bad"}})
		},
	}
	for name, write := range writes {
		if err := write(); err == nil {
			t.Errorf("%s gave no error", name)
		}
	}
	live, err := s.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]fleet.Environment{env}, live); diff != "" {
		t.Errorf("rows are there by half (-want +got):\n%s", diff)
	}
	events, err := s.Events(t.Context(), "", 0, 0)
	if err != nil || len(events) != 1 {
		t.Errorf("%d events, error %v; want the first admission's", len(events), err)
	}
	if _, serial, err := s.LatestState(t.Context(), env.ID); err != nil || serial != store.KeptStates-1 {
		t.Errorf("the newest state is %d, error %v; want %d", serial, err, store.KeptStates-1)
	}
	if lines, err := s.Log(t.Context(), env.ID, 0, time.Time{}, 0); err != nil || len(lines) != 0 {
		t.Errorf("%d log lines, error %v; want none", len(lines), err)
	}
}
