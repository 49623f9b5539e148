package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// The kinds of events of what no environment accounts for.
const (
	eventOrphanSeen    = "orphan.seen"
	eventOrphanRemoved = "orphan.removed"
)

// orphanEvent is an entry of the record about something of no known environment.
func (w *Sweeper) orphanEvent(o fleet.Orphan, actor, kind, format string, args ...any) fleet.Event {
	return fleet.Event{
		At: w.cfg.Clock.Now(), Host: o.Host, EnvironmentID: o.EnvironmentID, Actor: actor, Kind: kind, Message: fmt.Sprintf(format, args...),
	}
}

// tellOrphans records those that were seen for the first time.
func (w *Sweeper) tellOrphans(ctx context.Context, all []fleet.Orphan) error {
	var events []fleet.Event
	for _, o := range all {
		if o.Sightings > 1 {
			continue
		}
		w.cfg.Logger.Warn("found an orphan", "host", o.Host, "kind", o.Kind, "name", o.Name, "environment", o.EnvironmentID)
		events = append(events, w.orphanEvent(o, journal.Self, eventOrphanSeen, "found %s %s, which no environment accounts for", o.Kind, o.Name))
	}
	if len(events) == 0 {
		return nil
	}
	return w.cfg.Store.AppendEvents(ctx, events...)
}

// removeOrphans removes what at least two sweeps have seen that lie the grace apart, and all in between, unless safe mode
// leaves that to people.
func (w *Sweeper) removeOrphans(ctx context.Context, h *target.Host, seen Diff) error {
	unsafe, err := w.cfg.Safety.Reason(ctx)
	if err != nil || unsafe != "" {
		return err
	}
	var errs []error
	for _, o := range inRemovalOrder(h, seen.orphans) {
		if o.LastSeen.Sub(o.FirstSeen) >= w.cfg.Grace {
			errs = append(errs, w.removeOrphan(ctx, h, o, journal.Self))
		}
	}
	return errors.Join(errs...)
}

// removeOrphan takes one away. Nobody else decides on it, and it was seen in a list just now, with labels that verify.
func (w *Sweeper) removeOrphan(ctx context.Context, h *target.Host, o fleet.Orphan, actor string) error {
	ref := provisioner.Ref{Kind: o.Kind, ID: o.ID, Name: o.Name, CreatedAt: o.CreatedAt}
	if err := h.Runtime.Remove(ctx, ref, o.EnvironmentID); err != nil {
		return fmt.Errorf("remove orphan %s %s: %w", o.Kind, o.Name, err)
	}
	w.orphans.noteRemoved(h, o.ID)
	w.cfg.Logger.Warn("removed an orphan", "host", o.Host, "kind", o.Kind, "name", o.Name, "environment", o.EnvironmentID)
	return w.cfg.Store.AppendEvents(ctx, w.orphanEvent(o, actor, eventOrphanRemoved,
		"removed %s %s, which no environment accounted for since %s", o.Kind, o.Name, o.FirstSeen.Format(time.RFC3339)))
}

func inRemovalOrder(h *target.Host, all []fleet.Orphan) []fleet.Orphan {
	return slices.SortedStableFunc(slices.Values(all), func(a, b fleet.Orphan) int {
		return h.Runtime.RemovalOrder(provisioner.Ref{Kind: a.Kind, ID: a.ID}, provisioner.Ref{Kind: b.Kind, ID: b.ID})
	})
}

// Remove takes all orphans of a group away, as somebody decided.
func (w *Sweeper) Remove(ctx context.Context, h *target.Host, group []fleet.Orphan, actor string) error {
	var errs []error
	for _, o := range inRemovalOrder(h, group) {
		errs = append(errs, w.removeOrphan(ctx, h, o, actor))
	}
	return errors.Join(errs...)
}

// Decision is what somebody decides on orphans and on doubted environments.
type Decision struct {
	// Orphan is done to the orphans of each environment, Doubt to each doubted environment.
	Orphan func(h *target.Host, group []fleet.Orphan, seen Looked) error
	Doubt  func(env fleet.Environment, seen Looked) error
	// Done is called once all was done, before anybody else decides.
	Done func(ctx context.Context) error
}

// Looked is what a look at the hosts found that people decide on.
type Looked struct {
	// Networks of unknown sandboxes, by sandbox.
	Networks map[string]string
	// Doubted are the sandboxes of doubted environments, by environment.
	Doubted map[string]Standing
}

// Standing is a sandbox that was found on a host.
type Standing struct {
	provisioner.Found
	Host string
}

// decideFor bounds the wait for sweeps to end: meanwhile those of other hosts wait, too.
const decideFor = 20 * time.Second

// maxDecided bounds how many environments one decision names.
const maxDecided = 1000

