package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// Host is an engine host that this daemon can reach.
type Host struct {
	provisioner.Target

	Driver  provisioner.Driver
	Runtime provisioner.Runtime
	// Networks is nil when the runtime keeps none.
	Networks provisioner.NetworkKeeper
	// Broker is nil when blueprints reach nothing real: then the driver alone says what is made.
	Broker provisioner.Broker
}

// hosts are the declared ones, and which of them this daemon serves now.
type hosts struct {
	names  []string // sorted
	byName map[string]*Host
	ready  map[string]*readiness

	mu   sync.Mutex
	held map[string]time.Time // until when
}

func newHosts(e *Engine, declared []Host) (*hosts, error) {
	hs := &hosts{byName: map[string]*Host{}, ready: map[string]*readiness{}, held: map[string]time.Time{}}
	for _, h := range declared {
		switch {
		case h.Name == "" || h.Driver == nil || h.Runtime == nil:
			return nil, errors.New("a host needs a name, a driver and a runtime")
		case hs.byName[h.Name] != nil:
			return nil, fmt.Errorf("the host %s is declared twice", h.Name)
		}
		hs.names = append(hs.names, h.Name)
		hs.byName[h.Name] = &h
		hs.ready[h.Name] = &readiness{e: e, host: &h, wake: make(chan struct{}, 1)}
	}
	if len(hs.names) == 0 {
		return nil, errors.New("at least one host is needed")
	}
	slices.Sort(hs.names)
	return hs, nil
}

func (hs *hosts) all() []*Host {
	var all []*Host
	for _, name := range hs.names {
		all = append(all, hs.byName[name])
	}
	return all
}

// A host is busy from busyFrom percent of pressure on. A quarter of its processors then make members of pools, one at least: they
// compete with what people wait for, and are not ready sooner for being more.
const (
	busyFrom       = 50
	busyProcessors = 4
)

// busy gives how many members of pools may be in the making at once on each host that is busy. It is known of those alone whose
// machine this daemon shares.
func (hs *hosts) busy() map[string]int {
	busy := map[string]int{}
	for _, h := range hs.byName {
		pressured, ok := provisioner.Can[provisioner.Pressured](h.Runtime)
		if !ok {
			continue
		}
		if percent, processors, ok := pressured.Pressure(); ok && percent >= busyFrom {
			busy[h.Name] = max(1, processors/busyProcessors)
		}
	}
	return busy
}

// checkName names a finding about a host; with only one host its name says nothing.
func (hs *hosts) checkName(what string, h *Host) string {
	if len(hs.names) == 1 {
		return what
	}
	return what + "/" + h.Name
}

// served gives the names of the hosts that this daemon serves at now.
func (hs *hosts) served(now time.Time) []string {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	var names []string
	for _, name := range hs.names {
		if now.Before(hs.held[name]) {
			names = append(names, name)
		}
	}
	return names
}

// lapsed reports whether a hold ran out without having been renewed or lost: this process, or its machine, was asleep.
func (hs *hosts) lapsed(now time.Time) bool {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	for _, until := range hs.held {
		if !now.Before(until) {
			return true
		}
	}
	return false
}

// setHeld replaces what is held. It gives what was held and is not any more, and whether something came to it.
func (hs *hosts) setHeld(held []fleet.Host) (lost []string, gained bool) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	now := map[string]time.Time{}
	for _, h := range held {
		now[h.Name] = h.Until
		gained = gained || hs.held[h.Name].IsZero()
	}
	for _, name := range hs.names {
		if _, still := now[name]; !still && !hs.held[name].IsZero() {
			lost = append(lost, name)
		}
	}
	hs.held = now
	return lost, gained
}

// anyDown reports whether a host could not be used when this daemon last looked.
func (hs *hosts) anyDown() bool {
	return slices.ContainsFunc(hs.all(), func(h *Host) bool { return hs.ready[h.Name].down.Load() })
}

// host gives the host that an environment stands on. Code unavailable: only another daemon can reach it.
func (e *Engine) host(name string) (*Host, error) {
	if h := e.hosts.byName[name]; h != nil {
		return h, nil
	}
	return nil, unreachable(name)
}

func unreachable(name string) *fleet.Error {
	return fleet.Errorf(fleet.CodeUnavailable, "the host %q is not one that this daemon can reach", name).
		WithHint("ask the daemon that serves it, or declare it here too: bothy host ls")
}

// hostFor gives the host that an environment stands on, to somebody who wants to use it. Code unavailable: only another
// daemon can reach it, which is named.
func (e *Engine) hostFor(ctx context.Context, env fleet.Environment) (*Host, error) {
	if h := e.hosts.byName[env.Host]; h != nil {
		return h, nil
	}
	row, err := e.hostRow(ctx, env.Host)
	if err != nil {
		return nil, err
	}
	switch err := unreachable(env.Host); {
	case !row.Served(e.Now()):
		return nil, err.WithHint("no running daemon serves it now, nothing is lost; the platform team sees it with: bothy host ls")
	case row.Address == "":
		return nil, err
	default:
		return nil, err.WithHint("ask the daemon that serves it%s: bothy --host %s exec %s -- COMMAND; cp, shell and logs alike",
			e.aboutAddress(row.Address), row.Address, env.Name)
	}
}

