package docker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What runs in a sandbox is bounded in number, and so is what the engine starts there: one that is full of processes could
// not be told to end any of them. So the bound is raised by pidsAside while bothy starts something in such a sandbox, and
// put back at once. It is never more than the size's bound and pidsAside, however often that is done.
//
// What runs in the sandbox would take the room that is made for the start, and a fork bomb does so within a millisecond.
// So its processes are held still meanwhile; see standstill.

const (
	// pidsAside is how many processes a full sandbox may have for the start of a command or a helper.
	pidsAside = 64
	// raisedFor bounds how long a bound stays raised, and a sandbox is held still, for one start.
	raisedFor = 10 * time.Second
	// startTries is how often a start is tried in a sandbox that has become full while it was under way.
	startTries = 3
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

// count writes a number.
func count(n int64) string { return strconv.FormatInt(n, 10) }

// groupsOf finds a container's control groups that are read here, by controller; with cgroup v2 all are one.
func (r *Runtime) groupsOf(id string, pid int) map[string]string {
	found := map[string]string{}
	if !r.net.local {
		return found
	}
	for _, controller := range []string{"memory", "pids", "cpu", "cpuacct", "freezer"} {
		at, err := groupOf(pid, controller)
		if err != nil {
			at, err = groupOf(pid, "")
		}
		// The process may have ended, and its number be another's.
		if err == nil && isGroupOf(at, id) {
			found[controller] = at
		}
	}
	return found
}

// isGroupOf reports whether a control group is a container's, as the engine's drivers name them.
func isGroupOf(at, id string) bool {
	return idOfGroup(at) == id
}

// idOfGroup gives the container that a control group may be of.
func idOfGroup(at string) string {
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(at), "docker-"), ".scope")
}

// pidsOf reads how many processes a sandbox has and may have; false where this host does not tell.
func (r *Runtime) pidsOf(ctx context.Context, id string) (held, most int64, ok bool) {
	known, err := r.settingsOf(ctx, id)
	at := known.groups["pids"]
	if err != nil || at == "" {
		return 0, 0, false
	}
	held, ok = readCount(filepath.Join(at, "pids.current"))
	if !ok {
		return 0, 0, false
	}
	if most, ok = r.raised.bound(id); ok {
		return held, most, true
	}
	most, ok = readCount(filepath.Join(at, "pids.max"))
	return held, most, ok
}

// bound gives a sandbox's own bound while a raised one is in force.
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

// readCount reads a file that holds one number; "max" is none.
func readCount(name string) (int64, bool) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n, err == nil
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

// makeRoom raises the bound of a sandbox that is full, or was at the last try, until the room is restored, for raisedFor at
// most. It does nothing where this process may not, and then a full sandbox starts nothing.
func (r *Runtime) makeRoom(ctx context.Context, id string, wasFull bool) *room {
	known, err := r.settingsOf(ctx, id)
	if err != nil || known.groups["pids"] == "" {
		return nil
	}
	held, most, ok := r.pidsOf(ctx, id)
	if !ok || held+startRoom <= most && !wasFull {
		return nil
	}
	tctx, cancel := r.call(ctx)
	defer cancel()
	now, give := r.raised.take(tctx, id)
	if now == nil {
		return nil
	}
	group, stopped, made := known.groups["pids"], standstill{}, &room{}
	if most, ok = readCount(filepath.Join(group, "pids.max")); !ok {
		give()
		return nil
	}
	if at := known.groups["freezer"]; at != "" {
		stopped = standstill{group: at, id: id, most: count(most)}
		err := stopped.begin()
		if errors.Is(err, errFrozen) {
			give()
			return nil // nothing is started there
		}
		made.still.Store(err == nil)
		if err != nil {
			r.log.Warn("a sandbox could not be held still for a start", "sandbox", id, "error", err)
		}
	}
	r.raised.set(now, count(most))
	if err := writeGroup(group, "pids.max", count(most+pidsAside)); err != nil {
		r.log.Debug("raise the bound of processes", "sandbox", id, "error", err)
	}
	made.takeBack = sync.OnceFunc(func() {
		defer give()
		made.still.Store(false)
		if err := writeGroup(group, "pids.max", count(most)); err != nil && !os.IsNotExist(err) {
			r.log.Warn("putting the bound of processes back failed", "sandbox", id, "error", err)
		}
		r.raised.set(now, "")
		if err := stopped.end(); err != nil {
			r.log.Warn("a sandbox that was held still does not go on by itself; the next sweep tries again", "sandbox", id, "error", err)
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

// writeGroup writes a file of a control group.
func writeGroup(group, file, value string) error {
	f, err := os.OpenFile(filepath.Join(group, file), os.O_WRONLY, 0) // never made: a group that is gone stays gone
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
