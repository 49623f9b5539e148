package spec_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bothy-env/bothy/internal/spec"
)

func TestParseReadsEveryField(t *testing.T) {
	got, err := spec.Parse("dir/bothy.yaml", []byte(`# A comment.
version: 1
name: shop
blueprint: build@1.2.0
size: medium
ttl: 1h30m
params: {shm_mib: 128, ratio: 0.5, verbose: true, note: "a: b"}
source: ./src/
`))
	if err != nil {
		t.Fatal(err)
	}
	want := spec.Spec{
		File: "dir/bothy.yaml", Name: "shop", Blueprint: "build@1.2.0", Size: "medium", TTL: 90 * time.Minute,
		Params: map[string]any{"shm_mib": int64(128), "ratio": 0.5, "verbose": true, "note": "a: b"}, Source: "src",
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for path, want := range map[string]spec.Place{
		"name": {"dir/bothy.yaml", 3, 7}, "size": {"dir/bothy.yaml", 5, 7}, "params.shm_mib": {"dir/bothy.yaml", 7, 19},
		"params.note": {"dir/bothy.yaml", 7, 57}, "idle": {}, "params.none": {},
	} {
		if place, ok := got.Place(path); place != want || ok != (want != spec.Place{}) {
			t.Errorf("%s stands at %+v, %t, want %+v", path, place, ok, want)
		}
	}
}

func TestParseFillsInOnlyTheSource(t *testing.T) {
	got, err := spec.Parse("bothy.yaml", []byte("version: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(spec.Spec{File: "bothy.yaml", Source: "."}, got, cmpopts.IgnoreUnexported(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// Everything wrong is told in one go, in the order of the file.
func TestParseTellsEverythingWrongWithItsPlace(t *testing.T) {
	_, err := spec.Parse("bothy.yaml", []byte(`version: 2
name: My_Shop
siez: small
blueprint: [build]

size:    100
ttl: 0s
ttl: 1h
params:
  Shm: 64
  shm_mib: &x 64
  list: [1]
source: ../other
`))
	want := []string{
		`bothy.yaml:1:10: version: got 2, want 1, the only version`,
		`bothy.yaml:2:7: name: got "My_Shop", want a name of up to 63 of a-z, 0-9 and "-", starting and ending with a letter or digit`,
		`bothy.yaml:3:1: siez: got an unknown key, want "size", or another of version, name, blueprint, size, share, ttl, idle, env, params, source`,
		`bothy.yaml:4:12: blueprint: got a list, want a blueprint's name, or name@version`,
		`bothy.yaml:6:10: size: got 100, want the name of one of the blueprint's sizes`,
		`bothy.yaml:7:6: ttl: got "0s", want a duration above 0 and up to 366d, for example 30m, 1h30m or 2d`,
		`bothy.yaml:8:1: ttl: got this key a second time, want it once (line 7 has it)`,
		`bothy.yaml:10:3: params.Shm: got this key, want an input name of a-z, 0-9 and "_", starting with a letter`,
		`bothy.yaml:11:12: params.shm_mib: got an anchor (&), want a plain value; write it out`,
		`bothy.yaml:12:9: params.list: got a list, want text, a number, true or false`,
		`bothy.yaml:13:9: source: got "../other", want a directory relative to this file and not above it, or "none"`,
	}
	if diff := cmp.Diff(want, strings.Split(errorText(err), "\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	errs, ok := errors.AsType[spec.Errors](err)
	if !ok {
		t.Fatalf("the error is %T, want spec.Errors", err)
	}
	first := spec.Error{File: "bothy.yaml", Line: 1, Col: 10, Path: "version", Found: "2", Want: "1, the only version"}
	if diff := cmp.Diff(first, errs[0]); diff != "" {
		t.Errorf("first error: -want +got:\n%s", diff)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestParseTTL(t *testing.T) {
	good := map[string]time.Duration{
		"90s": 90 * time.Second, "30m": 30 * time.Minute, "1h30m": 90 * time.Minute, "2d": 48 * time.Hour,
		"1.5d": 36 * time.Hour, "1d12h": 36 * time.Hour, "366d": spec.MaxTTL, "0h20s": 20 * time.Second,
	}
	for text, want := range good {
		if got, err := spec.ParseTTL(text); err != nil || got != want {
			t.Errorf("ParseTTL(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "0s", "0d0.0h", "-1h", "1", "1w", "1h 30m", "1H", "366d1s", "999999999d", "1e9s", ".5h", "1.h", "infs", "1h\n"} {
		if got, err := spec.ParseTTL(text); err == nil {
			t.Errorf("ParseTTL(%q) = %v, want an error", text, got)
		}
	}
}

func TestASourceFolderNamedNoneIsNotNoSource(t *testing.T) {
	for text, want := range map[string]string{"none": spec.NoSource, "./none": "./none", "none/": "./none", "a/./b": "a/b"} {
		s, err := spec.Parse("bothy.yaml", []byte("version: 1\nsource: "+text+"\n"))
		if err != nil || s.Source != want {
			t.Errorf("source %q is read as %q, %v; want %q", text, s.Source, err, want)
		}
	}
}

func TestInitGivesAFileThatParses(t *testing.T) {
	cases := map[string]spec.Starter{
		"nothing known": {},
		"all known": {Name: "shop", Blueprint: "build", Sizes: []string{"small", "large"}, DefaultSize: "large", TTL: "1h", MaxTTL: "8h",
			Params: []spec.StarterParam{{Name: "shm_mib", Description: "Size of\n/dev/shm: MiB.", Value: "64"}}},
		"names like numbers": {Name: "2048", Blueprint: "1e3", DefaultSize: "0x1"},
		"a name like a bool": {Name: "true"},
	}
	for name, starter := range cases {
		t.Run(name, func(t *testing.T) {
			data, err := spec.Init(starter)
			if err != nil {
				t.Fatal(err)
			}
			got, err := spec.Parse(spec.FileName, data)
			if err != nil {
				t.Fatalf("%v\n%s", err, data)
			}
			if got.Name != starter.Name || got.TTL != time.Hour || got.Source != "." {
				t.Errorf("parsed as %+v from\n%s", got, data)
			}
			// What is commented is right as well, once its mark is taken off.
			open := strings.NewReplacer("\n# params:", "\nparams:", "\n# env:", "\nenv:", "\n# idle:", "\nidle:", "\n#   ", "\n  ")
			if len(starter.Params) > 0 {
				got, err = spec.Parse(spec.FileName, []byte(open.Replace(string(data))))
				if err != nil || got.Params["shm_mib"] != int64(64) || got.Env["CI"] != "1" || got.Idle != 15*time.Minute {
					t.Errorf("with all uncommented: %+v, %v", got, err)
				}
			}
		})
	}
	if _, err := spec.Init(spec.Starter{Name: "a\nversion: 2"}); err == nil {
		t.Error("a name with a line break was written into the file")
	}
}

func TestTheExampleIsValid(t *testing.T) {
	files, err := filepath.Glob("../../modules/*/example/" + spec.FileName)
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	for _, file := range files {
		if _, err := spec.Load(file); err != nil {
			t.Error(err)
		}
	}
	if _, err := spec.Load(filepath.Join(t.TempDir(), "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file gives %v", err)
	}
}
