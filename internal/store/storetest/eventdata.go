package storetest

import (
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// eventData: what an event tells code is given back byte for byte, whichever way it is written and read, and what is no such data is
// not written.
func eventData(t *testing.T, open Open) {
	s := open(t)
	mustAdmit(t, s, environment(1))
	id := environment(1).ID
	data := []fleet.EventData{
		"", `{"v":1}`, `{"v":1,"kind":"volume","name":"a \u0000 \"b\" ☃ 💾"}`, `{"v":7,"z":[1.0,{"a":null}],"a":12345678901234567890}`,
		fleet.EventData(`{"v":1,"x":"` + strings.Repeat("x", fleet.MaxEventData-len(`{"v":1,"x":""}`)) + `"}`),
	}
	var together []fleet.Event
	for _, d := range data {
		together = append(together, fleet.Event{At: base, EnvironmentID: id, Kind: "told", Message: "a sentence", Data: d})
	}
	if err := s.AppendEvents(t.Context(), together...); err != nil {
		t.Fatal(err)
	}
	_, err := s.Change(t.Context(), id, store.Expect{}, func(*fleet.Environment) (store.Writes, error) {
		return store.Writes{Events: together}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, filter := range []store.EventFilter{{EnvironmentID: id}, {EnvironmentID: id, Newest: true}, {}} {
		got, err := s.EventsBy(t.Context(), filter)
		if err != nil {
			t.Fatal(err)
		}
		var kept []fleet.EventData
		for _, e := range got {
			if e.Kind == "told" {
				kept = append(kept, e.Data)
			} else if e.Data != "" {
				t.Errorf("an event that was given none has the data %s", e.Data)
			}
		}
		same(t, kept, append(data[:len(data):len(data)], data...))
	}

	events, _, err := s.Marks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []fleet.EventData{"{}", "[1]", "text", `{"v":0}`, `{"v":1}{}`, data[4] + " "} {
		err := s.AppendEvents(t.Context(), fleet.Event{At: base, EnvironmentID: id, Kind: "told", Data: bad})
		wantCode(t, err, fleet.CodeInternal)
	}
	if after, _, err := s.Marks(t.Context()); err != nil || after != events {
		t.Errorf("%d events, %v, after what could not be written; want %d", after, err, events)
	}
}
