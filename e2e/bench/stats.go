package main

import (
	"math"
	"slices"
)

// percentile returns the p-th percentile (0 < p <= 100) of a sample by nearest rank: always one of the measured values. NaN for an empty
// sample.
func percentile(sample []float64, p float64) float64 {
	if len(sample) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(sample))
	rank := int(math.Ceil(p / 100 * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// goal is what a figure must reach; the zero value is no goal.
type goal struct {
	bound float64
	// p99, when not 0, is the most that the 99th percentile may be.
	p99 float64
	// ratio: the bound applies to ours
	//
	// by hand, otherwise to ours in the row's unit.
	ratio bool
	// least: the bound is a minimum, otherwise a maximum.
	least bool
}

// times is the goal of at most so many times the manual figure.
func times(ratio float64) goal { return goal{bound: ratio, ratio: true} }

// atMost is a goal in the row's unit, like atLeast.
func atMost(most float64) goal { return goal{bound: most} }

func atLeast(least float64) goal { return goal{bound: least, least: true} }

// reached reports whether the goal is reached.
func (g goal) reached(f figures) bool {
	figure := f.ours
	if g.ratio {
		figure = f.ratio
	}
	if g.least {
		return figure >= g.bound
	}
	return figure <= g.bound && (g.p99 == 0 || f.p99 <= g.p99)
}

// result is one row: our figure, and the manual one of the same run.
type result struct {
	name, unit string
	ours, hand []float64
	// worst: the figure is our greatest, not the median.
	worst bool
	goal  goal
	// how describes how both were measured.
	how string
}

// figures are the printed and written figures of a row.
type figures struct {
	ours, p50, p99 float64
	// hand and ratio are NaN without a manual figure.
	hand, ratio float64
}

func (r result) figures() figures {
	f := figures{p50: percentile(r.ours, 50), p99: percentile(r.ours, 99), hand: percentile(r.hand, 50)}
	f.ours = f.p50
	if r.worst {
		f.ours = percentile(r.ours, 100)
	}
	f.ratio = f.ours / f.hand
	return f
}

// verdict says in one word whether the goal was reached; "-" without a goal.
func (r result) verdict() string {
	f := r.figures()
	figure := f.ours
	if r.goal.ratio {
		figure = f.ratio
	}
	switch {
	case r.goal == goal{}:
		return "-"
	case math.IsNaN(figure) || math.IsInf(figure, 0):
		return "unknown"
	case r.goal.reached(f):
		return "reached"
	default:
		return "missed"
	}
}
