package main

import (
	"slices"
	"strings"
	"testing"
)

func TestOnlyChoosesRowsByNameAndWhatIsBelow(t *testing.T) {
	for _, c := range []struct {
		only, row string
		want      bool
	}{
		{"", "exec", true},
		{"exec", "exec", true},
		{"exec", "exec/client", true},
		{"exec/client", "exec", false},
		{"cold-create", "cold-create-10", false},
		{"version,claims", "claims/sqlite", true},
		{"version,claims", "warm-claim", false},
	} {
		var only names
		if c.only != "" {
			if err := only.Set(c.only); err != nil {
				t.Fatal(err)
			}
		}
		if got := only.has(c.row); got != c.want {
			t.Errorf("-only %q has %s: %v, want %v", c.only, c.row, got, c.want)
		}
	}
}

func TestARowThatIsNotThereIsRefused(t *testing.T) {
	b := &bench{many: 10, fleet: 1000, large: 10_000}
	if err := (names{"recovery", "claims"}).known(b.sections()); err != nil {
		t.Errorf("names of rows are refused: %v", err)
	}
	err := (names{"recovery", "claim"}).known(b.sections())
	if err == nil || !strings.Contains(err.Error(), `"claim"`) || !strings.Contains(err.Error(), "warm-claim") {
		t.Errorf("a name of no row gives %v; want it named, and those there are", err)
	}
}

func TestNoTwoRowsHaveOneName(t *testing.T) {
	b := &bench{many: 10, fleet: 1000, large: 10_000}
	var all []string
	for _, s := range b.sections() {
		all = append(all, s.rows...)
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(all))); len(unique) != len(all) {
		t.Errorf("%d rows have %d names: %v", len(all), len(unique), all)
	}
}
