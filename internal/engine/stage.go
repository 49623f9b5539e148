package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// stages are the ways into warm environments that this process opened ahead, by environment.
type stages struct {
	mu sync.Mutex
	of map[string]*stage
}

// stage is what this process knows of one warm environment. Whoever freezes it, thaws it, or uses its
// way in holds mu, so that nobody freezes what has just been handed over.
type stage struct {
	mu  sync.Mutex
	way provisioner.Stage // nil: not open
	// failed counts looks in a row at which it was not well.
	failed int
	host   string
}

func (s *stages) at(id, host string) *stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]*stage{}
	}
	if s.of[id] == nil {
		s.of[id] = &stage{host: host}
	}
	return s.of[id]
}

// forget drops what is known of an environment that is not warm any more. The caller holds st's lock.
func (s *stages) forget(id string, st *stage) {
	s.mu.Lock()
	if s.of[id] == st {
		delete(s.of, id)
	}
	s.mu.Unlock()
	st.close()
}

func (st *stage) close() {
	if st.way != nil {
		_ = st.way.Close() // unused, and of no more use: how it ends does not matter
		st.way = nil
	}
}

// where lists the environments with a stage that matches.
func (s *stages) where(match func(id string, st *stage) bool) map[string]*stage {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]*stage{}
	for id, st := range s.of {
		if match(id, st) {
			found[id] = st
		}
	}
	return found
}

// drop forgets stages once nobody uses them.
func (s *stages) drop(gone map[string]*stage) {
	for id, st := range gone {
		st.mu.Lock()
		s.forget(id, st)
		st.mu.Unlock()
	}
}

// dropStages forgets the stages on hosts that another daemon serves now. It does not wait for those that are in use.
func (e *Engine) dropStages(hosts []string) {
	e.aside(&e.background, "the end of stages", func() {
		e.stages.drop(e.stages.where(func(_ string, st *stage) bool { return slices.Contains(hosts, st.host) }))
	})
}

// closeStages gives all stages up, at the end.
func (e *Engine) closeStages() {
	e.stages.drop(e.stages.where(func(string, *stage) bool { return true }))
}

const (
	// stagesAtOnce bounds how many warm environments are looked at at once.
	stagesAtOnce = 8
	// stageTimeout bounds the look at one.
	stageTimeout = 10 * time.Second
	// healthTries is how many looks in a row must fail before a warm environment counts as unhealthy.
	healthTries = 2
)

// stageLoop looks at the warm environments of this daemon's hosts now and then, and whenever it has taken a host over. Each host is
// looked at on its own, and not again before that has ended: one that hangs delays no other.
func (e *Engine) stageLoop(ctx context.Context) {
	var looks sync.WaitGroup
	defer looks.Wait()
	busy := map[string]*atomic.Bool{}
	for _, name := range e.hosts.names {
		busy[name] = &atomic.Bool{}
	}
	loop(ctx, e.warmNudge, func() time.Duration {
		for _, host := range e.hosts.served(e.Now()) {
			if !busy[host].CompareAndSwap(false, true) {
				continue
			}
			e.aside(&looks, "the look at warm environments of host "+host, func() {
				defer busy[host].Store(false)
				if err := e.lookAtWarm(ctx, host); err != nil && ctx.Err() == nil {
					e.logger.Warn("looking at the warm environments failed; it is done again", "host", host, "error", err)
				}
			})
		}
		return e.cfg.SweepEvery
	})
}

// lookAtWarm sees to it that every warm environment on a host is well, has a stage, and is frozen if its pool says so.
func (e *Engine) lookAtWarm(ctx context.Context, host string) error {
	pools, err := e.store.Pools(ctx)
	if err != nil {
		return err
	}
	frozen := map[string]bool{}
	for _, p := range pools {
		frozen[p.Name] = p.Pause
	}
	warm, err := e.warmOn(ctx, host)
	if err != nil {
		return err
	}
	// What is doubted may be in use: it is neither frozen nor taken away, and looked at for signs of that.
	warm = slices.DeleteFunc(warm, func(env fleet.Environment) bool {
		if env.Doubted {
			e.lookForUse(ctx, env)
		}
		return env.Doubted
	})
	seen := map[string]bool{}
	for _, env := range warm {
		seen[env.ID] = true
	}
	err = sideBySide(e, "the look at a warm environment", warm, stagesAtOnce, func(env fleet.Environment) error {
		if err := e.lookAt(ctx, env, frozen[env.Pool]); err != nil && ctx.Err() == nil {
			e.logger.Warn("looking at a warm environment failed", "environment", env.ID, "pool", env.Pool, "error", err)
		}
		return nil
	})
	return errors.Join(err, e.dropOthers(ctx, host, seen))
}

