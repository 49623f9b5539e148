// Package hosts is which declared hosts this daemon serves, and whether each can be used: it holds them by lease, probes each on its own, and
// tells of those that are lost. What runs on a host is nothing to it.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/guard"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// Rows are the live environments.
type Rows interface {
	// Read gives all of them to use, which is not to keep what it is given.
	Read(ctx context.Context, use func(live []fleet.Environment)) error
}

// Neighbours are the rooms that hear of hosts.
type Neighbours interface {
	// Lost tells that another daemon took hosts over.
	Lost(hosts []string)
	// Usable tells, again and again and before anything is done there, that a host can be used. It does not wait.
	Usable(ctx context.Context, h *target.Host)
}

// Config is what Hosts are made of.
type Config struct {
	Declared   []target.Host
	Store      *store.Store
	Rows       Rows
	Neighbours Neighbours
	Clock      *clock.Clock
	Bus        *bus.Bus
	Guard      *guard.Guard
	Logger     *slog.Logger
	// Worker, Ended, Advertise, WorkLease, Twin and NewID are those of the daemon's configuration.
	Worker    string
	Ended     []string
	Advertise string
	WorkLease time.Duration
	Twin      string
	NewID     func() error
	// Room, when not nil, says why nothing new may be made on this machine's disk.
	Room func() error
}

// Hosts are the declared ones, and which of them this daemon serves now.
type Hosts struct {
	cfg    Config
	store  *store.Store
	clock  *clock.Clock
	bus    *bus.Bus
	logger *slog.Logger

	*Directory
	names []string // sorted
	ready map[string]*Readiness
	twins *Twins

	mu   sync.Mutex
	held map[string]time.Time // until when
}

// New checks what is declared. It starts nothing.
func New(cfg Config) (*Hosts, error) {
	hs := &Hosts{
		cfg: cfg, store: cfg.Store, clock: cfg.Clock, bus: cfg.Bus, logger: cfg.Logger,
		Directory: &Directory{store: cfg.Store, clock: cfg.Clock, advertise: cfg.Advertise, byName: map[string]*target.Host{}},
		ready:     map[string]*Readiness{}, held: map[string]time.Time{},
		twins: &Twins{cfg: cfg},
	}
	for _, h := range cfg.Declared {
		switch {
		case h.Name == "" || h.Driver == nil || h.Runtime == nil:
			return nil, errors.New("a host needs a name, a driver and a runtime")
		case hs.byName[h.Name] != nil:
			return nil, fmt.Errorf("the host %s is declared twice", h.Name)
		}
		hs.names = append(hs.names, h.Name)
		hs.byName[h.Name] = &h
		hs.ready[h.Name] = &Readiness{guard: cfg.Guard, bus: cfg.Bus, logger: cfg.Logger, host: &h, room: hs.Room, wake: make(chan struct{}, 1)}
	}
	if len(hs.names) == 0 {
		return nil, errors.New("at least one host is required")
	}
	slices.Sort(hs.names)
	return hs, nil
}

// Names are those of the declared ones, in order.
func (hs *Hosts) Names() []string { return hs.names }

// Ready tells whether a declared host can be used.
func (hs *Hosts) Ready(name string) *Readiness { return hs.ready[name] }

// Twins tells of other processes that have this daemon's id.
func (hs *Hosts) Twins() *Twins { return hs.twins }

// All gives the declared ones, by name.
func (hs *Hosts) All() []*target.Host {
	var all []*target.Host
	for _, name := range hs.names {
		all = append(all, hs.byName[name])
	}
	return all
}

// Usable returns the hosts that answered the last probe and can do what bothy needs.
func (hs *Hosts) Usable() []*target.Host {
	var usable []*target.Host
	for _, h := range hs.All() {
		if why, known := hs.ready[h.Name].state(); known && why == "" {
			usable = append(usable, h)
		}
	}
	return usable
}

// A host is busy from busyFrom percent of pressure on. A quarter of its processors then make members of pools, one at least: they
// compete with what people wait for, and are not ready sooner for being more.
const (
	busyFrom       = 50
	busyProcessors = 4
)

