package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/fleet"
)

// TestEventDataReachesTheClient: as it was written, to the last digit, and nothing where there is none.
func TestEventDataReachesTheClient(t *testing.T) {
	const data = `{"v":7,"at":12345678901234567890,"name":"a \"b\" ☃","none":null,"parts":[1.0]}`
	d := newDouble()
	d.add(leased("otter"))
	d.events = []fleet.Event{{Seq: 1, At: noon, Kind: "x", Message: "m", Data: data}, {Seq: 2, At: noon, Kind: "x", Message: "m"}}
	r := start(t, d)
	got, err := r.client().Events(limited(t), "otter", 0, 0)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v, want 2 events", got, err)
	}
	var want map[string]json.RawMessage
	if err := json.Unmarshal([]byte(data), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got[0].Data); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if text, err := json.Marshal(got[1]); err != nil || strings.Contains(string(text), `"data"`) {
		t.Errorf("an event without data is %s, %v", text, err)
	}
}
