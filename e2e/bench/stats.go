package main

import (
	"math"
	"slices"
)

// percentile gives the p-th percentile (0 < p <= 100) of a sample by nearest
// rank: always one of the values that were measured. NaN for an empty sample.
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
	// ratio: the bound is on ours / by hand, else on ours in the row's unit.
	ratio bool
	// least: the figure is to be no smaller than the bound, else no greater.
	least bool
}

// times is the goal of at most so many times what it takes by hand.
func times(ratio float64) goal { return goal{bound: ratio, ratio: true} }

// atMost is a goal in the row's unit, as is atLeast.
func atMost(most float64) goal { return goal{bound: most} }

func atLeast(least float64) goal { return goal{bound: least, least: true} }

// reached reports whether the goal is.
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

// result is one row: a figure of ours, and what doing it by hand took in the same run.
type result struct {
	name, unit string
	ours, hand []float64
	// worst: the figure is the greatest of ours, not the median.
	worst bool
	goal  goal
	// how says how both were measured.
	how string
}

// figures are what is printed and written for a row.
type figures struct {
	ours, p50, p99 float64
	// hand and ratio are NaN when nothing was done by hand.
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

// verdict is one word on whether the goal was reached; "-" without a goal.
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
