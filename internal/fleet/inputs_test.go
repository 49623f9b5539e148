package fleet_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/fleet"
)

func ptr(f float64) *float64 { return &f }

var withInputs = fleet.Blueprint{
	Ref: fleet.BlueprintRef{Name: "build", Version: "1.0.0"},
	Inputs: []fleet.Input{
		{Name: "shm_mib", Type: "integer", Default: int64(64), Min: ptr(16), Max: ptr(1024)},
		{Name: "ratio", Type: "number", Default: 0.5, Min: ptr(0)},
		{Name: "debug", Type: "boolean", Default: false},
		{Name: "channel", Type: "string", Default: "stable", Enum: []any{"stable", "edge"}},
		{Name: "tag", Type: "string", Default: "", Pattern: `[a-z]*|v[0-9.]+`, Max: ptr(8)},
	},
}

func TestCheckInputsFillsDefaults(t *testing.T) {
	got, err := fleet.CheckInputs(withInputs, nil)
	want := map[string]any{"shm_mib": int64(64), "ratio": 0.5, "debug": false, "channel": "stable", "tag": ""}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
}

func TestCheckInputsConverts(t *testing.T) {
	cases := []struct {
		name        string
		given, want any
	}{
		{"shm_mib", 128.0, int64(128)}, {"shm_mib", "128", int64(128)}, {"shm_mib", json.Number("128"), int64(128)},
		{"shm_mib", 16, int64(16)}, {"shm_mib", int64(1024), int64(1024)},
		{"ratio", "1e3", 1000.0}, {"ratio", int64(2), 2.0}, {"ratio", 2, 2.0}, {"ratio", json.Number("0.25"), 0.25}, {"ratio", 0.0, 0.0},
		{"debug", "true", true}, {"debug", "false", false}, {"debug", true, true},
		{"channel", "edge", "edge"}, {"tag", "v1.10", "v1.10"},
	}
	for _, c := range cases {
		got, err := fleet.CheckInputs(withInputs, map[string]any{c.name: c.given})
		if err != nil || got[c.name] != c.want {
			t.Errorf("%s = %#v gives %#v, %v; want %#v", c.name, c.given, got[c.name], err, c.want)
		}
	}
}

func TestCheckInputsRefuses(t *testing.T) {
	cases := []struct {
		name  string
		given any
		want  string
	}{
		{"shm_mib", 8, "input shm_mib: got 8, want an integer from 16 to 1024"},
		{"shm_mib", "1025", `input shm_mib: got "1025", want an integer from 16 to 1024`},
		{"shm_mib", 64.5, "input shm_mib: got 64.5, want an integer from 16 to 1024"},
		{"shm_mib", json.Number("1e2"), "input shm_mib: got 1e2, want an integer from 16 to 1024"},
		{"shm_mib", math.Inf(1), "input shm_mib: got +Inf, want an integer from 16 to 1024"},
		{"shm_mib", "", `input shm_mib: got "", want an integer from 16 to 1024`},
		{"shm_mib", true, "input shm_mib: got true, want an integer from 16 to 1024"},
		{"shm_mib", nil, "input shm_mib: got nothing, want an integer from 16 to 1024"},
		{"shm_mib", []any{1}, "input shm_mib: got a list, want an integer from 16 to 1024"},
		{"ratio", "NaN", `input ratio: got "NaN", want a number of at least 0`},
		{"ratio", math.NaN(), "input ratio: got NaN, want a number of at least 0"},
		{"ratio", -0.1, "input ratio: got -0.1, want a number of at least 0"},
		{"debug", "yes", `input debug: got "yes", want true or false`},
		{"debug", 1, "input debug: got 1, want true or false"},
		{"channel", "beta", `input channel: got "beta", want one of stable, edge`},
		{"tag", 1.1, "input tag: got 1.1, want text that matches [a-z]*|v[0-9.]+ of at most 8 bytes"},
		{"tag", json.Number("1"), "input tag: got 1, want text that matches [a-z]*|v[0-9.]+ of at most 8 bytes"},
		{"tag", "abcdefghi", `input tag: got "abcdefghi", want text that matches [a-z]*|v[0-9.]+ of at most 8 bytes`},
		{"tag", "abc1", `input tag: got "abc1", want text that matches [a-z]*|v[0-9.]+ of at most 8 bytes`},
		{"tag", "v1\nx", `input tag: got "v1\nx", want text that matches [a-z]*|v[0-9.]+ of at most 8 bytes`},
		{"smh_mib", 64, `input "smh_mib": got an unknown name, want perhaps shm_mib; known inputs: shm_mib, ratio, debug, channel, tag`},
		{"colour", 1, `input "colour": got an unknown name, want one of shm_mib, ratio, debug, channel, tag`},
	}
	for _, c := range cases {
		got, err := fleet.CheckInputs(withInputs, map[string]any{c.name: c.given})
		if err == nil || err.Error() != c.want || fleet.CodeOf(err) != fleet.CodeInvalid || got != nil {
			t.Errorf("%s = %#v gives %v\n got %v (%s)\nwant %s", c.name, c.given, got, err, fleet.CodeOf(err), c.want)
		}
	}
}

