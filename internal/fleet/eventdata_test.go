package fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
)

// TestEventDataIsReadBack: whatever the texts hold, what is written is what is read.
func TestEventDataIsReadBack(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := fleet.ResourceSeen{
			Kind: rapid.StringN(0, 40, -1).Draw(rt, "kind"), ID: rapid.StringN(0, 40, -1).Draw(rt, "id"), Name: rapid.StringN(0, 40, -1).Draw(rt, "name"),
		}
		if rapid.Bool().Draw(rt, "told") {
			want.CreatedAt = new(time.UnixMicro(rapid.Int64Range(0, 1<<52).Draw(rt, "at")).UTC())
		}
		data, err := fleet.WriteEventData(want)
		if err != nil {
			rt.Fatal(err)
		}
		got, err := fleet.ReadEventData[fleet.ResourceSeen](fleet.Event{Kind: fleet.EventResourceSeen, Data: data})
		if err != nil {
			rt.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("%s is read as another (-want +got):\n%s", data, diff)
		}
	})
}

// TestEventDataHasOneForm keeps what is written: rows of it are in databases.
func TestEventDataHasOneForm(t *testing.T) {
	at := time.Date(2026, 5, 6, 12, 0, 0, 5000, time.UTC)
	for want, r := range map[string]fleet.ResourceSeen{
		`{"v":1,"kind":"volume"}`: {Kind: "volume"},
		`{"v":1,"kind":"load-balancer","id":"lb, id 7","name":"of \"a\"","created_at":"2026-05-06T12:00:00.000005Z"}`: {
			Kind: "load-balancer", ID: "lb, id 7", Name: `of "a"`, CreatedAt: &at,
		},
	} {
		if got, err := fleet.WriteEventData(r); err != nil || string(got) != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
}

// TestEventDataIsRefused: what is not known is never read as if it were, and the error says what it is.
func TestEventDataIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		kind, data, want string
	}{
		"a later version":         {"resource.seen", `{"v":2,"kind":"volume"}`, "version 2, this bothyd reads version 1"},
		"a version of two digits": {"resource.seen", `{"v":10,"kind":"volume"}`, "version 10"},
		"no version":              {"resource.seen", `{"kind":"volume"}`, "no version"},
		"a version that is text":  {"resource.seen", `{"v":"1","kind":"volume"}`, "no version"},
		"version 0":               {"resource.seen", `{"v":0,"kind":"volume"}`, "no version"},
		"a field of somebody's":   {"resource.seen", `{"v":1,"kind":"volume","region":"eu"}`, `"region"`},
		"another type":            {"resource.seen", `{"v":1,"kind":7}`, "kind"},
		"no object":               {"resource.seen", `[1]`, "read data"},
		"null":                    {"resource.seen", `null`, "no version"},
		"something after it":      {"resource.seen", `{"v":1,"kind":"volume"}{}`, "read data"},
		"half":                    {"resource.seen", `{"v":1,"kind":"vol`, "read data"},
		"nothing":                 {"resource.seen", ``, "no data"},
		"another kind of event":   {"lease.extended", `{"v":1,"kind":"volume"}`, "not that of an event resource.seen"},
		"too much":                {"resource.seen", `{"v":1,"kind":"` + strings.Repeat("x", fleet.MaxEventData) + `"}`, "above the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fleet.ReadEventData[fleet.ResourceSeen](fleet.Event{Seq: 17, Kind: c.kind, Data: fleet.EventData(c.data)})
			if fleet.CodeOf(err) != fleet.CodeInternal || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "event 17") {
				t.Errorf("got %+v, %v, want an error that says %q", got, err, c.want)
			}
			if got != (fleet.ResourceSeen{}) {
				t.Errorf("beside an error there is %+v", got)
			}
		})
	}
}

func TestEventDataIsBounded(t *testing.T) {
	if _, err := fleet.WriteEventData(fleet.ResourceSeen{Kind: strings.Repeat("x", fleet.MaxEventData)}); fleet.CodeOf(err) != fleet.CodeInternal {
		t.Errorf("got %v, want an error", err)
	}
	for data, ok := range map[fleet.EventData]bool{
		"": true, `{"v":1}`: true, `{"v":9,"anything":[1]}`: true,
		"{}": false, "null": false, "[]": false, "7": false, `{"v":1`: false, `{"v":1}x`: false, `{"v":1.5}`: false, `{"v":-1}`: false,
		"{\"v\":1,\"a\":\"\xff\"}": false, "{\"v\":1,\"a\":\"\x00\"}": false,
		fleet.EventData(`{"v":1,"a":"` + strings.Repeat("x", fleet.MaxEventData) + `"}`): false,
	} {
		if err := data.Check(); (err == nil) != ok {
			t.Errorf("%.40s: %v", data, err)
		}
	}
}
