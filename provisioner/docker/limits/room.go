package limits

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
)

// What runs in a sandbox is bounded in number, and so is what the engine starts there: in one that is full of processes bothy could
// start no helper to end any of them. So the bound is raised by pidsAside while bothy starts something in such a sandbox, and
// put back at once. It is never more than the size's bound and pidsAside, however often that is done.
//
// What runs in the sandbox would take the room that is made for the start, and a fork bomb does so within a millisecond.
// So its processes are held still meanwhile; see standstill.

const (
	// pidsAside is how many processes a full sandbox may have for the start of a command or a helper.
	pidsAside = 64
	// raisedFor bounds how long a bound stays raised, and a sandbox is held still, for one start.
	raisedFor = 10 * time.Second
)

// raised are the sandboxes whose bound is raised now, or about to be.
type raised struct {
	mu sync.Mutex
	of map[string]*raise
}

// raise is one of them. One start at a time has it, so that what one has started takes no room of the next.
type raise struct {
	turn  chan struct{}
	users int    // who has the turn or waits for it; guarded by raised.mu
	most  string // the bound to put back; "" while it is not raised
}

// pidsOf reads how many processes a sandbox has and may have; false where this host does not tell.
func (l *Limiter) pidsOf(ctx context.Context, id string) (held, most int64, ok bool) {
	known, err := l.sandboxes.Settings(ctx, id)
	at := known.Groups["pids"]
	if err != nil || at == "" {
		return 0, 0, false
	}
	held, ok = cgroup.ReadCount(filepath.Join(at, "pids.current"))
	if !ok {
		return 0, 0, false
	}
	if most, ok = l.raised.bound(id); ok {
		return held, most, true
	}
	most, ok = cgroup.ReadCount(filepath.Join(at, "pids.max"))
	return held, most, ok
}

// bound returns a sandbox's own bound while a raised one is in force.
func (all *raised) bound(id string) (most int64, ok bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	now := all.of[id]
	if now == nil || now.most == "" {
		return 0, false
	}
	most, err := strconv.ParseInt(now.most, 10, 64)
	return most, err == nil
}

// room is what was made in a full sandbox for one start. A nil one is none.
type room struct {
	still    atomic.Bool // nothing else in the sandbox runs
	late     *time.Timer
	takeBack func()
}

func (m *room) isStill() bool { return m != nil && m.still.Load() }

// restore takes it back. Idempotent.
func (m *room) restore() {
	if m != nil {
		m.late.Stop()
		m.takeBack()
	}
}

// MakeRoom raises the bound of a sandbox that is full, or was at the last try, until restore is called, for raisedFor at
// most. It does nothing where this process may not, and then a full sandbox starts nothing. still reports whether nothing else
// in the sandbox runs.
func (l *Limiter) MakeRoom(ctx context.Context, id string, wasFull bool) (still func() bool, restore func()) {
	m := l.roomFor(ctx, id, wasFull)
	return m.isStill, m.restore
}

func (l *Limiter) roomFor(ctx context.Context, id string, wasFull bool) *room {
	known, err := l.sandboxes.Settings(ctx, id)
	if err != nil || known.Groups["pids"] == "" {
		return nil
	}
	held, most, ok := l.pidsOf(ctx, id)
	if !ok || held+startRoom <= most && !wasFull {
		return nil
	}
	tctx, cancel := l.engine.Call(ctx)
	defer cancel()
	now, give := l.raised.take(tctx, id)
	if now == nil {
		return nil
	}
	group, stopped, made := known.Groups["pids"], standstill{}, &room{}
	if most, ok = cgroup.ReadCount(filepath.Join(group, "pids.max")); !ok {
		give()
		return nil
	}
	if at := known.Groups["freezer"]; at != "" {
		stopped = standstill{group: at, id: id, most: count(most)}
		err := stopped.begin()
		if errors.Is(err, errFrozen) {
			give()
			return nil // nothing is started there
		}
		made.still.Store(err == nil)
		if err != nil {
			l.engine.Log.Warn("a sandbox could not be held still for a start", "sandbox", id, "error", err)
		}
	}
	l.raised.set(now, count(most))
	if err := cgroup.Write(group, "pids.max", count(most+pidsAside)); err != nil {
		l.engine.Log.Debug("raise the bound of processes", "sandbox", id, "error", err)
	}
	made.takeBack = sync.OnceFunc(func() {
		defer give()
		made.still.Store(false)
		if err := cgroup.Write(group, "pids.max", count(most)); err != nil && !os.IsNotExist(err) {
			l.engine.Log.Warn("putting the bound of processes back failed", "sandbox", id, "error", err)
		}
		l.raised.set(now, "")
		if err := stopped.end(); err != nil {
			l.engine.Log.Warn("a sandbox that was held still does not go on by itself; the next sweep tries again", "sandbox", id, "error", err)
		}
	})
	made.late = time.AfterFunc(raisedFor, made.takeBack)
	return made
}

// take waits for the turn in a sandbox; nil when ctx ended before it came.
func (all *raised) take(ctx context.Context, id string) (now *raise, give func()) {
	all.mu.Lock()
	if all.of == nil {
		all.of = map[string]*raise{}
	}
	if now = all.of[id]; now == nil {
		now = &raise{turn: make(chan struct{}, 1)}
		all.of[id] = now
	}
	now.users++
	all.mu.Unlock()
	leave := func() {
		all.mu.Lock()
		defer all.mu.Unlock()
		if now.users--; now.users == 0 {
			delete(all.of, id)
		}
	}
	select {
	case now.turn <- struct{}{}:
		return now, func() { <-now.turn; leave() }
	case <-ctx.Done():
		leave()
		return nil, nil
	}
}

func (all *raised) set(now *raise, most string) {
	all.mu.Lock()
	defer all.mu.Unlock()
	now.most = most
}

// has reports whether a start is being made in a full sandbox.
func (all *raised) has(id string) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	return all.of[id] != nil
}