// Decide looks afresh, does what somebody decided to the orphans of each environment and to each doubted one, and looks
// again. ids are environment ids; none takes all.
func (w *Sweeper) Decide(ctx context.Context, ids []string, d Decision) error {
	if len(ids) > maxDecided {
		return fleet.Errorf(fleet.CodeInvalid, "%d environments are too many at once", len(ids)).WithHint("give at most %d, or all", maxDecided)
	}
	// What is begun is finished, also when whoever asked goes away.
	ctx = context.WithoutCancel(ctx)
	waiting, cancel := context.WithTimeout(ctx, decideFor)
	defer cancel()
	done, err := w.orphans.decide(waiting, w.cfg.Hosts.Names()...)
	if err != nil {
		return err
	}
	defer done()
	seen, err := w.lookAll(ctx)
	if err != nil {
		return unavailable(err)
	}
	groups, rows, err := w.chosen(ctx, ids)
	if err != nil {
		return err
	}
	var errs []error
	for _, env := range rows {
		if env.Host != "" && env.State != fleet.Pending {
			if _, err := w.servedHost(env.Host); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		errs = append(errs, d.Doubt(env, seen))
	}
	for _, group := range groups {
		h, err := w.servedHost(group[0].Host)
		if err == nil {
			err = d.Orphan(h, group, seen)
		}
		errs = append(errs, err)
	}
	for _, name := range w.cfg.Hosts.Served(w.cfg.Clock.Now()) { // what was removed is not to be seen again
		h, err := w.cfg.Hosts.Host(name)
		if err == nil {
			err = target.OutwaitLists(ctx, h)
		}
		errs = append(errs, err)
	}
	if _, err := w.lookAll(ctx); err != nil {
		errs = append(errs, unavailable(err))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := d.Done(ctx); err != nil {
		return err
	}
	w.cfg.Bus.Nudge(bus.Plan)
	return nil
}

// lookAll looks at every host that this daemon serves.
func (w *Sweeper) lookAll(ctx context.Context) (Looked, error) {
	all := Looked{Networks: map[string]string{}, Doubted: map[string]Standing{}}
	envs, err := w.cfg.Store.Live(ctx)
	if err != nil {
		return all, err
	}
	for _, name := range w.cfg.Hosts.Served(w.cfg.Clock.Now()) {
		h, err := w.cfg.Hosts.Host(name)
		if err != nil {
			return all, err
		}
		seen, err := w.Look(ctx, h, journal.On(h.Name, envs))
		if err != nil {
			return all, fmt.Errorf("look at host %s: %w", name, err)
		}
		for _, f := range seen.unknown {
			all.Networks[f.ID] = string(f.Attachment)
		}
		for id, f := range seen.doubted {
			all.Doubted[id] = Standing{f, name}
		}
	}
	return all, nil
}

// chosen gives the orphans of the ids, of all when there are none, by environment and host, and the doubted environments.
func (w *Sweeper) chosen(ctx context.Context, ids []string) (groups [][]fleet.Orphan, rows []fleet.Environment, err error) {
	all, err := w.cfg.Store.Orphans(ctx)
	if err != nil {
		return nil, nil, err
	}
	if rows, err = w.cfg.Store.Doubted(ctx); err != nil {
		return nil, nil, err
	}
	rows = slices.DeleteFunc(rows, func(env fleet.Environment) bool { return len(ids) > 0 && !slices.Contains(ids, env.ID) })
	at := map[[2]string]int{}
	for _, o := range all {
		if len(ids) > 0 && !slices.Contains(ids, o.EnvironmentID) {
			continue
		}
		key := [2]string{o.EnvironmentID, o.Host}
		i, ok := at[key]
		if !ok {
			i, at[key] = len(groups), len(groups)
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], o)
	}
	for _, id := range ids {
		if !slices.ContainsFunc(groups, func(g []fleet.Orphan) bool { return g[0].EnvironmentID == id }) &&
			!slices.ContainsFunc(rows, func(env fleet.Environment) bool { return env.ID == id }) {
			return nil, nil, fleet.Errorf(fleet.CodeNotFound, "there is no orphan of environment %q, and it is not doubted", id).WithHint("see: bothy orphans")
		}
	}
	return groups, rows, nil
}

// servedHost gives a host that this daemon acts on now.
func (w *Sweeper) servedHost(name string) (*target.Host, error) {
	h, err := w.cfg.Hosts.Host(name)
	if err == nil && !w.cfg.Hosts.Serves(name) {
		err = fleet.Errorf(fleet.CodeUnavailable, "the host %q is served by another daemon", name).
			WithHint("ask that daemon: bothy host ls")
	}
	return h, err
}

// unavailable tells a provider's fault from a fault of ours.
func unavailable(err error) error {
	if fleet.CodeOf(err) != fleet.CodeInternal {
		return err
	}
	return fleet.Errorf(fleet.CodeUnavailable, "what exists cannot be listed now: %s", provisioner.Sentence(err)).WithHint("try again; see: bothy doctor")
}
