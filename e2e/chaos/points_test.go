package chaos_test

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// point is the n-th time that a fail point is reached.
type point struct {
	name string
	n    int
}

func (p point) String() string { return fmt.Sprintf("%s:%d", p.name, p.n) }
func (p point) orders() string { return fmt.Sprintf("kill:%s:%d", p.name, p.n) }

// A point is tried the first times that it is reached. The one transaction that changes a row says more than
// one thing, so it is tried more often.
const (
	eachPoint  = 2
	eachChange = 16
	changePart = "store/change environment:"
)

// TestKillPoints: the daemon dies just before and just after every side effect, is started again, and
// everything promised holds, on both databases.
func TestKillPoints(t *testing.T) {
	for _, database := range databases {
		t.Run(database, func(t *testing.T) {
			chance := seeded(t)
			points := golden(t, setup{database: database})
			t.Logf("the script reaches %d points, %d of them differ in name", len(points), names(points))
			if *long && len(points) < 80 {
				t.Errorf("only %d points were found", len(points))
			}
			if !*long {
				chance.Shuffle(len(points), func(i, k int) { points[i], points[k] = points[k], points[i] })
				points = points[:min(20, len(points))]
			}
			killAll(t, points, setup{database: database})
		})
	}
}

func names(points []point) int {
	seen := map[string]bool{}
	for _, p := range points {
		seen[p.name] = true
	}
	return len(seen)
}

// golden plays the script without a kill and gives the points that it reached.
func golden(t *testing.T, o setup) []point {
	t.Helper()
	file := filepath.Join(t.TempDir(), "points")
	trial(t, o, "record:"+file).report(t)
	if t.Failed() {
		t.FailNow()
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	reached, points := map[string]int{}, []point(nil)
	for name := range strings.Lines(string(text)) {
		name = strings.TrimSpace(name)
		reached[name]++
		most := eachPoint
		if strings.HasPrefix(name, changePart) {
			most = eachChange
		}
		if reached[name] <= most {
			points = append(points, point{name, reached[name]})
		}
	}
	slices.SortFunc(points, func(a, b point) int {
		return cmp.Or(strings.Compare(a.name, b.name), a.n-b.n)
	})
	return points
}

// outcome is what came of one run.
type outcome struct {
	kills int
	took  time.Duration
	wrong []string
	err   error
	logs  string
}

// trial is one run: the script with one daemon under orders, then the oracle.
func trial(t *testing.T, o setup, orders string) (out outcome) {
	t.Helper()
	ctx, began := t.Context(), time.Now()
	o.daemons = 1
	h, err := newHouse(t, o)
	if err != nil {
		return outcome{err: err}
	}
	s := &script{h: h}
	if out.err = h.open(ctx, orders); out.err == nil {
		out.err = s.play(ctx)
	}
	if out.err == nil {
		out.wrong, out.err = s.settle(ctx)
	}
	out.kills, out.logs, out.took = h.killed(), h.logs(), time.Since(began)
	out.err = errors.Join(out.err, h.close())
	return out
}

// killAll runs the script once for each point.
func killAll(t *testing.T, points []point, o setup) {
	t.Helper()
	var mu sync.Mutex
	var missed []string
	var slowest time.Duration
	t.Run("kill", func(t *testing.T) {
		for _, p := range points {
			t.Run(p.String(), func(t *testing.T) {
				t.Parallel()
				out := trial(t, o, p.orders())
				out.report(t)
				mu.Lock()
				defer mu.Unlock()
				if out.kills == 0 {
					missed = append(missed, p.String())
				}
				slowest = max(slowest, out.took)
			})
		}
	})
	t.Logf("%d points tried, %d kills, the slowest run took %.1f s", len(points), len(points)-len(missed), slowest.Seconds())
	if len(missed) > 0 {
		t.Logf("not reached this time, as loops take turns: %s", strings.Join(missed, ", "))
	}
	if len(missed)*4 > len(points) {
		t.Errorf("%d of %d points were not reached: the runs prove too little", len(missed), len(points))
	}
}

// report fails the test for whatever is wrong.
func (o outcome) report(t *testing.T) {
	t.Helper()
	if o.err != nil || len(o.wrong) > 0 {
		t.Errorf("%v\n%s\n%s", o.err, strings.Join(o.wrong, "\n"), o.logs)
	}
}
