package warmpool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/guard"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// members are the warm environments that this process knows of, with the exec sessions that it opened ahead, by environment.
type members struct {
	mu sync.Mutex
	of map[string]*member
}

// member is what this process knows of one warm environment. Whoever freezes it, thaws it, or uses its
// session holds mu, so that nobody freezes what has just been handed over.
type member struct {
	mu      sync.Mutex
	session provisioner.Stage // nil: not open
	// failed counts looks in a row at which it was not well.
	failed int
	host   string
}

func (s *members) at(id, host string) *member {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]*member{}
	}
	if s.of[id] == nil {
		s.of[id] = &member{host: host}
	}
	return s.of[id]
}

// forget drops what is known of an environment that is not warm any more. The caller holds m's lock.
func (s *members) forget(id string, m *member) {
	s.mu.Lock()
	if s.of[id] == m {
		delete(s.of, id)
	}
	s.mu.Unlock()
	m.close()
}

func (m *member) close() {
	if m.session != nil {
		_ = m.session.Close() // unused, and of no more use: how it ends does not matter
		m.session = nil
	}
}

// where lists the members that match.
func (s *members) where(match func(id string, m *member) bool) map[string]*member {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]*member{}
	for id, m := range s.of {
		if match(id, m) {
			found[id] = m
		}
	}
	return found
}

// drop forgets members once nobody uses them.
func (s *members) drop(gone map[string]*member) {
	for id, m := range gone {
		m.mu.Lock()
		s.forget(id, m)
		m.mu.Unlock()
	}
}

// Drop forgets the sessions on hosts that another daemon serves now. It does not wait for those that are in use.
func (k *Keeper) Drop(hosts []string) {
	k.cfg.Guard.Background("the end of sessions", func() {
		k.members.drop(k.members.where(func(_ string, m *member) bool { return slices.Contains(hosts, m.host) }))
	})
}

// Close gives all sessions up, at the end.
func (k *Keeper) Close() {
	k.members.drop(k.members.where(func(string, *member) bool { return true }))
}

const (
	// looksAtOnce bounds how many warm environments are looked at at once.
	looksAtOnce = 8
	// lookTimeout bounds the look at one.
	lookTimeout = 10 * time.Second
	// healthTries is how many looks in a row must fail before a warm environment counts as unhealthy.
	healthTries = 2
)

// Run looks at the warm environments of this daemon's hosts now and then, and whenever it has taken a host over. Each host is
// looked at on its own, and not again before that has ended: one that hangs delays no other.
func (k *Keeper) Run(ctx context.Context) {
	var looks sync.WaitGroup
	defer looks.Wait()
	busy := map[string]*atomic.Bool{}
	for _, name := range k.cfg.Hosts.Names() {
		busy[name] = &atomic.Bool{}
	}
	bus.Loop(ctx, k.cfg.Bus.On(bus.Warm), func() time.Duration {
		for _, host := range k.cfg.Hosts.Served(k.cfg.Clock.Now()) {
			if !busy[host].CompareAndSwap(false, true) {
				continue
			}
			k.cfg.Guard.Aside(&looks, "the look at warm environments of host "+host, func() {
				defer busy[host].Store(false)
				if err := k.lookAtWarm(ctx, host); err != nil && ctx.Err() == nil {
					k.cfg.Logger.Warn("looking at the warm environments failed; it is done again", "host", host, "error", err)
				}
			})
		}
		return k.cfg.Every
	})
}

