package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// The kinds of events of what no environment accounts for.
const (
	eventOrphanSeen    = "orphan.seen"
	eventOrphanRemoved = "orphan.removed"
	eventOrphanAdopted = "orphan.adopted"
)

// orphanEvent is an entry of the record about something of no known environment.
func (e *Engine) orphanEvent(o fleet.Orphan, actor, kind, format string, args ...any) fleet.Event {
	return fleet.Event{
		At: e.Now(), Host: o.Host, EnvironmentID: o.EnvironmentID, Actor: actor, Kind: kind, Message: fmt.Sprintf(format, args...),
	}
}

// tellOrphans records those that were seen for the first time.
func (e *Engine) tellOrphans(ctx context.Context, all []fleet.Orphan) error {
	var events []fleet.Event
	for _, o := range all {
		if o.Sightings > 1 {
			continue
		}
		e.logger.Warn("found an orphan", "host", o.Host, "kind", o.Kind, "name", o.Name, "environment", o.EnvironmentID)
		events = append(events, e.orphanEvent(o, actorSelf, eventOrphanSeen, "found %s %s, which no environment accounts for", o.Kind, o.Name))
	}
	if len(events) == 0 {
		return nil
	}
	return e.store.AppendEvents(ctx, events...)
}

// removeOrphans removes what at least two sweeps have seen that lie the grace apart, and all in between, unless safe mode
// leaves that to people.
func (e *Engine) removeOrphans(ctx context.Context, h *Host, seen census) error {
	safe, err := e.safety(ctx)
	if err != nil || safe.Reason != "" {
		return err
	}
	var errs []error
	for _, o := range h.inRemovalOrder(seen.orphans) {
		if o.LastSeen.Sub(o.FirstSeen) >= e.cfg.OrphanGrace {
			errs = append(errs, e.removeOrphan(ctx, h, o, actorSelf))
		}
	}
	return errors.Join(errs...)
}

// removeOrphan takes one away. Nobody else decides on it, and it was seen in a list just now, with labels that verify.
func (e *Engine) removeOrphan(ctx context.Context, h *Host, o fleet.Orphan, actor string) error {
	ref := provisioner.Ref{Kind: o.Kind, ID: o.ID, Name: o.Name, CreatedAt: o.CreatedAt}
	if err := h.Runtime.Remove(ctx, ref, o.EnvironmentID); err != nil {
		return fmt.Errorf("remove orphan %s %s: %w", o.Kind, o.Name, err)
	}
	e.logger.Warn("removed an orphan", "host", o.Host, "kind", o.Kind, "name", o.Name, "environment", o.EnvironmentID)
	return e.store.AppendEvents(ctx, e.orphanEvent(o, actor, eventOrphanRemoved,
		"removed %s %s, which no environment accounted for since %s", o.Kind, o.Name, o.FirstSeen.Format(time.RFC3339)))
}

func (h *Host) inRemovalOrder(all []fleet.Orphan) []fleet.Orphan {
	return slices.SortedStableFunc(slices.Values(all), func(a, b fleet.Orphan) int {
		return h.Runtime.RemovalOrder(provisioner.Ref{Kind: a.Kind, ID: a.ID}, provisioner.Ref{Kind: b.Kind, ID: b.ID})
	})
}

// Orphans gives what exists at the provider and no environment accounts for.
func (e *Engine) Orphans(ctx context.Context, _ fleet.Identity) (OrphanReport, error) {
	return e.orphanReport(ctx)
}

func (e *Engine) orphanReport(ctx context.Context) (OrphanReport, error) {
	safe, err := e.safety(ctx)
	if err != nil {
		return OrphanReport{}, err
	}
	all, err := e.store.Orphans(ctx)
	if err != nil {
		return OrphanReport{}, err
	}
	doubted, err := e.doubts(ctx)
	return OrphanReport{Safe: safe.Reason != "", Reason: safe.Reason, Orphans: all, Doubted: doubted}, err
}

// decision is what somebody decides on orphans and on doubted environments.
type decision struct {
	orphan func(h *Host, group []fleet.Orphan, seen lookedUp) error
	doubt  func(env fleet.Environment, seen lookedUp) error
}

// AdoptOrphans keeps what exists. Orphans become environments: each is leased, from now on, to the user that its labels name, in
// their size, tenant and team, for its blueprint's default time and at the price of now. Doubted environments stay their
// holder's, for at least the time that they were asked for, from now; those that belong to nobody are leased to who. ids are
// environment ids; none takes all that can be kept. It ends safe mode when nothing is left to decide on.
//
// Errors: not_found (nothing to decide on has that id, or its blueprint is gone), conflict
// (there is no sandbox to adopt, or its environment is known), unavailable (it is on a host of another daemon).
func (e *Engine) AdoptOrphans(ctx context.Context, who fleet.Identity, ids []string) (OrphanReport, error) {
	return e.decideOrphans(ctx, who, ids, decision{
		orphan: func(h *Host, group []fleet.Orphan, seen lookedUp) error {
			err := e.adopt(ctx, who, h, group, seen.networks)
			if len(ids) == 0 && (fleet.CodeOf(err) == fleet.CodeConflict || fleet.CodeOf(err) == fleet.CodeNotFound) {
				e.logger.Warn("an orphan cannot be adopted; it is left", "environment", group[0].EnvironmentID, "cause", err)
				return nil
			}
			return err
		},
		doubt: func(env fleet.Environment, seen lookedUp) error { return e.keep(ctx, who, env, seen) },
	})
}

