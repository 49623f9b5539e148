package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// traces collects the times of each step of one daemon's creates and deletes.
type traces struct {
	name string
	by   map[phase]*trace
}

// phase is the operation, and the number of environments at once.
type phase struct {
	name  string
	count int
}

// trace has the times of each step, in ms since the request.
type trace struct {
	steps map[string][]float64
	n     int
}

// add adds the events of environments that were created or deleted at once. The first of each phase is a warm-up and does not count.
func (t *traces) add(ctx context.Context, d *daemon, p phase, envs []wire.Environment, asked, done time.Time) error {
	if t.by == nil {
		t.by = map[phase]*trace{}
	}
	if t.by[p] == nil {
		t.by[p] = &trace{}
		return nil
	}
	for _, env := range envs {
		if err := t.by[p].add(ctx, d, env, asked, done); err != nil {
			return err
		}
	}
	return nil
}

// print prints the traces.
func (t *traces) print(w io.Writer) error {
	order := func(a, b phase) int { return cmp.Or(cmp.Compare(a.count, b.count), cmp.Compare(a.name, b.name)) }
	for _, p := range slices.SortedFunc(maps.Keys(t.by), order) {
		if err := t.by[p].print(w, fmt.Sprintf("%s%s, %d at once", p.name, t.name, p.count)); err != nil {
			return err
		}
	}
	return nil
}

func (t *trace) add(ctx context.Context, d *daemon, env wire.Environment, asked, done time.Time) error {
	events, err := d.client.Events(ctx, env.ID, 0, 500)
	if err != nil {
		return fmt.Errorf("read the record of %s: %w", env.Name, err)
	}
	if t.steps == nil {
		t.steps = map[string][]float64{}
	}
	note := func(step string, at time.Time) {
		t.steps[step] = append(t.steps[step], milliseconds(at.Sub(asked)))
	}
	seen := map[string]bool{}
	for _, e := range events {
		if e.At.Before(asked.Add(-time.Millisecond)) {
			continue // of the previous phase; the daemon's times are in microseconds
		}
		// Ids and durations differ between creates.
		text, _, _ := strings.Cut(e.Message, " [")
		text, _, _ = strings.Cut(text, " after ")
		step := e.Kind + ": " + text
		if strings.HasPrefix(e.Kind, "environment.") || strings.HasPrefix(e.Kind, "lease.") {
			step = e.Kind
		}
		if !seen[step] {
			note(step, e.At)
		}
		seen[step] = true
	}
	note("(the client knows that all of them are done)", done)
	t.n++
	return nil
}

// print prints the median time of each step that every create had.
func (t *trace) print(w io.Writer, title string) error {
	type line struct {
		step string
		at   float64
	}
	if t.n == 0 {
		return nil // interrupted while warming up
	}
	var lines []line
	for step, at := range t.steps {
		if len(at) == t.n {
			lines = append(lines, line{step, percentile(at, 50)})
		}
	}
	slices.SortFunc(lines, func(a, b line) int { return int(a.at*1000 - b.at*1000) })
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tw, "\n%s, median of %d\nms since request\tmore\t\t\n", title, t.n)
	before := 0.0
	for _, l := range lines {
		fmt.Fprintf(tw, "%.0f\t+%.0f\t\t  %s\n", l.at, l.at-before, l.step)
		before = l.at
	}
	if err := tw.Flush(); err != nil {
		return fmt.Errorf("print the trace: %w", err)
	}
	return nil
}
