package files_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/files"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/strictyaml"
)

const (
	good = "  - name: a\n    blueprint: build\n    target: 3\n"
	// from7 wants a target; with the five lines before it that is in line 9, column 17.
	from7 = "    schedule:\n      - from: \"07:00\"\n        until: \"08:00\"\n        target: "
)

func TestParsePools(t *testing.T) {
	got, err := files.ParsePools("pools.yaml", []byte(`pools:
  - name: builders
    blueprint: build@1.0.0
    size: small
    target: 3
    min: 1
    max: 10
    surge: 2
    pause: true
    inputs:
      cache_mib: 512
      branch: main
      quick: true
    schedule:
      - days: [mon, sat]
        from: "07:30"
        until: "24:00"
        target: 10
      - from: "22:00"
        until: "06:05"
        target: 1
  - name: b
    blueprint: build
    target: 0
  - {name: c, blueprint: build, target: 2, min: 2}
  - {name: d, blueprint: build, target: 1, surge: 2, zone: Europe/Berlin, schedule: [{from: "01:00", until: "02:00", target: 4}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []fleet.Pool{
		{
			Name: "builders", Blueprint: "build@1.0.0", Size: "small", Target: 3, Min: 1, Max: 10, Surge: 2, Pause: true,
			Inputs: map[string]any{"cache_mib": int64(512), "branch": "main", "quick": true},
			Schedule: []fleet.ScheduledTarget{
				{Days: []time.Weekday{time.Monday, time.Saturday}, From: 450, Until: 1440, Target: 10},
				{From: 1320, Until: 365, Target: 1},
			},
		},
		{Name: "b", Blueprint: "build"},
		{Name: "c", Blueprint: "build", Target: 2, Min: 2, Max: 3},
		{Name: "d", Blueprint: "build", Target: 1, Max: 6, Surge: 2, Schedule: []fleet.ScheduledTarget{{From: 60, Until: 120, Target: 4, Zone: "Europe/Berlin"}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if none, err := files.ParsePools("pools.yaml", []byte("pools: []\n")); err != nil || len(none) != 0 {
		t.Errorf("an empty list gave %v, %v: it keeps no pools, and is not wrong", none, err)
	}
}

func TestWrongPools(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "pools.yaml:1:1"},
		{"not a list", "pools: 3\n", "pools.yaml:1:8"},
		{"unknown key", "pools:\n" + good + "    targets: 3\n", `pools.yaml:5:5: pools[0].targets: got an unknown key, want "target"`},
		{"twice", "pools:\n" + good + good, "pools.yaml:5:5: pools[1]: got a second pool called a"},
		{"no blueprint", "pools:\n  - name: a\n    target: 1\n", "blueprint: got nothing"},
		{"no target", "pools:\n  - name: a\n    blueprint: build\n", "target: got nothing"},
		{"a name with a slash", "pools:\n  - name: a/b\n    blueprint: x\n    target: 1\n", "pools.yaml:2:11"},
		{"a name that is too long", "pools:\n  - name: " + strings.Repeat("a", 41) + "\n    blueprint: x\n    target: 1\n", "pools.yaml:2:11"},
		{"a target below zero", "pools:\n  - name: a\n    blueprint: build\n    target: -1\n", "pools.yaml:4:13"},
		{"an endless target", "pools:\n  - name: a\n    blueprint: build\n    target: 99999999999999999999\n", "pools.yaml:4:13"},
		{"a target that is no number", "pools:\n  - name: a\n    blueprint: build\n    target: .nan\n", "pools.yaml:4:13"},
		{"half a target", "pools:\n  - name: a\n    blueprint: build\n    target: 1.5\n", "pools.yaml:4:13"},
		{"a surge above the bound", "pools:\n" + good + "    surge: 1001\n", "pools.yaml:5:12"},
		{"a minimum above the maximum", "pools:\n" + good + "    min: 5\n    max: 4\n", "pools.yaml:6:10: pools[0].max: got 4, want at least min, 5"},
		{"a target below the minimum", "pools:\n" + good + "    min: 4\n", "pools.yaml:4:13: pools[0].target: got 3, want at least min, 4"},
		{"a target above the maximum", "pools:\n" + good + "    max: 2\n", "pools.yaml:4:13: pools[0].target: got 3, want at most max, 2"},
		{"a maximum of nothing", "pools:\n" + good + "    max: 0\n", "pools.yaml:4:13: pools[0].target: got 3, want at most max, 0"},
		{"a scheduled target above the maximum", "pools:\n" + good + "    max: 4\n" + from7 + "5\n", "pools.yaml:9:17: pools[0].schedule[0].target: got 5, want at most max, 4"},
		{"a scheduled target below the minimum", "pools:\n" + good + "    min: 2\n" + from7 + "1\n", "pools.yaml:9:17: pools[0].schedule[0].target: got 1, want at least min, 2"},
		{"a scheduled target above a maximum of nothing", "pools:\n  - name: a\n    blueprint: build\n    target: 0\n    max: 0\n" + from7 + "1\n", "pools.yaml:9:17: pools[0].schedule[0].target: got 1, want at most max, 0"},
		{"a minimum that is the maximum", "pools:\n" + good + "    min: 3\n    max: 3\n    surge: 1\n", "pools.yaml:5:10: pools[0].min: got 3, want less than max, 3: otherwise the pool could never replace its members"},
		{"a minimum that leaves no room", "pools:\n  - name: a\n    blueprint: build\n    target: 1000\n    min: 1000\n", "pools.yaml:5:10: pools[0].min: got 1000, want less than max, 1000"},
		{"a pause that is text", "pools:\n" + good + "    pause: \"true\"\n", "pools.yaml:5:12"},
		{"an input that is a list", "pools:\n" + good + "    inputs:\n      x: [1]\n", "pools.yaml:6:10"},
		{"a zone that is none", "pools:\n" + good + "    zone: Europe/Berlino\n" + from7 + "1\n", "pools.yaml:5:11: pools[0].zone: got \"Europe/Berlino\", want an IANA time zone"},
		{"the machine's own zone", "pools:\n" + good + "    zone: Local\n" + from7 + "1\n", "want an IANA time zone"},
		{"a zone without a schedule", "pools:\n" + good + "    zone: Europe/Berlin\n", "a zone without a schedule"},
		{"a day of another language", "pools:\n" + good + "    schedule:\n      - days: [lun]\n        from: \"07:00\"\n        until: \"08:00\"\n        target: 1\n", "want one of sun, mon"},
		{"a time without quotes that is a number", "pools:\n" + good + "    schedule:\n      - from: 7\n        until: \"08:00\"\n        target: 1\n", "pools.yaml:6:15"},
		{"an hour that is none", "pools:\n" + good + "    schedule:\n      - from: \"25:00\"\n        until: \"08:00\"\n        target: 1\n", "pools.yaml:6:15"},
		{"a beginning at the end of the day", "pools:\n" + good + "    schedule:\n      - from: \"24:00\"\n        until: \"08:00\"\n        target: 1\n", "23:59"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := files.ParsePools("pools.yaml", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if _, ok := errors.AsType[strictyaml.Errors](err); err != nil && !ok {
				t.Errorf("the error is a %T", err)
			}
		})
	}
}

func TestPoolsAreReadAgainWhenTheirFileHasChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pools.yaml")
	write := func(text string) {
		t.Helper()
		// By rename, as editors do: the file is another one, whatever its time says.
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
	}
	f := files.OpenPools(path)
	if _, err := f.Pools(); err == nil {
		t.Error("a file that is not there gave no error: its pools would be removed")
	}
	write("pools:\n" + good)
	for range 2 {
		if pools, err := f.Pools(); err != nil || len(pools) != 1 {
			t.Fatalf("got %v, %v, want one pool", pools, err)
		}
	}
	write("pools: 3\n")
	for range 2 {
		if _, err := f.Pools(); err == nil {
			t.Error("a wrong file gave no error")
		}
	}
	write("pools:\n" + good + strings.ReplaceAll(good, "name: a", "name: b"))
	if pools, err := f.Pools(); err != nil || len(pools) != 2 {
		t.Errorf("after it was mended: %v, %v, want two pools", pools, err)
	}
}

func FuzzParsePools(f *testing.F) {
	f.Add("pools:\n" + good)
	f.Add("pools:\n" + good + "    schedule:\n      - from: \"07:00\"\n        until: \"08:00\"\n        target: 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		pools, err := files.ParsePools("pools.yaml", []byte(text))
		if err != nil && len(pools) > 0 {
			t.Error("an error and pools")
		}
		for _, p := range pools {
			if p.Target < 0 || p.Max < 0 || p.Min < 0 || p.Surge < 0 || p.Target > 1000 {
				t.Errorf("%+v", p)
			}
		}
	})
}