// PurgeOrphans removes orphans, and doubted environments, now. ids are environment ids; none takes all. It ends safe mode when
// nothing is left to decide on.
//
// Errors: not_found (nothing to decide on has that id), unavailable (it is on a host of another
// daemon, or its engine is away).
func (e *Engine) PurgeOrphans(ctx context.Context, who fleet.Identity, ids []string) (OrphanReport, error) {
	return e.decideOrphans(ctx, who, ids, decision{
		orphan: func(h *Host, group []fleet.Orphan, _ lookedUp) error {
			var errs []error
			for _, o := range h.inRemovalOrder(group) {
				errs = append(errs, e.removeOrphan(ctx, h, o, who.User))
			}
			return errors.Join(errs...)
		},
		doubt: func(env fleet.Environment, _ lookedUp) error { return e.letGo(ctx, who, env) },
	})
}

// decideFor bounds the wait for sweeps to end: meanwhile those of other hosts wait, too.
const decideFor = 20 * time.Second

// maxDecided bounds how many environments one decision names.
const maxDecided = 1000

// decideOrphans looks afresh, does what somebody decided to the orphans of each environment and to each doubted one, and looks
// again.
func (e *Engine) decideOrphans(ctx context.Context, who fleet.Identity, ids []string, d decision) (OrphanReport, error) {
	if len(ids) > maxDecided {
		return OrphanReport{}, fleet.Errorf(fleet.CodeInvalid, "%d environments are too many at once", len(ids)).WithHint("give at most %d, or all", maxDecided)
	}
	// What is begun is finished, also when whoever asked goes away.
	ctx = context.WithoutCancel(ctx)
	waiting, cancel := context.WithTimeout(ctx, decideFor)
	defer cancel()
	done, err := e.orphans.decide(waiting, e.hosts.names...)
	if err != nil {
		return OrphanReport{}, err
	}
	defer done()
	seen, err := e.lookAll(ctx)
	if err != nil {
		return OrphanReport{}, unavailable(err)
	}
	groups, rows, err := e.chosen(ctx, ids)
	if err != nil {
		return OrphanReport{}, err
	}
	var errs []error
	for _, env := range rows {
		if env.Host != "" && env.State != fleet.Pending {
			if _, err := e.servedHost(env.Host); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		errs = append(errs, d.doubt(env, seen))
	}
	for _, group := range groups {
		h, err := e.servedHost(group[0].Host)
		if err == nil {
			err = d.orphan(h, group, seen)
		}
		errs = append(errs, err)
	}
	for _, name := range e.hosts.served(e.Now()) { // what was removed is not to be seen again
		errs = append(errs, e.outwaitLists(ctx, e.hosts.byName[name]))
	}
	if _, err := e.lookAll(ctx); err != nil {
		errs = append(errs, unavailable(err))
	}
	if err := errors.Join(errs...); err != nil {
		return OrphanReport{}, err
	}
	if err := e.endSafeMode(ctx, who); err != nil {
		return OrphanReport{}, err
	}
	nudge(e.planNudge)
	return e.orphanReport(ctx)
}

// lookAll looks at every host that this daemon serves.
func (e *Engine) lookAll(ctx context.Context) (lookedUp, error) {
	all := lookedUp{networks: map[string]string{}, doubted: map[string]standing{}}
	envs, err := e.store.Live(ctx)
	if err != nil {
		return all, err
	}
	for _, name := range e.hosts.served(e.Now()) {
		h := e.hosts.byName[name]
		seen, err := e.look(ctx, h, on(h, envs))
		if err != nil {
			return all, fmt.Errorf("look at host %s: %w", name, err)
		}
		for _, f := range seen.unknown {
			all.networks[f.ID] = string(f.Attachment)
		}
		for id, f := range seen.doubted {
			all.doubted[id] = standing{f, name}
		}
	}
	return all, nil
}

// chosen gives the orphans of the ids, of all when there are none, by environment and host, and the doubted environments.
func (e *Engine) chosen(ctx context.Context, ids []string) (groups [][]fleet.Orphan, rows []fleet.Environment, err error) {
	all, err := e.store.Orphans(ctx)
	if err != nil {
		return nil, nil, err
	}
	if rows, err = e.store.Doubted(ctx); err != nil {
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
func (e *Engine) servedHost(name string) (*Host, error) {
	h, err := e.host(name)
	if err == nil && !e.serves(name) {
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
