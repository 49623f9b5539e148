package exec

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// A command whose caller has left is ended, also when the engine is too slow to do it now: it lingers here, with its
// connection, until a kill has succeeded or the sandbox is gone.

const (
	// mostLingering is how many commands of one sandbox may linger before it is given no new ones. Together with
	// the commands that run at once it bounds what is held.
	mostLingering = 128
	// killAtOnce is how many commands one helper inside ends: fewer than the exits that containerd's shim keeps (see doc.go).
	killAtOnce = 24
)

// lingering are the commands that are still to be ended, by sandbox.
type lingering struct {
	mu sync.Mutex
	of map[string][]*session
}

// count is how many commands of a sandbox are still to be ended.
func (l *lingering) count(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.of[id])
}

// Lingering counts the commands of a sandbox whose callers have left and that have not ended yet.
func (r *Runner) Lingering(id string) int { return r.left.count(id) }

// linger takes over a command and its connection. One goroutine per sandbox ends them.
func (r *Runner) linger(s *session) {
	r.left.mu.Lock()
	defer r.left.mu.Unlock()
	if r.left.of == nil {
		r.left.of = map[string][]*session{}
	}
	before := len(r.left.of[s.id])
	r.left.of[s.id] = append(r.left.of[s.id], s)
	if before == 0 {
		go r.endLingering(s.id)
	}
	if n := before + 1; n&(n-1) == 0 {
		r.engine.Log.Warn("commands whose callers left run on; bothy retries until they have ended", "sandbox", s.id, "commands", n)
	}
}

// endLingering ends the commands of one sandbox, however often it takes.
func (r *Runner) endLingering(id string) {
	ctx := r.bg // ends with Close
	failed, ended := 0, 0
	for {
		r.left.mu.Lock()
		all := append([]*session(nil), r.left.of[id]...)
		r.left.mu.Unlock()
		over, err := r.endSome(ctx, id, all)
		left := r.dropLingering(id, over)
		ended += len(over)
		switch {
		case left == 0:
			r.engine.Log.Info("commands whose callers left have ended", "sandbox", id, "commands", ended)
			return
		case len(over) > 0:
			failed = 0
		default:
			failed++
		}
		if err != nil {
			r.engine.Log.Warn("commands whose callers left run on", "sandbox", id, "commands", left, "tries", failed, "error", err)
		}
		wait := min(r.Retry<<min(failed, 10), r.RetryMost)
		wait += time.Duration(rand.Int64N(int64(wait)/4 + 1)) // so that many sandboxes do not try at the same moment
		select {
		case <-ctx.Done():
			r.dropLingering(id, all)
			return
		case <-time.After(wait):
		}
	}
}

// dropLingering closes what has ended and gives how many are left.
func (r *Runner) dropLingering(id string, over []*session) (left int) {
	done := map[*session]bool{}
	for _, s := range over {
		done[s] = true
		s.conn.Close()
	}
	r.left.mu.Lock()
	defer r.left.mu.Unlock()
	var rest []*session
	for _, s := range r.left.of[id] {
		if !done[s] {
			rest = append(rest, s)
		}
	}
	if len(rest) == 0 {
		delete(r.left.of, id)
	} else {
		r.left.of[id] = rest
	}
	return len(rest)
}

// endSome ends those that can be ended now and gives them; the error is why others could not be.
func (r *Runner) endSome(ctx context.Context, id string, all []*session) (over []*session, err error) {
	kctx, cancel := context.WithTimeout(ctx, 2*r.engine.Timeout)
	defer cancel()
	byUser := map[string][]*session{}
	for _, s := range all {
		select {
		case <-s.stdout.decided:
		default:
			continue // it has not started yet
		}
		if s.stdout.pid == 0 {
			if done, why := s.endedByItself(kctx); done {
				over = append(over, s)
			} else if why != nil {
				err = why
			}
			continue
		}
		byUser[s.who] = append(byUser[s.who], s)
	}
	for user, some := range byUser {
		for len(some) > 0 {
			batch := some[:min(len(some), killAtOnce)]
			some = some[len(batch):]
			pids := make([]string, len(batch))
			for i, s := range batch {
				pids[i] = strconv.Itoa(s.stdout.pid)
			}
			code, why := r.helper(kctx, id, user, killScript, pids...)
			switch {
			case why == nil && code == 0:
				over = append(over, batch...)
			case r.sandboxOver(kctx, id, why):
				return all, nil
			case why != nil:
				err = why
			default:
				err = errUnkilled
			}
		}
	}
	return over, err
}

// endedByItself reports whether a command that told no process id is over, or never began.
func (s *session) endedByItself(ctx context.Context) (bool, error) {
	cctx, cancel := s.r.engine.Call(ctx)
	defer cancel()
	st, err := s.r.engine.API.ContainerExecInspect(cctx, s.execID)
	err = s.r.engine.Fail(ctx, engine.OpExec, err)
	return err == nil && !st.Running || provisioner.Is(err, provisioner.NotFound), err
}

// sandboxOver reports whether an error means that a sandbox is gone or has stopped, and all its commands with it. A
// frozen one is not over.
func (r *Runner) sandboxOver(ctx context.Context, id string, err error) bool {
	if provisioner.Is(err, provisioner.NotFound) {
		return true
	}
	if !provisioner.Is(err, provisioner.Conflict) {
		return false
	}
	status, err := r.sandboxes.Look(ctx, id)
	return provisioner.Is(err, provisioner.NotFound) || err == nil && !status.Running && !status.Paused
}
