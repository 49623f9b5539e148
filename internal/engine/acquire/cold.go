package acquire

import (
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/plan"
)

// coldReason is why a request gets a cold start.
func coldReason(w *wish, all []plan.Pool, now time.Time) string {
	if w.noPool {
		return "--fresh was asked for"
	}
	i := slices.IndexFunc(all, func(p plan.Pool) bool { return p.MatchKey == w.env.MatchKey })
	if i < 0 {
		return otherPools(w, all)
	}
	// The first by name represents all that match: the next claim takes from it.
	p := all[i]
	target := plan.TargetNow(p.Pool, now)
	switch {
	case p.Held != "":
		return fmt.Sprintf("pool %s is held: %s", p.Name, p.Held)
	case target == 0:
		return fmt.Sprintf("pool %s keeps none ready at this time", p.Name)
	}
	return fmt.Sprintf("pool %s is empty: 0 of %d are ready", p.Name, target)
}

// otherPools is the reason if no pool matches: one may differ only in its inputs.
func otherPools(w *wish, all []plan.Pool) string {
	why := fmt.Sprintf("no pool keeps %s %s", w.env.Blueprint, w.env.Size.Name)
	i := slices.IndexFunc(all, func(p plan.Pool) bool {
		return p.Digest == w.env.Blueprint.Digest && p.Size.Name == w.env.Size.Name
	})
	if i >= 0 {
		why += fmt.Sprintf(" with these inputs; pool %s has others", all[i].Name)
	}
	return why
}