// aboutAddress says what is to be known of another daemon's address.
func (e *Engine) aboutAddress(address string) string {
	switch {
	case address == e.cfg.Advertise:
		return " (it gives people the same address as this one: set advertise, to a different one for each)"
	case strings.HasPrefix(address, "unix:"):
		return ", on its machine"
	}
	return ""
}

// hostRow reads a host; one that is not known has a name only.
func (e *Engine) hostRow(ctx context.Context, name string) (fleet.Host, error) {
	rows, err := e.store.Hosts(ctx)
	if err != nil {
		return fleet.Host{}, err
	}
	if i := slices.IndexFunc(rows, func(h fleet.Host) bool { return h.Name == name }); i >= 0 {
		return rows[i], nil
	}
	return fleet.Host{Name: name}, nil
}

// Elsewhere gives where people reach the daemon that serves a host which this one cannot reach: commands, copies and the
// sandbox's own output go there. It is empty when this daemon can reach the host, and when no address is known.
func (e *Engine) Elsewhere(ctx context.Context, host string) string {
	if host == "" || e.hosts.byName[host] != nil {
		return ""
	}
	row, err := e.hostRow(ctx, host)
	if err != nil {
		return "" // Whoever uses the environment is told all the same.
	}
	return row.Address
}

// serves reports whether this daemon is the one that acts on a host now.
func (e *Engine) serves(name string) bool { return slices.Contains(e.hosts.served(e.Now()), name) }

// declareHosts writes down what this daemon knows of its hosts and takes those that are free.
func (e *Engine) declareHosts(ctx context.Context) error {
	for _, h := range e.hosts.all() {
		row := fleet.Host{Name: h.Name, Endpoint: h.Endpoint, Labels: h.Labels, Capacity: fleet.Capacity(h.Capacity), SeenAt: e.Now()}
		if err := e.store.DeclareHost(ctx, row); err != nil {
			return err
		}
	}
	return e.holdOnce(ctx)
}

// holding is for how long hosts are held, and how often that is renewed. Where nobody else could take them over, the
// hold only shows that this process was asleep, and what is well is looked at less often.
func (e *Engine) holding() (lease, renew time.Duration) {
	if e.store.Shared() || e.hosts.anyDown() {
		return e.cfg.WorkLease, e.cfg.WorkLease / 4
	}
	return 4 * e.cfg.WorkLease, e.cfg.WorkLease
}

// holdHosts keeps this daemon's hold on its hosts until ctx ends, and gives them up then.
func (e *Engine) holdHosts(ctx context.Context) {
	loop(ctx, e.holdNudge, func() time.Duration {
		// Bounded, so that a database that hangs does not keep the daemon from knowing that its time is over.
		once, cancel := context.WithTimeout(ctx, e.cfg.WorkLease/3)
		defer cancel()
		if err := e.holdOnce(once); err != nil && ctx.Err() == nil {
			e.logger.Warn("holding hosts failed; it is tried again", "error", err)
			return e.apart(time.Second)
		}
		_, renew := e.holding()
		return renew
	})
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveFor)
	defer cancel()
	if err := e.store.LeaveHosts(leave, e.cfg.Worker); err != nil {
		e.logger.Warn("giving up hosts failed; they are free when their time is over", "error", err)
	}
}

// holdOnce renews and takes hosts, and notes whether each can be used, as far as is known: no engine is asked for it.
func (e *Engine) holdOnce(ctx context.Context) error {
	if err := e.resync(ctx); err != nil {
		return err
	}
	now := e.Now()
	lease, _ := e.holding()
	want := store.Hold{Worker: e.cfg.Worker, Address: e.cfg.Advertise, Names: e.hosts.names, Ended: e.cfg.Ended}
	got, err := e.store.HoldHosts(ctx, want, now, now.Add(lease))
	if err != nil {
		return err
	}
	lost, gained := e.hosts.setHeld(got.Hosts)
	if gained {
		nudge(e.warmNudge)
	}
	if len(lost) > 0 {
		// What still runs there is done under a lease of its own, and is finished as long as that is renewed: how long it
		// takes, and how often a host changes hands meanwhile, is nothing to it.
		e.logger.Warn("another daemon took hosts over", "hosts", strings.Join(lost, ", "))
		e.dropStages(lost)
	}
	if got.Freed > 0 {
		e.logger.Info("took over work that was cut off", "environments", got.Freed)
	}
	e.lookForTwin(got.Others)
	var errs []error
	for _, h := range got.Hosts {
		errs = append(errs, e.noteReadiness(ctx, h))
	}
	if len(got.Hosts) > 0 && got.Freed > 0 {
		nudge(e.planNudge)
		nudge(e.workNudge)
	}
	return errors.Join(errs...)
}

// noteReadiness writes down why a host cannot be used, when that is known and has changed.
func (e *Engine) noteReadiness(ctx context.Context, h fleet.Host) error {
	why, known := e.hosts.ready[h.Name].state()
	if known && why == "" {
		e.lookFirst(ctx, e.hosts.byName[h.Name])
	}
	if !known || ctx.Err() != nil || why == h.Down {
		return ctx.Err()
	}
	ev := fleet.Event{At: e.Now(), Host: h.Name, Actor: actorSelf, Kind: "host.up", Message: "the host can be used again"}
	if why != "" {
		ev.Kind, ev.Message = "host.down", why
	}
	if err := e.store.SetHostDown(ctx, h.Name, why, []fleet.Event{ev}); err != nil {
		return fmt.Errorf("note host %s: %w", h.Name, err)
	}
	nudge(e.planNudge)
	return nil
}
