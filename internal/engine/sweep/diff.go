package sweep

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Diff is the inventory diff of a host: what one complete list of its resources shows, compared with what is recorded.
type Diff struct {
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
	// Marks lie at the engine; Stands says that something of an environment does as well.
	Marks  []provisioner.Found
	Stands bool
	// Marked says that the mark at the engine was brought in line with this list already.
	Marked bool
	// idle are those of ours that were not running, by id, and the networks whose holders were not.
	idle map[string]bool
}

// marksNotKept is what may become of it when marks are not kept.
const marksNotKept = "how far the records are could not be kept; should the database be restored, safe mode may come late"

// orphanage is what this process knows of resources that no environment accounts for, by host.
type orphanage struct {
	mu sync.Mutex
	// deciding is full while somebody removes or adopts orphans of a host, so that none is both at once.
	deciding map[string]chan struct{}
	// forged carry our labels, and we did not make them.
	forged map[string][]provisioner.Found
	// removed are the resources that were removed, by host and id, for as long as lists may still show them.
	removed map[string]map[string]time.Time
}

func newOrphanage(hosts []string) *orphanage {
	o := &orphanage{deciding: map[string]chan struct{}{}, forged: map[string][]provisioner.Found{}, removed: map[string]map[string]time.Time{}}
	for _, name := range hosts {
		o.deciding[name] = make(chan struct{}, 1)
	}
	return o
}

// Hold keeps others from deciding on the orphans of hosts, which are in order, until the returned function is called. Code
// unavailable: somebody else decided on those of one until ctx ended, as a sweep does whose engine hangs.
func (w *Sweeper) Hold(ctx context.Context, hosts ...string) (done func(), err error) {
	return w.orphans.decide(ctx, hosts...)
}

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

// noteRemoved remembers that a resource of a host was removed.
func (o *orphanage) noteRemoved(h *target.Host, id string) {
	if h.Runtime.Capabilities().ListLag == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.removed[h.Name] == nil {
		o.removed[h.Name] = map[string]time.Time{}
	}
	o.removed[h.Name][id] = time.Now()
}

// withoutRemoved drops from a list that began at a time what was removed and is only still listed because lists are late. What is
// listed after that was not removed after all.
func (o *orphanage) withoutRemoved(h *target.Host, all []provisioner.Found, began time.Time) []provisioner.Found {
	o.mu.Lock()
	defer o.mu.Unlock()
	removed, lag := o.removed[h.Name], h.Runtime.Capabilities().ListLag
	maps.DeleteFunc(removed, func(_ string, at time.Time) bool { return began.Sub(at) > lag })
	if len(removed) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(f provisioner.Found) bool { _, ok := removed[f.ID]; return ok })
}

// Look lists a host's resources and notes what is unknown. What is new is recorded.
func (w *Sweeper) Look(ctx context.Context, h *target.Host, envs map[string]fleet.Environment) (Diff, error) {
	began := time.Now()
	all, err := target.Listed(ctx, h, w.cfg.Instance, "")
	if err != nil {
		return Diff{}, err
	}
	all = w.orphans.withoutRemoved(h, all, began)
	w.cfg.Evidence.Listed(h.Name, envs, all)
	s, forged, err := w.compare(ctx, h, envs, all)
	if err != nil {
		return s, err
	}
	w.noteForged(h, forged)
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
	unsafe, err := w.cfg.Marks.Believe(ctx, h, s.ahead, s.Marks)
	if err != nil {
		return s, err
	}
	if s.orphans, err = w.cfg.Store.SeeOrphans(ctx, h.Name, found, w.cfg.Clock.Now()); err != nil {
		return s, err
	}
	if unsafe != "" {
		// Not left to the sweep: somebody may decide on all before it, and what the mark knows would turn safe mode on again.
		if err := w.cfg.Marks.Keep(ctx, h, s.Stands, s.Marks); err != nil {
			w.cfg.Logger.Warn(marksNotKept, "host", h.Name, "error", err)
		} else {
			s.Marked = true
		}
	}
	return s, w.tellOrphans(ctx, s.orphans)
}

// compare sorts what was listed. What does not verify is not ours, and only counted.
func (w *Sweeper) compare(ctx context.Context, h *target.Host, envs map[string]fleet.Environment, all []provisioner.Found) (s Diff, forged []provisioner.Found, err error) {
	s = Diff{ids: map[string]bool{}, rows: map[string]fleet.Environment{}, doubted: map[string]provisioner.Found{}, idle: map[string]bool{}}
	made := map[string]string{}
	for _, f := range all {
		s.ids[f.ID] = true
		if env, ok := envs[f.Labels[provisioner.LabelEnvironment]]; ok && f.ID == env.SandboxID {
			made[env.ID] = f.Labels[provisioner.LabelGeneration]
		}
	}
	slices.SortFunc(all, h.ByRemovalOrder)
	for _, f := range all {
		id := f.Labels[provisioner.LabelEnvironment]
		if !w.cfg.Labels.Verify(f.Labels) {
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
				s.Marks = append(s.Marks, f)
			}
			continue // or the keeper's
		}
		s.Stands = true
		env, known, err := w.rowOf(ctx, &s, envs, id)
		if err == nil && s.ahead == "" {
			s.ahead, err = w.cfg.Marks.Ahead(ctx, f, env, known)
		}
		switch {
		case err != nil:
			return s, forged, err
		case !known:
			s.unknown = append(s.unknown, f)
		case env.Doubted && f.Kind == h.SandboxKind():
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
func (w *Sweeper) rowOf(ctx context.Context, s *Diff, envs map[string]fleet.Environment, id string) (fleet.Environment, bool, error) {
	if env, ok := envs[id]; ok {
		return env, true, nil
	}
	if env, ok := s.rows[id]; ok {
		return env, true, nil
	}
	env, err := w.cfg.Store.Get(ctx, id)
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
func stale(env fleet.Environment, h *target.Host, f provisioner.Found, made string) bool {
	if !env.Ready() {
		return false
	}
	return env.Host != h.Name || made != "" && f.Labels[provisioner.LabelGeneration] != made
}

// noteForged remembers what carries our labels and was not made by us, and tells of each once.
func (w *Sweeper) noteForged(h *target.Host, now []provisioner.Found) {
	w.orphans.mu.Lock()
	defer w.orphans.mu.Unlock()
	for _, f := range now {
		if !slices.ContainsFunc(w.orphans.forged[h.Name], func(g provisioner.Found) bool { return g.Kind == f.Kind && g.ID == f.ID }) {
			w.cfg.Logger.Warn("something carries our labels that we did not make; it is never touched", "host", h.Name, "kind", f.Kind, "name", f.Name)
		}
	}
	w.orphans.forged[h.Name] = now
}

// Check tells of what carries our labels and was not made by us.
func (w *Sweeper) Check(context.Context) doctor.Check {
	w.orphans.mu.Lock()
	defer w.orphans.mu.Unlock()
	for _, name := range w.cfg.Hosts.Names() {
		if all := w.orphans.forged[name]; len(all) > 0 {
			return doctor.Check{
				Name: "labels", Status: doctor.Warning,
				Message: fmt.Sprintf("foreign resources carry our labels on host %s: %d, the first is %s %s", name, len(all), all[0].Kind, all[0].Name),
				Hint:    "they are never touched; whoever made them should take the labels " + provisioner.LabelInstance + " and the like off",
			}
		}
	}
	return doctor.Check{Name: "labels", Status: doctor.OK, Message: "nothing foreign carries our labels"}
}
