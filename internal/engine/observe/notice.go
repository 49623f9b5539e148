package observe

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/guard"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// What is handed over is looked at again: a runtime that can tells of each start and end, and the sweep lists them all.

const (
	// noticeEvery is how often a host is looked through whose runtime cannot tell of changes, and at most how late the
	// loop notices that this daemon serves a host now.
	noticeEvery = 5 * time.Second
	// settleBefore is the wait before a look, so that an end and the start that follows it are seen as the restart they are.
	settleBefore = time.Second
	// watchAgain is the first and longestWatch the longest wait before a connection that broke is made again.
	watchAgain, longestWatch = time.Second, 10 * time.Second
	// noticesAtOnce bounds how many sandboxes of a host are looked at at once.
	noticesAtOnce = 8
)

// Liveness looks after sandboxes that are ready for use.
type Liveness struct {
	cfg    Config
	memory *Memory
	// notices are the sandboxes that are to be looked at, by host; mishaps what befell sandboxes of late.
	notices map[string]*notices
	mishaps mishaps
}

// NewLiveness makes it. What its runtimes tell of a want of memory it passes on to memory.
func NewLiveness(c Config, memory *Memory) *Liveness {
	return &Liveness{cfg: c, memory: memory, notices: newNotices(c.Hosts.All())}
}

// notices are the environments and networks of one host that something has happened to.
type notices struct {
	mu       sync.Mutex
	envs     map[string]bool
	networks map[string]bool
	// all says that changes may have been missed.
	all  bool
	wake chan struct{}
}

func newNotices(hosts []*target.Host) map[string]*notices {
	of := map[string]*notices{}
	for _, h := range hosts {
		of[h.Name] = &notices{envs: map[string]bool{}, networks: map[string]bool{}, wake: make(chan struct{}, 1)}
	}
	return of
}

func (n *notices) add(change func(*notices)) {
	n.mu.Lock()
	change(n)
	n.mu.Unlock()
	bus.Nudge(n.wake)
}

// later has an environment looked at the next time.
func (n *notices) later(id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.envs[id] = true
}

// missed has all looked at the next time.
func (n *notices) missed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = true
}

// take returns what must be looked at, and forgets it.
func (n *notices) take() (envs, networks map[string]bool, all bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	envs, networks, all = n.envs, n.networks, n.all
	n.envs, n.networks, n.all = map[string]bool{}, map[string]bool{}, false
	return envs, networks, all
}

// Look has an environment looked at whose sandbox was found not to run, and gives the hint for whoever found it.
func (l *Liveness) Look(env fleet.Environment) string {
	if n := l.notices[env.Host]; n != nil {
		n.add(func(n *notices) { n.envs[env.ID] = true })
	}
	return "bothy looks into it now; try again in a few seconds, or see: bothy why " + env.Name
}

// Run looks after the sandboxes of every host until ctx ends.
func (l *Liveness) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, h := range l.cfg.Hosts.All() {
		l.cfg.Guard.KeepUp(ctx, &all, "the watch over host "+h.Name, func() { l.watchHost(ctx, h) })
		l.cfg.Guard.KeepUp(ctx, &all, "the notices of host "+h.Name, func() { l.noticeHost(ctx, h) })
	}
	all.Wait()
}

// watchHost notes what a host's runtime tells. Whoever does not serve the host listens, too: it may from the next moment on.
func (l *Liveness) watchHost(ctx context.Context, h *target.Host) {
	watcher, ok := provisioner.Can[provisioner.Watcher](h.Runtime)
	if !ok {
		return
	}
	n, wait := l.notices[h.Name], watchAgain
	for ctx.Err() == nil {
		err := watcher.Watch(ctx, l.cfg.Instance, func() {
			wait = watchAgain
			n.add(func(n *notices) { n.all = true })
			l.memory.starved[h.Name].tells(true)
		}, func(f provisioner.Found) { l.happened(n, h.Name, f) })
		l.memory.starved[h.Name].tells(false)
		if ctx.Err() != nil || bus.Wait(ctx, nil, wait) != nil {
			return
		}
		l.cfg.Logger.Debug("changes of sandboxes are not told; all are looked at again", "host", h.Name, "cause", err)
		wait = min(2*wait, longestWatch)
	}
}

// happened notes one change.
func (l *Liveness) happened(n *notices, host string, f provisioner.Found) {
	if !l.cfg.Labels.Verify(f.Labels) {
		return
	}
	switch id := f.Labels[provisioner.LabelEnvironment]; {
	case f.OutOfMemory && id != "":
		l.memory.starved[host].add(id)
	case id != "":
		n.add(func(n *notices) { n.envs[id] = true })
	case f.State == provisioner.StateEnded && f.Attachment != "":
		// What belongs to no environment holds a network.
		n.add(func(n *notices) { n.networks[string(f.Attachment)] = true })
	}
}