// lookAtWarm sees to it that every warm environment on a host is well, has a session, and is frozen if its pool says so.
func (k *Keeper) lookAtWarm(ctx context.Context, host string) error {
	pools, err := k.cfg.Store.Pools(ctx)
	if err != nil {
		return err
	}
	frozen := map[string]bool{}
	for _, p := range pools {
		frozen[p.Name] = p.Pause
	}
	warm, err := k.warmOn(ctx, host)
	if err != nil {
		return err
	}
	// What is doubted may be in use: it is neither frozen nor deleted, and looked at for signs of that.
	warm = slices.DeleteFunc(warm, func(env fleet.Environment) bool {
		if env.Doubted {
			k.cfg.Doubts.LookForUse(ctx, env)
		}
		return env.Doubted
	})
	seen := map[string]bool{}
	for _, env := range warm {
		seen[env.ID] = true
	}
	err = guard.SideBySide(k.cfg.Guard, "the look at a warm environment", warm, looksAtOnce, func(env fleet.Environment) error {
		if err := k.lookAt(ctx, env, frozen[env.Pool]); err != nil && ctx.Err() == nil {
			k.cfg.Logger.Warn("looking at a warm environment failed", "environment", env.ID, "pool", env.Pool, "error", err)
		}
		return nil
	})
	return errors.Join(err, k.dropOthers(ctx, host, seen))
}