func TestCheckInputsTellsEverythingAtOnce(t *testing.T) {
	bp := fleet.Blueprint{Ref: fleet.BlueprintRef{Name: "web"}, Inputs: []fleet.Input{
		{Name: "port", Type: "integer"}, {Name: "host", Type: "string"},
	}}
	_, err := fleet.CheckInputs(bp, map[string]any{"port": "http", "z": 1, "a": 1})
	e, ok := errors.AsType[*fleet.Error](err)
	want := `input port: got "http", want an integer; input host: got nothing, want text; ` +
		`input "a": got an unknown name, want one of port, host; input "z": got an unknown name, want one of port, host`
	if !ok || e.Sentence != want || !strings.Contains(e.Hint, "bothy blueprint show web") {
		t.Errorf("got %+v\nwant %s", err, want)
	}
	_, err = fleet.CheckInputs(fleet.Blueprint{Ref: fleet.BlueprintRef{Name: "bare"}}, map[string]any{"x": 1})
	if err == nil || err.Error() != `input "x": got an unknown name, and blueprint bare has no inputs` {
		t.Errorf("got %v", err)
	}
}

// TestCheckInputsNamesTheFields: each wrong input is a field, and the sentence is what they say, in their order.
func TestCheckInputsNamesTheFields(t *testing.T) {
	bp := fleet.Blueprint{Inputs: []fleet.Input{{Name: "a", Type: "integer"}, {Name: "b", Type: "integer"}, {Name: "c", Type: "string", Default: "x"}}}
	given := map[string]any{"b": "much; more", "c": "fine", "d; e": 1}
	_, err := fleet.CheckInputs(bp, given)
	e, ok := errors.AsType[*fleet.Error](err)
	if !ok {
		t.Fatal(err)
	}
	var paths, messages []string
	for _, f := range e.Fields {
		paths, messages = append(paths, f.Path), append(messages, f.Message)
	}
	if diff := cmp.Diff([]string{"inputs.a", "inputs.b", "inputs.d; e"}, paths); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if got := strings.Join(messages, "; "); got != e.Sentence {
		t.Errorf("the fields say %q, the sentence %q", got, e.Sentence)
	}
	for i := range 30 {
		given[fmt.Sprint("more", i)] = 1
	}
	_, err = fleet.CheckInputs(bp, given)
	if e, _ = errors.AsType[*fleet.Error](err); len(e.Fields) != 21 || e.Fields[20] != (fleet.Field{Message: "and 13 more"}) {
		t.Errorf("of many there are %d, the last %+v", len(e.Fields), e.Fields[len(e.Fields)-1])
	}
}

func TestCheckInputsBoundsText(t *testing.T) {
	bp := fleet.Blueprint{Inputs: []fleet.Input{{Name: "s", Type: "string"}, {Name: "p", Type: "string", Default: "", Pattern: "("}}}
	for _, text := range []string{strings.Repeat("x", 16<<10+1), "a\x00b"} {
		if _, err := fleet.CheckInputs(bp, map[string]any{"s": text}); err == nil || len(err.Error()) > 300 {
			t.Errorf("%d bytes of text give %v", len(text), err)
		}
	}
	if _, err := fleet.CheckInputs(bp, map[string]any{"s": "", "p": "x"}); err == nil || !strings.Contains(err.Error(), "pattern is wrong") {
		t.Errorf("a wrong pattern gives %v", err)
	}
}

// A whole number beyond 2^53 may have lost digits in JSON before it came here.
func TestCheckInputsTakesNoNumberThatLostDigits(t *testing.T) {
	bp := fleet.Blueprint{Inputs: []fleet.Input{{Name: "n", Type: "integer"}}}
	for _, v := range []any{float64(1<<53 + 2), 1e300, -1e19} {
		if got, err := fleet.CheckInputs(bp, map[string]any{"n": v}); err == nil {
			t.Errorf("%v is taken as %v", v, got["n"])
		}
	}
	for _, v := range []any{float64(1 << 53), "9223372036854775807", json.Number("-9223372036854775808")} {
		if _, err := fleet.CheckInputs(bp, map[string]any{"n": v}); err != nil {
			t.Errorf("%v: %v", v, err)
		}
	}
}

// Whatever is given: either an error, or every input with a value of its own type that passes again unchanged.
func TestCheckInputsIsStable(t *testing.T) {
	value := rapid.OneOf(
		rapid.Just[any](nil), rapid.Map(rapid.Bool(), toAny[bool]), rapid.Map(rapid.Float64(), toAny[float64]),
		rapid.Map(rapid.Int64Range(-10, 2000), toAny[int64]), rapid.Map(rapid.String(), toAny[string]),
		rapid.Map(rapid.StringMatching(`[0-9]{1,4}`), toAny[string]), rapid.SampledFrom([]any{"true", "edge", "v1.2", "stable"}),
	)
	rapid.Check(t, func(t *rapid.T) {
		given := rapid.MapOfN(rapid.SampledFrom([]string{"shm_mib", "ratio", "debug", "channel", "tag", "other"}), value, 0, 3).Draw(t, "given")
		got, err := fleet.CheckInputs(withInputs, given)
		if err != nil {
			if fleet.CodeOf(err) != fleet.CodeInvalid {
				t.Fatalf("code %s of %v", fleet.CodeOf(err), err)
			}
			return
		}
		if len(got) != len(withInputs.Inputs) {
			t.Fatalf("%d values for %d inputs", len(got), len(withInputs.Inputs))
		}
		again, err := fleet.CheckInputs(withInputs, got)
		if diff := cmp.Diff(got, again); diff != "" || err != nil {
			t.Fatalf("a second check: %v\n%s", err, diff)
		}
	})
}

func toAny[T any](v T) any { return v }

func TestNearest(t *testing.T) {
	words := []string{"small", "medium", "large", "ttl"}
	for word, want := range map[string]string{
		"smal": "small", "smlal": "small", "LARGE": "", "lrage": "large", "mediun": "medium", "tl": "ttl", "x": "", "": "",
		"huge": "", strings.Repeat("small", 100): "",
	} {
		if got := fleet.Nearest(word, words); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