// noticeHost looks at what something has happened to.
func (l *Liveness) noticeHost(ctx context.Context, h *target.Host) {
	n, served := l.notices[h.Name], false
	_, told := provisioner.Can[provisioner.Watcher](h.Runtime)
	bus.Loop(ctx, n.wake, func() time.Duration {
		if bus.Wait(ctx, nil, min(settleBefore, l.cfg.Tick)) != nil {
			return noticeEvery
		}
		envs, networks, all := n.take()
		before := served
		if served = l.cfg.Hosts.Serves(h.Name); !served {
			return noticeEvery
		}
		all = all || !before || !told
		if err := l.noticeThese(ctx, h, envs, networks, all); err != nil && ctx.Err() == nil {
			l.cfg.Logger.Warn("looking at sandboxes failed; they are looked at again", "host", h.Name, "error", err)
		}
		return noticeEvery
	})
}

// noticeThese looks at environments by id and by network, or at all of a host.
func (l *Liveness) noticeThese(ctx context.Context, h *target.Host, ids, networks map[string]bool, all bool) error {
	var envs []fleet.Environment
	if all || len(networks) > 0 {
		live, err := l.cfg.Rows.On(ctx, h.Name)
		if err != nil {
			l.notices[h.Name].missed()
			return err
		}
		for _, env := range live {
			if all || ids[env.ID] || networks[env.Network] {
				envs = append(envs, env)
			}
		}
		return l.noticeAll(ctx, h, envs)
	}
	for id := range ids {
		env, err := l.cfg.Store.Get(ctx, id)
		if fleet.CodeOf(err) == fleet.CodeNotFound {
			continue
		}
		if err != nil {
			l.notices[h.Name].missed()
			return err
		}
		envs = append(envs, env)
	}
	return l.noticeAll(ctx, h, envs)
}

// LookAtListed looks closer at what a complete list shows not to run: the ids of those are in idle, and the networks whose holders do not.
func (l *Liveness) LookAtListed(ctx context.Context, h *target.Host, envs map[string]fleet.Environment, idle map[string]bool) error {
	var these []fleet.Environment
	for _, env := range envs {
		if idle[env.SandboxID] || idle[env.Network] {
			these = append(these, env)
		}
	}
	return l.noticeAll(ctx, h, these)
}

// noticeAll looks at the sandboxes of environments that are ready and can be believed. What fails is looked at again.
func (l *Liveness) noticeAll(ctx context.Context, h *target.Host, envs []fleet.Environment) error {
	envs = slices.DeleteFunc(envs, func(env fleet.Environment) bool {
		return !env.Ready() || env.SandboxID == "" || env.Host != h.Name || env.Doubted || env.Lease.Expired(l.cfg.Clock.Now())
	})
	return guard.SideBySide(l.cfg.Guard, "the look at a sandbox", envs, noticesAtOnce, func(env fleet.Environment) error {
		whole := false
		defer func() {
			if !whole {
				l.notices[h.Name].later(env.ID)
			}
		}()
		err := l.notice(ctx, h, env)
		whole = err == nil
		return err
	})
}

// sight is what a look at a sandbox shows.
type sight struct {
	provisioner.Status
	offNetwork bool
}

// see looks at a sandbox.
func see(ctx context.Context, h *target.Host, env fleet.Environment) (s sight, err error) {
	ctx, cancel := context.WithTimeout(ctx, target.LookFor)
	defer cancel()
	if s.Status, err = h.Runtime.Inspect(ctx, env.SandboxID); err != nil {
		return s, err
	}
	if r, ok := provisioner.Can[provisioner.Restarter](h.Runtime); ok && s.Running {
		s.offNetwork, err = r.OffNetwork(ctx, env.SandboxID)
	}
	return s, err
}

// notice looks at one environment's sandbox and sees to what has become of it.
func (l *Liveness) notice(ctx context.Context, h *target.Host, env fleet.Environment) error {
	s, err := see(ctx, h, env)
	if provisioner.Is(err, provisioner.NotFound) {
		return l.cfg.FindLost(ctx, h, env)
	}
	if err != nil {
		return fmt.Errorf("look at sandbox of %s: %w", env.Name, err)
	}
	again := !env.StartedAt.IsZero() && clock.Kept(s.StartedAt).After(env.StartedAt)
	switch {
	case env.State == fleet.Warm && (s.Ended() || again || s.offNetwork):
		return l.replaceWarm(ctx, env, s)
	case s.Ended():
		return l.startAgain(ctx, h, env, s, "environment.restarted", endOf(s.Status))
	case again && s.StartedAt.After(env.Lease.Start) && env.State == fleet.Leased:
		return l.recordRestart(ctx, env, s.StartedAt, "environment.restarted", "somebody restarted it")
	case s.offNetwork:
		return l.startAgain(ctx, h, env, s, "holder.restarted", "what held its network ended")
	case s.Paused && env.State == fleet.Leased:
		return l.thawLeased(ctx, h, env)
	case !clock.Kept(s.StartedAt).Equal(env.StartedAt):
		return l.recordStarted(ctx, env, s.StartedAt)
	}
	return nil
}
