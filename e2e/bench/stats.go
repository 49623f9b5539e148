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

// goal is the most that a figure may be; the zero value is no goal.
type goal struct {
	max float64
	// ratio: the bound is on ours / by hand, else on ours in the row's unit.
	ratio bool
}

// result is one row: a figure of ours, and what doing it by hand took in the same run.
type result struct {
	name, unit string
	ours, hand []float64
	goal       goal
	// how says how both were measured.
	how string
}

// figures are what is printed and written for a row.
type figures struct {
	ours, p99 float64
	// hand and ratio are NaN when nothing was done by hand.
	hand, ratio float64
}

func (r result) figures() figures {
	f := figures{ours: percentile(r.ours, 50), p99: percentile(r.ours, 99), hand: percentile(r.hand, 50)}
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
	case figure <= r.goal.max:
		return "reached"
	default:
		return "missed"
	}
}
