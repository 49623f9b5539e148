package pools

import (
	"context"
	"fmt"
	"slices"

	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
)

// stuck tells by name which pools keep members that are to be replaced and, as things are, cannot be. That takes
// a plan, which is made only when there are such members.
func (c *Catalogue) stuck(ctx context.Context, pools []Resolved, envs []fleet.Environment) (map[string]plan.Stuck, error) {
	hosts, err := c.cfg.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	drained, keys := map[string]bool{}, map[string]string{}
	for _, h := range hosts {
		drained[h.Name] = h.Drained
	}
	for _, p := range pools {
		keys[p.Name] = p.MatchKey
	}
	if !slices.ContainsFunc(envs, func(env fleet.Environment) bool {
		key, ok := keys[env.Pool]
		return ok && env.State == fleet.Warm && (env.MatchKey != key || drained[env.Host])
	}) {
		return nil, nil
	}
	now := c.cfg.Clock.Now()
	s, err := c.cfg.Planner.Snapshot(ctx, now)
	if err != nil {
		return nil, err
	}
	stuck := map[string]plan.Stuck{}
	for _, st := range plan.Compute(s, now).Stuck {
		stuck[st.Pool] = st
	}
	return stuck, nil
}

// stuckHint is what to do about a pool that is stuck.
func stuckHint(p fleet.Pool, st plan.Stuck) string {
	how := "set it with bothy pool set " + p.Name
	if p.FromFile {
		how = "set it in the platform team's file"
	}
	switch {
	case !st.Full:
		return fmt.Sprintf("give it a maximum above %d, or a minimum below %d; %s", max(p.Max, p.Min), min(p.Max, p.Min), how)
	case p.Min > 0:
		return fmt.Sprintf("make room on a host, or give it a minimum below %d; %s", p.Min, how)
	}
	return "make room on a host; see: bothy host ls"
}

// checkRollovers adds to the check of pools that one is stuck.
func (c *Catalogue) checkRollovers(ctx context.Context, pools []Resolved, check doctor.Check) doctor.Check {
	var stuck map[string]plan.Stuck
	warm, err := c.cfg.Rows.Those(ctx, func(env *fleet.Environment) bool { return env.State == fleet.Warm })
	if err == nil {
		stuck, err = c.stuck(ctx, pools, warm)
	}
	if err != nil {
		check.Status, check.Message, check.Hint = doctor.Warning, "the pools' members cannot be read: "+err.Error(), "see the check of the store"
		return check
	}
	for _, p := range pools {
		if st, ok := stuck[p.Name]; ok {
			check.Status, check.Message, check.Hint = doctor.Warning, fmt.Sprintf("pool %s cannot replace its old members: %s", p.Name, st.Reason), stuckHint(p.Pool.Pool, st)
		}
	}
	return check
}
