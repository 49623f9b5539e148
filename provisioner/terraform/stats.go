package terraform

import "sync/atomic"

// counters are what Stats tells, counted from New on.
type counters struct {
	warm, plain, fallbacks atomic.Int64
}

// Stats counts how Terraform was run.
type Stats struct {
	// Warm and Plain count runs with warm provider processes and without.
	Warm, Plain int64
	// Recycled counts warm processes that were ended to be replaced: used up, or after a cancel or an error.
	Recycled int64
	// Fallbacks counts faults of warm processes after which the plain start was taken.
	Fallbacks int64
	// Running is how many warm processes run now, Idle those of them that are not in use.
	Running, Idle int
}

// Stats tells how Terraform was run since New.
func (d *Driver) Stats() Stats {
	s := Stats{Warm: d.runs.warm.Load(), Plain: d.runs.plain.Load(), Fallbacks: d.runs.fallbacks.Load()}
	if d.warm != nil {
		s.Recycled, s.Running, s.Idle = d.warm.counts()
	}
	return s
}
