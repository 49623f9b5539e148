package blueprint_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/fleet"
)

// problems loads a changed good blueprint and gives what is said about it, one line each.
func problems(t *testing.T, files map[string]string) []string {
	t.Helper()
	_, err := blueprint.Load(folder(t, files), cache(t))
	if err == nil {
		return nil
	}
	errs, ok := errors.AsType[blueprint.Errors](err)
	if !ok || fleet.CodeOf(err) != fleet.CodeInvalid {
		t.Fatalf("the error is %T of code %s: %v", err, fleet.CodeOf(err), err)
	}
	return strings.Split(errs.Error(), "\n")
}

func TestAWrongManifestIsToldWhole(t *testing.T) {
	files := good()
	files["blueprint.yaml"] = `schema: 2
name: Web
version: "1.2"
description: ""
image: --privileged
users: [dev, dev, "a b"]
workspace: workspace
ttl: {default: 3h, max: 2h, min: 1h}
currency: euro
sizes:
  one: {cpus: 0, memory: 512, pids: 8, rate_per_hour: 0.1}
  two: {cpus: 1e3, memory: 32MiB, rate_per_hour: "0.1234567"}
  Three: {}
default_size: four
inputs:
  bothy: {type: string}
  a: {type: text}
  b: {type: integer, default: "5", min: 9, max: 1, pattern: x}
  c: {type: string, pattern: "(", default: 5}
  d: {type: string, enum: [], default: x}
  e: {type: integer, enum: [1, x], default: 3}
  f: {min: 1}
  g: {type: boolean, max: 1, default: yes}
`
	want := []string{
		`blueprint.yaml:1:9: schema: got 2, want 1, the only schema there is`,
		`blueprint.yaml:2:7: name: got "Web", want a name of up to 63 of a-z, 0-9 and "-", beginning with a letter or digit`,
		`blueprint.yaml:3:10: version: got "1.2", want a version of three numbers, such as 1.2.0`,
		`blueprint.yaml:4:14: description: got "", want one line of 1 to 200 bytes`,
		`blueprint.yaml:5:8: image: got "--privileged", want an image's reference, such as bothy/build`,
		`blueprint.yaml:6:14: users[1]: got "dev", want each user once`,
		`blueprint.yaml:6:19: users[2]: got "a b", want the name of a user in the image`,
		`blueprint.yaml:7:12: workspace: got "workspace", want an absolute directory other than /, such as /workspace`,
		`blueprint.yaml:8:16: ttl.default: got "3h", want at most ttl.max, 2h0m0s`,
		`blueprint.yaml:8:29: ttl.min: got an unknown key, want one of default, max`,
		`blueprint.yaml:9:11: currency: got "euro", want a currency's code of three capital letters, such as USD`,
		`blueprint.yaml:11:15: sizes.one.cpus: got 0, want cores, from 0.1 to 256`,
		`blueprint.yaml:11:26: sizes.one.memory: got 512, want memory from 64MiB to 4096GiB, such as 512MiB or 2GiB`,
		`blueprint.yaml:11:37: sizes.one.pids: got 8, want a number of processes, from 16 to 65536`,
		`blueprint.yaml:11:55: sizes.one.rate_per_hour: got 0.1, want a price in quotes with up to six decimals, such as "0.025000"`,
		`blueprint.yaml:12:8: sizes.two.pids: got nothing, want this key: it is required`,
		`blueprint.yaml:12:15: sizes.two.cpus: got 1e3, want cores, from 0.1 to 256`,
		`blueprint.yaml:12:28: sizes.two.memory: got "32MiB", want memory from 64MiB to 4096GiB, such as 512MiB or 2GiB`,
		`blueprint.yaml:12:50: sizes.two.rate_per_hour: got "0.1234567", want a price in quotes with up to six decimals, such as "0.025000"`,
		`blueprint.yaml:13:3: sizes.Three: got this key, want a name of up to 63 of a-z, 0-9 and "-", beginning with a letter or digit`,
		`blueprint.yaml:13:10: sizes.Three.cpus: got nothing, want this key: it is required`,
		`blueprint.yaml:13:10: sizes.Three.memory: got nothing, want this key: it is required`,
		`blueprint.yaml:13:10: sizes.Three.pids: got nothing, want this key: it is required`,
		`blueprint.yaml:13:10: sizes.Three.rate_per_hour: got nothing, want this key: it is required`,
		`blueprint.yaml:14:15: default_size: got "four", want one of one, two, Three`,
		`blueprint.yaml:16:3: inputs.bothy: got this key, want a name of a-z, 0-9 and "_", beginning with a letter, none of bothy, source, version, providers, count, for_each, lifecycle, depends_on, locals`,
		`blueprint.yaml:17:13: inputs.a.type: got "text", want one of string, integer, number, boolean`,
		`blueprint.yaml:18:31: inputs.b.default: got "5", want an integer from 9 to 1`,
		`blueprint.yaml:18:41: inputs.b.min: got 9, want at most max, 1`,
		`blueprint.yaml:18:61: inputs.b.pattern: got a pattern, want none: only a string input has one`,
		`blueprint.yaml:19:30: inputs.c.pattern: got "(", want a regular expression (RE2) that the whole text must match`,
		`blueprint.yaml:19:44: inputs.c.default: got 5, want text`,
		`blueprint.yaml:20:27: inputs.d.enum: got an empty list, want at least one value`,
		`blueprint.yaml:21:32: inputs.e.enum[1]: got "x", want an integer`,
		`blueprint.yaml:21:45: inputs.e.default: got 3, want one of 1`,
		`blueprint.yaml:22:6: inputs.f.type: got nothing, want this key: it is required`,
		`blueprint.yaml:23:27: inputs.g.max: got a bound, want none: a boolean input has no bounds`,
		`blueprint.yaml:23:39: inputs.g.default: got "yes", want true or false`,
	}
	// The first twenty are told; the others once those are mended.
	const told = 20
	_, err := blueprint.Load(folder(t, files), cache(t))
	r, ok := errors.AsType[*blueprint.Refusal](err)
	if !ok || r.More != len(want)-told || !strings.HasSuffix(err.Error(), fmt.Sprintf("\nand %d more", len(want)-told)) {
		t.Fatalf("got %+v, want %d more", err, len(want)-told)
	}
	got := problems(t, files)
	lines := strings.SplitAfter(files["blueprint.yaml"], "\n")
	mended := strings.SplitAfter(goodManifest, "\n")
	files["blueprint.yaml"] = strings.Join(mended[:12], "") + strings.Join(lines[12:], "")
	if diff := cmp.Diff(want, append(got[:told-1], problems(t, files)...)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatAManifestMayNotLack(t *testing.T) {
	for _, key := range []string{"schema", "name", "version", "description", "image", "users", "workspace", "ttl", "currency", "sizes", "default_size"} {
		files, kept := good(), []string{}
		skip := false
		for line := range strings.Lines(goodManifest) {
			if !strings.HasPrefix(line, " ") {
				skip = strings.HasPrefix(line, key+":")
			}
			if !skip {
				kept = append(kept, line)
			}
		}
		files["blueprint.yaml"] = strings.Join(kept, "")
		want := "blueprint.yaml:1:1: " + key + ": got nothing, want this key: it is required"
		if got := problems(t, files); len(got) == 0 || got[0] != want {
			t.Errorf("without %s: got %q", key, got)
		}
	}
	files := good()
	files["blueprint.yaml"] = "# nothing\n"
	if got := problems(t, files); len(got) != 1 || got[0] != "blueprint.yaml:1:1: got an empty file, want a blueprint" {
		t.Errorf("an empty manifest gives %q", got)
	}
}

func TestRatesAreExact(t *testing.T) {
	for rate, want := range map[string]int64{
		"0": 0, "0.000001": 1, "0.1": 100000, "0.123456": 123456, "1": 1000000, "19.99": 19990000, "999999999.999999": 999999999999999,
		"0.0000001": -1, ".5": -1, "1.": -1, "01": -1, "-1": -1, "1e3": -1, "1,5": -1, "": -1, "1000000000": -1,
	} {
		files := good()
		files["blueprint.yaml"] = strings.Replace(goodManifest, "0.123456", rate, 1)
		bp, err := blueprint.Load(folder(t, files), cache(t))
		switch {
		case want < 0 && err == nil:
			t.Errorf("%q is read as %d", rate, bp.Sizes[0].RateMicros)
		case want >= 0 && (err != nil || bp.Sizes[0].RateMicros != want):
			t.Errorf("%q: %v, want %d", rate, err, want)
		}
	}
}
