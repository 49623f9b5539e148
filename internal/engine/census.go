package engine

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// census is what one complete list of a host's resources shows, compared with what is recorded.
type census struct {
	// ids are all that were listed with our labels.
	ids map[string]bool
	// rows are the environments that the resources name, as far as they are known.
	rows map[string]fleet.Environment
	// unknown belong to no known environment, or to a live one that was made without them.
	unknown []provisioner.Found
	// orphans are the unknown ones with how often they were seen.
	orphans []fleet.Orphan
	// outlived belong to environments that are gone.
	outlived []provisioner.Found
	// networks are those that unknown sandboxes are on.
	networks []string
	// doubted are the sandboxes of doubted environments, by environment.
	doubted map[string]provisioner.Found
	// ahead says how what was listed shows that the database does not know all; "" when it does not.
	ahead string
	// marks lie at the engine; stands says that something of an environment does as well.
	marks  []provisioner.Found
	stands bool
	// idle are those of ours that were not running, by id, and the networks whose holders were not.
	idle map[string]bool
}

// orphanage is what this process knows of resources that no environment accounts for, by host.
type orphanage struct {
	mu sync.Mutex
	// deciding is full while somebody removes or adopts orphans of a host, so that none is both at once.
	deciding map[string]chan struct{}
	// forged carry our labels, and we did not make them.
	forged map[string][]provisioner.Found
}

func newOrphanage(hosts []string) *orphanage {
	o := &orphanage{deciding: map[string]chan struct{}{}, forged: map[string][]provisioner.Found{}}
	for _, name := range hosts {
		o.deciding[name] = make(chan struct{}, 1)
	}
	return o
}

// decide keeps others from deciding on the orphans of hosts, which are in order, until the returned function is called. Code
// unavailable: somebody else decided on those of one until ctx ended, as a sweep does whose engine hangs.
func (o *orphanage) decide(ctx context.Context, hosts ...string) (done func(), err error) {
	var held []string
	done = func() {
		for _, name := range held {
			<-o.deciding[name]
		}
	}
	for _, name := range hosts {
		select {
		case o.deciding[name] <- struct{}{}:
			held = append(held, name)
		case <-ctx.Done():
			done()
			return nil, fleet.Errorf(fleet.CodeUnavailable, "host %s is being swept, and that does not end", name).
				WithHint("its engine may hang: bothy doctor; try again once it answers")
		}
	}
	return done, nil
}

// look lists a host's resources and notes what is unknown. What is new is told.
func (e *Engine) look(ctx context.Context, h *Host, envs map[string]fleet.Environment) (census, error) {
	all, err := e.listed(ctx, h, "")
	if err != nil {
		return census{}, err
	}
	e.sights.note(h.Name, envs, all, e.Now())
	s, forged, err := e.compare(ctx, h, envs, all)
	if err != nil {
		return s, err
	}
	e.noteForged(h, forged)
	found := make([]fleet.Orphan, len(s.unknown))
	for i, f := range s.unknown {
		found[i] = fleet.Orphan{
			Host: h.Name, Kind: f.Kind, ID: f.ID, Name: f.Name, EnvironmentID: f.Labels[provisioner.LabelEnvironment],
			Labels: f.Labels, CreatedAt: f.CreatedAt,
		}
		if f.Attachment != "" {
			s.networks = append(s.networks, string(f.Attachment))
		}
	}
	safe, err := e.believe(ctx, h, s)
	if err != nil {
		return s, err
	}
	if s.orphans, err = e.store.SeeOrphans(ctx, h.Name, found, e.Now()); err != nil {
		return s, err
	}
	if safe.Reason != "" {
		// Not left to the sweep: somebody may decide on all before it, and what the mark knows would turn safe mode on again.
		if err := e.reconcileMark(ctx, h, s); err != nil {
			e.logger.Warn(marksNotKept, "host", h.Name, "error", err)
		}
	}
	return s, e.tellOrphans(ctx, s.orphans)
}