// warmOn lists the warm environments on a host.
func (e *Engine) warmOn(ctx context.Context, host string) (warm []fleet.Environment, err error) {
	for cursor := ""; ; {
		page, next, err := e.store.List(ctx, store.Filter{States: []fleet.State{fleet.Warm}, Host: host, Limit: store.MaxLimit, Cursor: cursor})
		if err != nil {
			return nil, err
		}
		warm = append(warm, page...)
		if cursor = next; cursor == "" {
			return warm, nil
		}
	}
}

// dropOthers forgets the stages on a host of what is neither warm nor about to be.
func (e *Engine) dropOthers(ctx context.Context, host string, warm map[string]bool) error {
	gone := e.stages.where(func(id string, st *stage) bool { return st.host == host && !warm[id] })
	for id := range gone {
		row, err := e.store.Get(ctx, id)
		if err != nil && fleet.CodeOf(err) != fleet.CodeNotFound {
			return err
		}
		if row.State == fleet.Provisioning || row.State == fleet.Warm || row.Work.Action == fleet.Personalise {
			delete(gone, id)
		}
	}
	e.stages.drop(gone)
	return nil
}

// lookAt checks one warm environment. Only a second bad look in a row counts, and none while its host is away.
func (e *Engine) lookAt(ctx context.Context, env fleet.Environment, freeze bool) error {
	h, err := e.host(env.Host)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	st := e.stages.at(env.ID, env.Host)
	st.mu.Lock()
	defer st.mu.Unlock()
	// Read again under the lock: what was claimed meanwhile is not frozen any more.
	row, err := e.store.Get(ctx, env.ID)
	if err != nil || row.State != fleet.Warm || row.Doubted {
		return err
	}
	err = e.keepReady(ctx, h, row, st, freeze)
	if err == nil {
		st.failed = 0
		return nil
	}
	if provisioner.IsUnavailable(err) || provisioner.Is(err, provisioner.Cancelled) {
		return err
	}
	if errors.Is(err, provisioner.ErrUsed) {
		_, err := e.disbelieve(ctx, row.ID, func(row *fleet.Environment) bool { return row.State == fleet.Warm })
		return err
	}
	if st.failed++; st.failed < healthTries {
		return err
	}
	return e.discard(ctx, row, err)
}

// keepReady makes sure that a warm environment is well, staged, and frozen or not as it should be.
func (e *Engine) keepReady(ctx context.Context, h *Host, row fleet.Environment, st *stage, freeze bool) error {
	status, err := h.Runtime.Inspect(ctx, row.SandboxID)
	if err != nil {
		return fmt.Errorf("inspect sandbox: %w", err)
	}
	if status.Ended() {
		return ended(status)
	}
	frozen := status.Paused
	if _, stages := provisioner.Can[provisioner.Stager](h.Runtime); stages && st.way == nil || frozen && !freeze {
		if frozen {
			if err := thaw(ctx, h, row.SandboxID); err != nil {
				return err
			}
			frozen = false
		}
		if err := e.openStage(ctx, h, row, st); err != nil {
			return err
		}
	}
	return e.freezeWarm(ctx, h, row, freeze, frozen)
}

