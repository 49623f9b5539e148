package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestPercentile(t *testing.T) {
	for _, c := range []struct {
		sample []float64
		p      float64
		want   float64
	}{
		{[]float64{7}, 50, 7},
		{[]float64{7}, 99, 7},
		{[]float64{3, 1, 2}, 50, 2},
		{[]float64{4, 3, 1, 2}, 50, 2},
		{[]float64{3, 1, 2}, 99, 3},
		{[]float64{3, 1, 2}, 1, 1},
		{[]float64{3, 1, 2}, 100, 3},
	} {
		if got := percentile(c.sample, c.p); got != c.want {
			t.Errorf("percentile(%v, %v) = %v, want %v", c.sample, c.p, got, c.want)
		}
	}
	if got := percentile(nil, 50); !math.IsNaN(got) {
		t.Errorf("percentile of nothing = %v, want NaN", got)
	}
}

func TestPercentileIsAMeasuredValueWithThatManyBelow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sample := rapid.SliceOfN(rapid.Float64Range(0, 1e6), 1, 200).Draw(t, "sample")
		p := rapid.Float64Range(0.1, 100).Draw(t, "p")
		before := slices.Clone(sample)
		got := percentile(sample, p)
		if !slices.Equal(before, sample) {
			t.Fatalf("the sample was changed")
		}
		if !slices.Contains(sample, got) {
			t.Fatalf("%v was not measured", got)
		}
		atMost := 0
		for _, v := range sample {
			if v <= got {
				atMost++
			}
		}
		if float64(atMost) < p/100*float64(len(sample)) {
			t.Fatalf("only %d of %d are at most %v", atMost, len(sample), got)
		}
	})
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		name string
		row  result
		want string
	}{
		{"no goal", result{ours: []float64{1}}, "-"},
		{"ratio at the bound", result{ours: []float64{1}, hand: []float64{2}, goal: times(0.5)}, "reached"},
		{"ratio over the bound", result{ours: []float64{1.1}, hand: []float64{2}, goal: times(0.5)}, "missed"},
		{"ratio without a hand", result{ours: []float64{1}, goal: times(0.5)}, "unknown"},
		{"hand took nothing", result{ours: []float64{1}, hand: []float64{0}, goal: times(0.5)}, "unknown"},
		{"figure under the bound", result{ours: []float64{49}, goal: atMost(50)}, "reached"},
		{"figure over the bound", result{ours: []float64{51}, hand: []float64{100}, goal: atMost(50)}, "missed"},
		{"at the least", result{ours: []float64{500}, goal: atLeast(500)}, "reached"},
		{"under the least", result{ours: []float64{499}, goal: atLeast(500)}, "missed"},
		{"the slowest too slow", result{ours: []float64{1, 1, 51}, goal: goal{bound: 10, p99: 50}}, "missed"},
		{"both bounds", result{ours: []float64{1, 1, 50}, goal: goal{bound: 10, p99: 50}}, "reached"},
		{"the median is not the worst", result{ours: []float64{1, 1, 3}, worst: true, goal: atMost(2)}, "missed"},
		{"nothing measured", result{goal: atMost(50)}, "unknown"},
	} {
		if got := c.row.verdict(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

var rows = []result{
	{name: "delete", unit: "ms", ours: []float64{300, 100, 200}, hand: []float64{500, 400, 500}, goal: times(0.5), how: "client"},
	{name: "idle-memory", unit: "MiB", ours: []float64{41.25}, goal: atMost(60)},
	{name: "other", unit: "ms", ours: []float64{1.234}},
	{name: "claim", unit: "ms", ours: []float64{1, 2, 3}, worst: true, goal: goal{bound: 10, p99: 50}},
	{name: "claims", unit: "/s", ours: []float64{700}, goal: atLeast(500)},
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := printTable(&out, rows); err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"NAME         UNIT  OURS  P99   BY HAND  RATIO  GOAL               N  HOW",
		"delete       ms    200   300   500      0.40   <= 0.5 x  reached  3  client",
		"idle-memory  MiB   41.2  41.2  -        -      <= 60 MiB reached  1  ",
		"other        ms    1.23  1.23  -        -      -         -        1  ",
		"claim        ms    3.00  3.00  -        -      <= 10 ms, p99 <= 50 ms reached 3 ",
		"claims       /s    700   700   -        -      >= 500 /s reached  1  ",
		"",
	}, "\n")
	if diff := cmp.Diff(strings.Fields(want), strings.Fields(out.String())); diff != "" {
		t.Errorf("table (-want +got):\n%s\n%s", diff, out.String())
	}
	// Aligned: a column begins at the same place in every line.
	lines := strings.Split(strings.TrimRight(out.String(), "\n"), "\n")
	if at := strings.Index(lines[0], "OURS"); strings.Index(lines[1], "200") != at || strings.Index(lines[2], "41.2") != at {
		t.Errorf("columns do not line up:\n%s", out.String())
	}
}

func TestJSON(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bench.json")
	if err := writeJSON(path, []result{rows[0], rows[1], rows[3]}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{"name": "delete", "unit": "ms", "ours": 200.0, "by_hand": 500.0, "ratio": 0.4, "goal": "<= 0.5 x", "n": 3.0, "p50": 200.0, "p99": 300.0},
		{"name": "idle-memory", "unit": "MiB", "ours": 41.25, "by_hand": nil, "ratio": nil, "goal": "<= 60 MiB", "n": 1.0, "p50": 41.25, "p99": 41.25},
		{"name": "claim", "unit": "ms", "ours": 3.0, "by_hand": nil, "ratio": nil, "goal": "<= 10 ms, p99 <= 50 ms", "n": 3.0, "p50": 2.0, "p99": 3.0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bench.json (-want +got):\n%s", diff)
	}
	if err := writeJSON(filepath.Join(t.TempDir(), "missing", "bench.json"), rows); err == nil {
		t.Error("writing into a folder that is not there succeeded")
	}
}