// compare sorts what was listed. What does not verify is not ours, and only counted.
func (e *Engine) compare(ctx context.Context, h *Host, envs map[string]fleet.Environment, all []provisioner.Found) (s census, forged []provisioner.Found, err error) {
	s = census{ids: map[string]bool{}, rows: map[string]fleet.Environment{}, doubted: map[string]provisioner.Found{}, idle: map[string]bool{}}
	made := map[string]string{}
	for _, f := range all {
		s.ids[f.ID] = true
		if env, ok := envs[f.Labels[provisioner.LabelEnvironment]]; ok && f.ID == env.SandboxID {
			made[env.ID] = f.Labels[provisioner.LabelGeneration]
		}
	}
	slices.SortFunc(all, h.byRemovalOrder)
	for _, f := range all {
		id := f.Labels[provisioner.LabelEnvironment]
		if !e.labels.Verify(f.Labels) {
			forged = append(forged, f)
			continue
		}
		if f.Runs() && f.State != provisioner.StateRunning {
			s.idle[f.ID] = true
			if id == "" && f.Attachment != "" {
				s.idle[string(f.Attachment)] = true
			}
		}
		if id == "" {
			if f.Labels[provisioner.LabelMark] != "" {
				s.marks = append(s.marks, f)
			}
			continue // or the keeper's
		}
		s.stands = true
		env, known, err := e.rowOf(ctx, &s, envs, id)
		if err == nil && s.ahead == "" {
			s.ahead, err = e.aheadOf(ctx, f, env, known)
		}
		switch {
		case err != nil:
			return s, forged, err
		case !known:
			s.unknown = append(s.unknown, f)
		case env.Doubted && f.Kind == h.sandboxKind():
			s.doubted[id] = f
		case env.State == fleet.Destroyed:
			s.outlived = append(s.outlived, f)
		case stale(env, h, f, made[id]):
			s.unknown = append(s.unknown, f)
		}
	}
	return s, forged, nil
}

// rowOf finds the environment that a resource names: among those that were read before the list, else in the
// store, which knows every environment from before anything of it was made.
func (e *Engine) rowOf(ctx context.Context, s *census, envs map[string]fleet.Environment, id string) (fleet.Environment, bool, error) {
	if env, ok := envs[id]; ok {
		return env, true, nil
	}
	if env, ok := s.rows[id]; ok {
		return env, true, nil
	}
	env, err := e.store.Get(ctx, id)
	if fleet.CodeOf(err) == fleet.CodeNotFound {
		return env, false, nil
	}
	if err == nil {
		s.rows[id] = env
	}
	return env, err == nil, err
}

// stale reports whether a resource of a live environment is not its own: on another host, or of an earlier try
// than its sandbox (made is the generation of that; "" when it was not listed). While somebody
// works on the environment nothing is.
func stale(env fleet.Environment, h *Host, f provisioner.Found, made string) bool {
	if !ready(env) {
		return false
	}
	return env.Host != h.Name || made != "" && f.Labels[provisioner.LabelGeneration] != made
}

// noteForged remembers what carries our labels and was not made by us, and tells of each once.
func (e *Engine) noteForged(h *Host, now []provisioner.Found) {
	e.orphans.mu.Lock()
	defer e.orphans.mu.Unlock()
	for _, f := range now {
		if !slices.ContainsFunc(e.orphans.forged[h.Name], func(g provisioner.Found) bool { return g.Kind == f.Kind && g.ID == f.ID }) {
			e.logger.Warn("something carries our labels that we did not make; it is never touched", "host", h.Name, "kind", f.Kind, "name", f.Name)
		}
	}
	e.orphans.forged[h.Name] = now
}

func (e *Engine) checkForged() Check {
	e.orphans.mu.Lock()
	defer e.orphans.mu.Unlock()
	for _, name := range e.hosts.names {
		if all := e.orphans.forged[name]; len(all) > 0 {
			return Check{
				Name: "labels", Status: Warning,
				Message: fmt.Sprintf("foreign resources carry our labels on host %s: %d, the first is %s %s", name, len(all), all[0].Kind, all[0].Name),
				Hint:    "they are never touched; whoever made them should take the labels " + provisioner.LabelInstance + " and the like off",
			}
		}
	}
	return Check{Name: "labels", Status: OK, Message: "nothing foreign carries our labels"}
}
