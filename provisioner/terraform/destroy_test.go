package terraform_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

// stateOf makes a state with one resource, or none.
func stateOf(lineage string, serial, resources int) string {
	list := strings.TrimSuffix(strings.Repeat(`{"mode":"managed","type":"x","instances":[{}]},`, resources), ",")
	return fmt.Sprintf(`{"version":4,"serial":%d,"lineage":%q,"outputs":{},"resources":[%s]}`, serial, lineage, list)
}

func TestDestroyWorksFromTheRightState(t *testing.T) {
	cases := []struct {
		name string
		// given to Destroy; found in the working directory.
		given, found, errored string
		// used by Terraform, one after another; "" when there is nothing for it to do.
		used     string
		warnings int
	}{
		{name: "nothing known"},
		{name: "given only", given: stateOf("a", 3, 1), used: stateOf("a", 3, 1)},
		{name: "found only", found: stateOf("a", 3, 1), used: stateOf("a", 3, 1)},
		{name: "found is newer", given: stateOf("a", 3, 1), found: stateOf("a", 4, 2), used: stateOf("a", 4, 2)},
		{name: "found is older", given: stateOf("a", 3, 1), found: stateOf("a", 2, 2), used: stateOf("a", 3, 1), warnings: 1},
		{name: "of two attempts", given: stateOf("a", 3, 1), found: stateOf("b", 1, 2), used: stateOf("b", 1, 2) + stateOf("a", 3, 1), warnings: 1},
		{name: "of two attempts, the second made nothing", given: stateOf("a", 3, 1), found: stateOf("b", 1, 0), used: stateOf("a", 3, 1), warnings: 1},
		{name: "of two attempts, the second left errored", given: stateOf("a", 3, 1), errored: stateOf("b", 1, 1), used: stateOf("b", 1, 1) + stateOf("a", 3, 1), warnings: 1},
		{name: "found is cut off", given: stateOf("a", 3, 1), found: stateOf("a", 4, 1)[:50], used: stateOf("a", 3, 1), warnings: 1},
		{name: "found is empty", given: stateOf("a", 3, 1), found: "\x00empty", used: stateOf("a", 3, 1)},
		{name: "given is cut off", given: stateOf("a", 3, 1)[:50], found: stateOf("a", 4, 1), used: stateOf("a", 4, 1), warnings: 1},
		{name: "both are cut off", given: "{", found: "{", warnings: 2},
		{name: "errored only", errored: stateOf("a", 3, 1), used: stateOf("a", 3, 1)},
		{name: "errored is newer", given: stateOf("a", 1, 1), found: stateOf("a", 2, 1), errored: stateOf("a", 3, 2), used: stateOf("a", 3, 2)},
		{name: "errored is older", found: stateOf("a", 2, 1), errored: stateOf("a", 1, 2), used: stateOf("a", 2, 1), warnings: 1},
		{name: "errored is foreign", found: stateOf("a", 2, 1), errored: stateOf("b", 3, 2), used: stateOf("a", 2, 1), warnings: 1},
		{name: "nothing left in it", given: stateOf("a", 3, 1), found: stateOf("a", 4, 0)},
		{name: "another format", given: strings.Replace(stateOf("a", 3, 1), `"version":4`, `"version":5`, 1), warnings: 1},
		{name: "of no lineage", given: stateOf("", 3, 1), warnings: 1},
		{name: "not a state", given: "null", warnings: 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, d, spec := playing(t, script{}, nil)
			dir := workdir(s, spec)
			for name, text := range map[string]string{"terraform.tfstate": c.found, "errored.tfstate": c.errored} {
				if text == "" {
					continue
				}
				if err := os.MkdirAll(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.TrimPrefix(text, "\x00empty")), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var events recorder
			if err := d.Destroy(t.Context(), spec, []byte(c.given), events.add); err != nil {
				t.Fatal(err)
			}
			used := ""
			for _, c := range s.calls("destroy") {
				used += c.State
			}
			if used != c.used {
				t.Errorf("destroyed from %q, want %q", used, c.used)
			}
			events.want(t, "warning", c.warnings)
			if exists(dir) {
				t.Error("the working directory is still there")
			}
			if err := d.Destroy(t.Context(), spec, nil, nil); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

// However much of a newer state got written: what is used is one of the two whole ones.
func TestNoPartOfAStateIsUsed(t *testing.T) {
	dir := t.TempDir()
	given, newer := stateOf("a", 3, 1), stateOf("a", 4, 2)
	for n := range len(newer) + 1 {
		if err := os.WriteFile(filepath.Join(dir, "terraform.tfstate"), []byte(newer[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		used, err := terraform.ChooseStates([]byte(given), dir, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		want := given
		if n == len(newer) {
			want = newer
		}
		if len(used) != 1 || string(used[0]) != want {
			t.Errorf("%d bytes written: used %q", n, used)
		}
	}
}

// Whatever is found: no panic, and serials of one lineage never go back.
func TestChooseStateOfAnything(t *testing.T) {
	dir := t.TempDir()
	state := rapid.Custom(func(rt *rapid.T) string {
		return stateOf(rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "lineage"), rapid.IntRange(-1, 5).Draw(rt, "serial"), rapid.IntRange(0, 2).Draw(rt, "resources"))
	})
	text := rapid.OneOf(state, rapid.String(),
		rapid.SampledFrom([]string{`{"version":4,"serial":1e30,"lineage":"a"}`, `{"version":4,"lineage":"a","resources":{}}`, `[]`, ``}),
	)
	rapid.Check(t, func(rt *rapid.T) {
		given, found, errored := rapid.OneOf(state, rapid.String()).Draw(rt, "given"), text.Draw(rt, "found"), text.Draw(rt, "errored")
		for name, text := range map[string]string{"terraform.tfstate": found, "errored.tfstate": errored} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				rt.Fatal(err)
			}
		}
		used, err := terraform.ChooseStates([]byte(given), dir, func(string) {})
		if err != nil {
			rt.Fatal(err)
		}
		type id struct {
			Version, Serial int64
			Lineage         string
		}
		var g id
		if json.Unmarshal([]byte(given), &g) != nil || g.Version != 4 || g.Serial < 0 || g.Lineage == "" {
			return
		}
		for _, raw := range used {
			var u id
			if err := json.Unmarshal(raw, &u); err != nil {
				rt.Fatal(err)
			}
			if u.Lineage == g.Lineage && u.Serial >= g.Serial {
				return
			}
		}
		rt.Errorf("given %+v, used %s", g, used)
	})
}

func TestDestroyWithoutTheWorkingDirectory(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	h, err := d.Create(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(workdir(s, spec)); err != nil {
		t.Fatal(err)
	}
	var events recorder
	if err := d.Destroy(t.Context(), spec, h.State, events.add); err != nil {
		t.Fatal(err)
	}
	events.want(t, "gone", 1)
	if c := s.calls("destroy")[0]; c.State != string(h.State) || c.Inputs == "" {
		t.Errorf("destroyed from %q with inputs %q", c.State, c.Inputs)
	}
	if n := len(s.calls("init")); n != 1 {
		t.Errorf("%d inits, want 1: destroy needs no network", n)
	}
}

// TestDestroyAsksNobody: a destroy that would need init, and cannot have its provider, says so at once and asks no registry.
func TestDestroyAsksNobody(t *testing.T) {
	for name, inits := range map[string]int{"mirror alone": 2, "other sources": 1} {
		t.Run(name, func(t *testing.T) {
			s, d, spec := playing(t, script{}, func(c *terraform.Config) {
				if name == "mirror alone" {
					return
				}
				c.CLIConfig = filepath.Join(t.TempDir(), "rc")
				if err := os.WriteFile(c.CLIConfig, nil, 0o600); err != nil {
					t.Fatal(err)
				}
			})
			h, err := d.Create(t.Context(), spec, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(s.dir, "mirror")); err != nil {
				t.Fatal(err)
			}
			s.play(script{Init: "diagnostic", Says: "Failed to query available provider packages: could not connect to registry"})
			if err := d.Destroy(t.Context(), spec, h.State, nil); !errors.Is(err, provisioner.ErrUnprepared) {
				t.Fatalf("got %v", err)
			}
			if n := len(s.calls("init")); n != inits {
				t.Errorf("%d inits, want %d", n, inits)
			}
			if n := len(s.calls("destroy")); n != 0 {
				t.Errorf("%d destroys", n)
			}
		})
	}
}

func TestDestroyFailsAndIsTriedAgain(t *testing.T) {
	s, d, spec := playing(t, script{Destroy: "diagnostic", Says: "Error deleting container x: dial unix /engine.sock: connect: connection refused"}, nil)
	h, err := d.Create(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, d.Destroy(t.Context(), spec, h.State, nil), provisioner.Transient, true, "Error deleting container")
	if !exists(workdir(s, spec)) {
		t.Error("the working directory is gone, and its state with it")
	}
	s.play(script{})
	if err := d.Destroy(t.Context(), spec, nil, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(s.calls("destroy")); n != 2 {
		t.Errorf("%d destroys", n)
	}
}

func TestDestroyAfterAKilledTerraform(t *testing.T) {
	s, d, spec := playing(t, script{Apply: "suicide"}, nil)
	_, err := d.Create(t.Context(), spec, nil)
	wantError(t, err, provisioner.Transient, false, "")
	// As a killed Terraform leaves it: an old state, and the note of a lock that nobody holds.
	for name, text := range map[string]string{"terraform.tfstate": stateOf("a", 1, 1), ".terraform.tfstate.lock.info": `{"ID":"x"}`} {
		if err := os.WriteFile(filepath.Join(workdir(s, spec), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Destroy(t.Context(), spec, nil, nil); err != nil {
		t.Fatal(err)
	}
	if len(s.calls("destroy")) != 1 || exists(workdir(s, spec)) {
		t.Error("not destroyed")
	}
}
