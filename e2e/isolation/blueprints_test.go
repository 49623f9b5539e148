//go:build linux

package isolation_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// leastBlueprints and leastKinds are how many hostile blueprints there must be.
	leastBlueprints = 60
	leastKinds      = 12
)

// TestHostileBlueprints takes every blueprint of the corpus to two walls: through the product, as whoever writes one does,
// and past the loader, straight to the driver with the broker behind it. Each must be refused with the attribute's name, or
// reach nothing. The built-in blueprint goes both ways, and works. One blueprint of each kind goes where there is no wall at
// all, and must reach what it is after: else the oracle proves nothing.
func TestHostileBlueprints(t *testing.T) {
	needsEngine(t)
	more, without := loaders()
	all := slices.Concat(corpus(), more)
	if without != "" {
		t.Log("the corpus is this package's alone: " + without)
	}
	kinds := map[string]bool{}
	for _, h := range all {
		kinds[h.kind] = true
	}
	t.Logf("%d hostile blueprints of %d kinds", len(all), len(kinds))
	if len(all) < leastBlueprints || len(kinds) < leastKinds {
		t.Errorf("%d hostile blueprints of %d kinds, want at least %d of %d", len(all), len(kinds), leastBlueprints, leastKinds)
	}
	good := hostile{name: "built-in", kind: "control", files: builtin()}

	t.Run("past the loader", func(t *testing.T) {
		o := &oracle{t: t}
		w := newDriverWall(t, true)
		if got := w.take(lay(t, o, good)); !got.made || len(got.reached) > 0 {
			t.Fatalf("the built-in blueprint is refused: %+v", got)
		}
		open := slices.DeleteFunc(slices.Clone(all), func(h hostile) bool { return h.heavy })
		t.Logf("%d blueprints that only use up what Terraform may have are left out past the loader", len(all)-len(open))
		if !*long {
			was := len(open)
			nth := 0
			open = slices.DeleteFunc(open, func(h hostile) bool {
				if h.early {
					nth++
				}
				return h.early && nth%3 != 0
			})
			t.Logf("%d of the loader's blueprints are left out past the loader, which takes half a second each: -long takes all", was-len(open))
		}
		if mode, why := w.driver.Confinement(t.Context()); why != "" {
			was := len(open)
			open = slices.DeleteFunc(open, func(h hostile) bool { return h.local })
			t.Logf("%d blueprints that reach the machine without the engine are left out past the loader, as Terraform is not wholly confined here (%s): %s", was-len(open), mode, why)
		}
		against(t, w, layAll(t, o, open), func(c *trial, got taken) string {
			// What is no create has no attribute: the refusal says what was asked of the engine.
			if got.made || c.early || !strings.HasPrefix(got.attribute, "docker_") || c.names(got.attribute) {
				return ""
			}
			return fmt.Sprintf("the refusal names %q, want %q", got.attribute, c.attribute)
		})
	})
	t.Run("through the product", func(t *testing.T) {
		o := &oracle{t: t}
		trials := append([]*trial{lay(t, o, good)}, layAll(t, o, all)...)
		w := newProductWall(t, trials)
		if got := w.take(trials[0]); !got.made || len(got.reached) > 0 {
			t.Fatalf("a copy of the built-in blueprint is refused: %+v", got)
		}
		against(t, w, trials[1:], func(c *trial, got taken) string {
			if got.made || c.names(got.said) {
				return ""
			}
			return fmt.Sprintf("the refusal does not name %q", c.attribute)
		})
	})
	t.Run("no wall", func(t *testing.T) {
		o := &oracle{t: t}
		w := newDriverWall(t, false)
		if got := w.take(lay(t, o, good)); !got.made || len(got.reached) > 0 {
			t.Fatalf("the built-in blueprint: %+v", got)
		}
		controls(t, w, o, all)
	})
}

func lay(t *testing.T, o *oracle, h hostile) *trial {
	t.Helper()
	c, err := o.lay(h)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func layAll(t *testing.T, o *oracle, all []hostile) []*trial {
	t.Helper()
	trials := make([]*trial, len(all))
	for i, h := range all {
		trials[i] = lay(t, o, h)
	}
	return trials
}

// against takes trials to a wall, some at a time, and reports each that reached anything, or was refused for another reason.
func against(t *testing.T, w wall, trials []*trial, wrong func(*trial, taken) string) {
	t.Helper()
	begun := time.Now()
	results := make([]taken, len(trials))
	next := make(chan int)
	var wg sync.WaitGroup
	for range atOnce {
		wg.Go(func() {
			for i := range next {
				results[i] = w.take(trials[i])
			}
		})
	}
	for i := range trials {
		next <- i
	}
	close(next)
	wg.Wait()
	type sum struct{ blueprints, refused, made, reached int }
	sums, total := map[string]sum{}, sum{}
	for i, c := range trials {
		got, s := results[i], sums[c.kind]
		s.blueprints++
		if got.made {
			s.made++
			t.Logf("%s (%s) was made, and reached %d things", c.name, c.kind, len(got.reached))
		} else {
			s.refused++
		}
		if len(got.reached) > 0 {
			s.reached++
			t.Errorf("REACHED by %s (%s): %s; said %.300q", c.name, c.kind, strings.Join(got.reached, "; "), got.said)
		} else if why := wrong(c, got); why != "" {
			t.Errorf("%s (%s): %s: said %.300q", c.name, c.kind, why, got.said)
		}
		if !got.made && got.said == "" {
			t.Errorf("%s (%s) is refused without a word", c.name, c.kind)
		}
		sums[c.kind] = s
	}
	var table strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(sums)) {
		s := sums[kind]
		total = sum{total.blueprints + s.blueprints, total.refused + s.refused, total.made + s.made, total.reached + s.reached}
		fmt.Fprintf(&table, "%-20s %4d %4d %4d %4d\n", kind, s.blueprints, s.refused, s.made, s.reached)
	}
	t.Logf("\n%-20s blueprints, refused, made, reached\n%s%-20s %4d %4d %4d %4d\nafter %.0f s", "kind", &table, "all",
		total.blueprints, total.refused, total.made, total.reached, time.Since(begun).Seconds())
}

// mild are blueprints that reach something of the machine by one look of the engine, one for each kind that can be tried
// where nothing stops it and that does no harm there.
var mild = map[string]string{
	"network": "net-bridge", "mounts": "volume-foreign", "privileges": "cap-sys-admin", "hardening": "seccomp-off", "namespaces": "ipc-host",
	"devices": "device", "limits": "memory-more", "logs": "log-huge", "identity": "labels-none", "lifecycle": "restart-always",
	"other resources": "volume-adopted", "secrets": "secrets-for-all", "host files": "file-in-env", "programs": "program-local-exec",
	"files of the folder": "override", "host files, by upload": "file-uploaded", "ids": "id-foreign",
}

// controls takes one blueprint of each kind where there is neither loader nor broker, nor a box around Terraform.
func controls(t *testing.T, w wall, o *oracle, all []hostile) {
	t.Helper()
	for _, name := range mild {
		i := slices.IndexFunc(all, func(h hostile) bool { return h.name == name })
		if i < 0 {
			t.Errorf("the corpus has no blueprint %s", name)
			continue
		}
		if got := w.take(lay(t, o, all[i])); len(got.reached) == 0 {
			t.Errorf("%s (%s) reached nothing where there is no wall, or the oracle does not see it: %+v", name, all[i].kind, got)
		}
	}
}