// warmOn lists the warm environments on a host.
func (k *Keeper) warmOn(ctx context.Context, host string) (warm []fleet.Environment, err error) {
	for cursor := ""; ; {
		page, next, err := k.cfg.Store.List(ctx, store.Filter{States: []fleet.State{fleet.Warm}, Host: host, Limit: store.MaxLimit, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		warm = append(warm, page...)
		if cursor = next; cursor == "" {
			return warm, nil
		}
	}
}

// dropOthers forgets the members on a host of what is neither warm nor about to be.
func (k *Keeper) dropOthers(ctx context.Context, host string, warm map[string]bool) error {
	gone := k.members.where(func(id string, m *member) bool { return m.host == host && !warm[id] })
	for id := range gone {
		row, err := k.cfg.Store.Get(ctx, id)
		if err != nil && fleet.CodeOf(err) != fleet.CodeNotFound {
			return err
		}
		if row.State == fleet.Provisioning || row.State == fleet.Warm || row.Work.Action == fleet.Personalise {
			delete(gone, id)
		}
	}
	k.members.drop(gone)
	return nil
}

// lookAt checks one warm environment. Only a second bad look in a row counts, and none while its host is away.
func (k *Keeper) lookAt(ctx context.Context, env fleet.Environment, freeze bool) error {
	h, err := k.cfg.Hosts.Host(env.Host)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	m := k.members.at(env.ID, env.Host)
	m.mu.Lock()
	defer m.mu.Unlock()
	// Read again under the lock: what was claimed meanwhile is not frozen any more.
	row, err := k.cfg.Store.Get(ctx, env.ID)
	if err != nil || row.State != fleet.Warm || row.Doubted {
		return err
	}
	err = k.keepReady(ctx, h, row, m, freeze)
	if err == nil {
		m.failed = 0
		return nil
	}
	if provisioner.IsUnavailable(err) || provisioner.Is(err, provisioner.Cancelled) {
		return err
	}
	if errors.Is(err, provisioner.ErrUsed) {
		_, err := k.cfg.Doubts.Disbelieve(ctx, row.ID, func(row *fleet.Environment) bool { return row.State == fleet.Warm })
		return err
	}
	if m.failed++; m.failed < healthTries {
		return err
	}
	return k.discard(ctx, row, err)
}

// keepReady makes sure that a warm environment is well, has a session, and is frozen or not as it should be.
func (k *Keeper) keepReady(ctx context.Context, h *target.Host, row fleet.Environment, m *member, freeze bool) error {
	status, err := h.Runtime.Inspect(ctx, row.SandboxID)
	if err != nil {
		return fmt.Errorf("inspect sandbox: %w", err)
	}
	if status.Ended() {
		return target.Ended(status)
	}
	frozen := status.Paused
	if _, stages := provisioner.Can[provisioner.Stager](h.Runtime); stages && m.session == nil || frozen && !freeze {
		if frozen {
			if err := target.Thaw(ctx, h, row.SandboxID); err != nil {
				return err
			}
			frozen = false
		}
		if err := k.openSession(ctx, h, row, m); err != nil {
			return err
		}
	}
	return k.freezeWarm(ctx, h, row, freeze, frozen)
}

// freezeWarm freezes a warm environment, or notes that it is not frozen. The row comes first: a claim that
// finds a running one marked as frozen loses nothing.
func (k *Keeper) freezeWarm(ctx context.Context, h *target.Host, row fleet.Environment, freeze, frozen bool) error {
	pauser, ok := provisioner.Can[provisioner.Pauser](h.Runtime)
	freeze = freeze && ok
	if row.Paused != freeze {
		_, err := k.cfg.Journal.Change(ctx, row.ID, store.Expect{Revision: row.Revision}, func(env *fleet.Environment) (store.Writes, error) {
			env.Paused = freeze
			return store.Writes{}, nil
		})
		if errors.Is(err, store.ErrMoved) {
			return nil // it was claimed, or is being deleted; the next look sees to it
		}
		if err != nil {
			return err
		}
	}
	if !freeze || frozen {
		return nil
	}
	if err := pauser.Pause(ctx, row.SandboxID); err != nil {
		return fmt.Errorf("pause sandbox: %w", err)
	}
	return k.thawClaimed(ctx, h, row.ID, row.SandboxID)
}

// thawClaimed thaws what was claimed while it was frozen. Within one process the member's lock keeps the two apart; but this process may have
// slept between its look at the row and the freeze, and another daemon may serve the host and have handed it over meanwhile.
func (k *Keeper) thawClaimed(ctx context.Context, h *target.Host, id, sandbox string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	row, err := k.cfg.Store.Get(ctx, id)
	if err == nil && row.State == fleet.Warm {
		return nil
	}
	if err == nil && row.State != fleet.Leased {
		return nil // it is on its way out
	}
	// A database that does not say whose it is leaves it running: that costs little, a frozen lease would be useless.
	return errors.Join(err, target.Thaw(ctx, h, sandbox))
}

// openSession opens the session, if the runtime has such and it is not open yet.
func (k *Keeper) openSession(ctx context.Context, h *target.Host, env fleet.Environment, m *member) error {
	stager, ok := provisioner.Can[provisioner.Stager](h.Runtime)
	if !ok || m.session != nil {
		return nil
	}
	session, err := stager.Stage(ctx, env.SandboxID, env.Users[0])
	if err != nil {
		return fmt.Errorf("open a way into the sandbox: %w", err)
	}
	if session.Used() {
		return errors.Join(provisioner.NewUsed("look at sandbox"), session.Close())
	}
	m.session = session
	return nil
}

// discard destroys a warm environment that is not well.
func (k *Keeper) discard(ctx context.Context, row fleet.Environment, cause error) error {
	sentence := provisioner.Sentence(cause)
	_, err := k.cfg.Journal.Change(ctx, row.ID, store.Expect{Revision: row.Revision}, func(env *fleet.Environment) (store.Writes, error) {
		journal.BeginDestroy(env, "it was not well while it was kept ready: "+sentence)
		return store.Writes{Events: []fleet.Event{
			k.cfg.Journal.Event(env, journal.Self, "environment.unhealthy", "it is deleted: %s", sentence),
		}}, nil
	})
	if errors.Is(err, store.ErrMoved) {
		return nil
	}
	if err == nil {
		k.cfg.Bus.Nudge(bus.Work, bus.Plan)
	}
	return err
}

// MakeReady prepares a pool's new member for its claim, before it is offered. paused says that it was frozen.
func (k *Keeper) MakeReady(ctx context.Context, h *target.Host, env fleet.Environment) (paused bool, err error) {
	pool, err := k.cfg.Store.Pool(ctx, env.Pool)
	if err != nil && fleet.CodeOf(err) != fleet.CodeNotFound {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	m := k.members.at(env.ID, env.Host)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.close() // of an earlier try
	for try := 1; ; try++ {
		if err = k.openSession(ctx, h, env, m); err == nil || try == healthTries || ctx.Err() != nil {
			break
		}
	}
	if err != nil {
		return false, err
	}
	pauser, ok := provisioner.Can[provisioner.Pauser](h.Runtime)
	if !ok || !pool.Pause {
		return false, nil
	}
	if err := pauser.Pause(ctx, env.SandboxID); err != nil {
		return false, fmt.Errorf("pause sandbox: %w", err)
	}
	return true, nil
}
