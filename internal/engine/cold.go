package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/engine/pools"
	"github.com/bothy-env/bothy/internal/plan"
)

// coldReason says why a wish that no warm environment was there for is made from nothing.
func coldReason(w *wish, all []pools.Resolved, now time.Time) string {
	if w.noPool {
		return "--fresh was asked for"
	}
	i := slices.IndexFunc(all, func(p pools.Resolved) bool { return p.MatchKey == w.env.MatchKey })
	if i < 0 {
		return otherPools(w, all)
	}
	// The first by name stands for all that match: it is where the next one is taken from.
	p := all[i]
	target := plan.TargetNow(p.Pool.Pool, now)
	switch {
	case p.Held != "":
		return fmt.Sprintf("pool %s is held: %s", p.Name, p.Held)
	case target == 0:
		return fmt.Sprintf("pool %s keeps none ready at this time", p.Name)
	}
	return fmt.Sprintf("pool %s is empty: 0 of %d are ready", p.Name, target)
}

// otherPools tells a wish that differs only in its inputs from one that no pool is near to.
func otherPools(w *wish, all []pools.Resolved) string {
	why := fmt.Sprintf("no pool keeps %s %s", w.env.Blueprint, w.env.Size.Name)
	i := slices.IndexFunc(all, func(p pools.Resolved) bool {
		return p.Digest == w.env.Blueprint.Digest && p.Size.Name == w.env.Size.Name
	})
	if i >= 0 {
		why += fmt.Sprintf(" with these inputs; pool %s has others", all[i].Name)
	}
	return why
}