// Busy gives how many members of pools may be in the making at once on each host that is busy. It is known of those alone whose
// machine this daemon shares.
func (hs *Hosts) Busy() map[string]int {
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

// CheckName names a finding about a host; with only one host its name says nothing.
func (hs *Hosts) CheckName(what string, h *target.Host) string {
	if len(hs.names) == 1 {
		return what
	}
	return what + "/" + h.Name
}

// Served gives the names of the hosts that this daemon serves at now.
func (hs *Hosts) Served(now time.Time) []string {
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
func (hs *Hosts) lapsed(now time.Time) bool {
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
func (hs *Hosts) setHeld(held []fleet.Host) (lost []string, gained bool) {
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

// leaveFor bounds the last write of a daemon that stops.
const leaveFor = 5 * time.Second

// anyDown reports whether a host could not be used when this daemon last looked.
func (hs *Hosts) anyDown() bool {
	return slices.ContainsFunc(hs.All(), func(h *target.Host) bool { return hs.ready[h.Name].down.Load() })
}

// Serves reports whether this daemon is the one that acts on a host now.
func (hs *Hosts) Serves(name string) bool { return slices.Contains(hs.Served(hs.clock.Now()), name) }

// Declare writes down what this daemon knows of its hosts and takes those that are free.
func (hs *Hosts) Declare(ctx context.Context) error {
	for _, h := range hs.All() {
		row := fleet.Host{Name: h.Name, Endpoint: h.Endpoint, Labels: h.Labels, Capacity: fleet.Capacity(h.Capacity), SeenAt: hs.clock.Now()}
		if err := hs.store.DeclareHost(ctx, row); err != nil {
			return err
		}
	}
	return hs.holdOnce(ctx)
}

// holding is for how long hosts are held, and how often that is renewed. Where nobody else could take them over, the
// hold only shows that this process was asleep, and what is well is looked at less often.
func (hs *Hosts) holding() (lease, renew time.Duration) {
	if hs.store.Shared() || hs.anyDown() {
		return hs.cfg.WorkLease, hs.cfg.WorkLease / 4
	}
	return 4 * hs.cfg.WorkLease, hs.cfg.WorkLease
}

// Run keeps this daemon's hold on its hosts until ctx ends, and gives them up then.
func (hs *Hosts) Run(ctx context.Context) {
	bus.Loop(ctx, hs.bus.On(bus.Hold), func() time.Duration {
		// Bounded, so that a database that hangs does not keep the daemon from knowing that its time is over.
		once, cancel := context.WithTimeout(ctx, hs.cfg.WorkLease/3)
		defer cancel()
		if err := hs.holdOnce(once); err != nil && ctx.Err() == nil {
			hs.logger.Warn("holding hosts failed; it is tried again", "error", err)
			return hs.bus.Apart(time.Second)
		}
		_, renew := hs.holding()
		return renew
	})
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveFor)
	defer cancel()
	if err := hs.store.LeaveHosts(leave, hs.cfg.Worker); err != nil {
		hs.logger.Warn("giving up hosts failed; they are free when their time is over", "error", err)
	}
}

// RenewLapsed renews holds that ran out while this process was asleep.
func (hs *Hosts) RenewLapsed(ctx context.Context) error {
	if !hs.lapsed(hs.clock.Now()) {
		return nil
	}
	return hs.holdOnce(ctx)
}

// holdOnce renews and takes hosts, and notes whether each can be used, as far as is known: no engine is asked for it.
func (hs *Hosts) holdOnce(ctx context.Context) error {
	if err := hs.clock.Resync(ctx, hs.store, hs.logger); err != nil {
		return err
	}
	now := hs.clock.Now()
	lease, _ := hs.holding()
	want := store.Hold{Worker: hs.cfg.Worker, Address: hs.cfg.Advertise, Names: hs.names, Ended: hs.cfg.Ended}
	got, err := hs.store.HoldHosts(ctx, want, now, now.Add(lease))
	if err != nil {
		return err
	}
	lost, gained := hs.setHeld(got.Hosts)
	if gained {
		hs.bus.Nudge(bus.Warm)
	}
	if len(lost) > 0 {
		// What still runs there is done under a lease of its own, and is finished as long as that is renewed: how long it
		// takes, and how often a host changes hands meanwhile, is nothing to it.
		hs.logger.Warn("another daemon took hosts over", "hosts", strings.Join(lost, ", "))
		hs.cfg.Neighbours.Lost(lost)
	}
	if got.Freed > 0 {
		hs.logger.Info("took over work that was cut off", "environments", got.Freed)
	}
	hs.twins.See(got.Others)
	var errs []error
	for _, h := range got.Hosts {
		errs = append(errs, hs.noteReadiness(ctx, h))
	}
	if len(got.Hosts) > 0 && got.Freed > 0 {
		hs.bus.Nudge(bus.Plan, bus.Work)
	}
	return errors.Join(errs...)
}

// noteReadiness writes down why a host cannot be used, when that is known and has changed.
func (hs *Hosts) noteReadiness(ctx context.Context, h fleet.Host) error {
	why, known := hs.ready[h.Name].state()
	if known && why == "" {
		hs.cfg.Neighbours.Usable(ctx, hs.byName[h.Name])
	}
	if !known || ctx.Err() != nil || why == h.Down {
		return ctx.Err()
	}
	ev := fleet.Event{At: hs.clock.Now(), Host: h.Name, Actor: journal.Self, Kind: "host.up", Message: "the host can be used again"}
	if why != "" {
		ev.Kind, ev.Message = "host.down", why
	}
	if err := hs.store.SetHostDown(ctx, h.Name, why, []fleet.Event{ev}); err != nil {
		return fmt.Errorf("note host %s: %w", h.Name, err)
	}
	hs.bus.Nudge(bus.Plan)
	return nil
}