// freezeWarm freezes a warm environment, or notes that it is not frozen. The row comes first: a claim that
// finds a running one marked as frozen loses nothing.
func (e *Engine) freezeWarm(ctx context.Context, h *Host, row fleet.Environment, freeze, frozen bool) error {
	pauser, ok := provisioner.Can[provisioner.Pauser](h.Runtime)
	freeze = freeze && ok
	if row.Paused != freeze {
		_, err := e.change(ctx, row.ID, store.Expect{Revision: row.Revision}, func(env *fleet.Environment) (store.Writes, error) {
			env.Paused = freeze
			return store.Writes{}, nil
		})
		if errors.Is(err, store.ErrMoved) {
			return nil // it was claimed, or is going; the next look sees to it
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
	return e.thawClaimed(ctx, h, row.ID, row.SandboxID)
}

// thawClaimed thaws what was claimed while it was frozen. Within one process the stage's lock keeps the two apart; but this process may have
// slept between its look at the row and the freeze, and another daemon may serve the host and have handed it over meanwhile.
func (e *Engine) thawClaimed(ctx context.Context, h *Host, id, sandbox string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stageTimeout)
	defer cancel()
	row, err := e.store.Get(ctx, id)
	if err == nil && row.State == fleet.Warm {
		return nil
	}
	if err == nil && row.State != fleet.Leased {
		return nil // it is on its way out
	}
	// A database that does not say whose it is leaves it running: that costs little, a frozen lease would be useless.
	return errors.Join(err, thaw(ctx, h, sandbox))
}

// openStage opens the way in, if the runtime has such and it is not open yet.
func (e *Engine) openStage(ctx context.Context, h *Host, env fleet.Environment, st *stage) error {
	stager, ok := provisioner.Can[provisioner.Stager](h.Runtime)
	if !ok || st.way != nil {
		return nil
	}
	way, err := stager.Stage(ctx, env.SandboxID, env.Users[0])
	if err != nil {
		return fmt.Errorf("open a way into the sandbox: %w", err)
	}
	if way.Used() {
		return errors.Join(errUsed, way.Close())
	}
	st.way = way
	return nil
}

// errUsed says that a sandbox which is kept ready was used by somebody.
var errUsed = &provisioner.Error{Class: provisioner.Conflict, Op: "look at sandbox", Sentence: "it was used by somebody", Err: provisioner.ErrUsed}

// disbelieve turns safe mode on when the database still says, after a sandbox was found to be used, that it is as when nobody has
// used it. This process may have slept between its look at the row and that at the sandbox, while another one handed it over.
func (e *Engine) disbelieve(ctx context.Context, id string, unused func(*fleet.Environment) bool) (unknown bool, err error) {
	row, err := e.store.Get(ctx, id)
	if err != nil || row.Doubted || !unused(&row) {
		return row.Doubted, err
	}
	_, err = e.enterSafeMode(ctx,
		fmt.Sprintf("the database was lost or restored: the environment %s, which it calls unused, was used by somebody", id))
	return true, err
}

// discard destroys a warm environment that is not well.
func (e *Engine) discard(ctx context.Context, row fleet.Environment, cause error) error {
	sentence := provisioner.Sentence(cause)
	_, err := e.change(ctx, row.ID, store.Expect{Revision: row.Revision}, func(env *fleet.Environment) (store.Writes, error) {
		beginDestroy(env, "it was not well while it was kept ready: "+sentence)
		return store.Writes{Events: []fleet.Event{
			e.event(env, actorSelf, "environment.unhealthy", "it is taken away: %s", sentence),
		}}, nil
	})
	if errors.Is(err, store.ErrMoved) {
		return nil
	}
	if err == nil {
		nudge(e.workNudge)
		nudge(e.planNudge)
	}
	return err
}

// makeReady prepares a pool's new member for its claim, before it is offered. paused says that it was frozen.
func (e *Engine) makeReady(ctx context.Context, h *Host, env fleet.Environment) (paused bool, err error) {
	pool, err := e.store.Pool(ctx, env.Pool)
	if err != nil && fleet.CodeOf(err) != fleet.CodeNotFound {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, stageTimeout)
	defer cancel()
	st := e.stages.at(env.ID, env.Host)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.close() // of an earlier try
	for try := 1; ; try++ {
		if err = e.openStage(ctx, h, env, st); err == nil || try == healthTries || ctx.Err() != nil {
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
