package docker

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// Who is root in a sandbox can make the start of a command wait for ever, and each takes something of the engine until
// its end: when /etc/passwd is a pipe, a thread, of which it has 10,000 for all sandboxes together. So only so many
// starts are under way in one sandbox; further ones wait here, and one whose caller has left counts until the engine
// says that it is over. The engine does the starts of one container one by one anyway.

// mostStarts is how many commands of one sandbox may be starting at once.
const mostStarts = 32

// starts are the commands that are starting, by sandbox.
type starts struct {
	mu sync.Mutex
	of map[string]*starting
}

// starting are those of one sandbox.
type starting struct {
	slots chan struct{}
	// left are those whose callers have left.
	left []*start
	// woken is when the engine's threads that read pipes were last woken.
	woken time.Time
}

// start is one command that is starting. It holds a slot until done.
type start struct {
	at     *starting
	execID string
	once   sync.Once
	// room is what makeRoom did; nil when it did nothing.
	room *room
}

func (s *start) done() {
	s.once.Do(func() {
		s.lower()
		<-s.at.slots
	})
}

// lower puts the sandbox's bound of processes back.
func (s *start) lower() {
	s.room.restore()
}

// retried calls start until it succeeds or fails for another reason than a sandbox that was full. What runs inside may fill it
// between the look and the start: then it is held still for the next try.
func (r *Runtime) retried(start func(wasFull bool) error) error {
	for try := 1; ; try++ {
		if err := start(try > 1); err == nil || try == startTries || !errors.Is(err, provisioner.ErrProcesses) {
			return err
		}
	}
}

// begin waits until another command may be started in a sandbox, and sees to it that there is room for it. wasFull says that
// there was none at the last try.
func (r *Runtime) begin(ctx context.Context, id string, wasFull bool) (*start, error) {
	at, err := r.beginAt(ctx, id)
	if err != nil {
		return nil, err
	}
	return &start{at: at, room: r.makeRoom(ctx, id, wasFull)}, nil
}

// beginAt takes a slot.
func (r *Runtime) beginAt(ctx context.Context, id string) (*starting, error) {
	r.begun.mu.Lock()
	at := r.begun.of[id]
	if at == nil {
		if len(r.begun.of) >= mostKnown {
			for other, idle := range r.begun.of {
				if len(idle.slots) == 0 {
					delete(r.begun.of, other)
				}
			}
		}
		if r.begun.of == nil {
			r.begun.of = map[string]*starting{}
		}
		at = &starting{slots: make(chan struct{}, mostStarts)}
		r.begun.of[id] = at
	}
	r.begun.mu.Unlock()
	select {
	case at.slots <- struct{}{}:
		return at, nil
	default:
	}
	late := time.NewTimer(r.timeout)
	defer late.Stop()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		r.lookAtLeft(ctx, at)
		select {
		case at.slots <- struct{}{}:
			return at, nil
		case <-ctx.Done():
			return nil, r.fail(ctx, opExec, ctx.Err())
		case <-late.C:
			return nil, provisioner.Errorf(provisioner.Quota, opExec, "the sandbox starts no commands: %d are waiting to start", mostStarts)
		case <-time.After(wait):
		}
	}
}

// leave notes that nobody waits for a start any more.
func (r *Runtime) leave(s *start, id, execID string) {
	r.begun.mu.Lock()
	defer r.begun.mu.Unlock()
	s.execID = execID
	s.lower() // a start that hangs must not keep the bound raised
	s.at.left = append(s.at.left, s)
	if time.Since(s.at.woken) > wakeEvery && r.CanKill() == nil {
		s.at.woken = time.Now()
		go wakeOnHost(id)
	}
}

// wakeEvery bounds how often the host is looked through for pipes.
const wakeEvery = 5 * time.Second

// lookAtLeft gives back the slots of those that are over, or were never begun.
func (r *Runtime) lookAtLeft(ctx context.Context, at *starting) {
	r.begun.mu.Lock()
	left := slices.Clone(at.left)
	r.begun.mu.Unlock()
	for _, s := range left {
		over, err := (&session{r: r, execID: s.execID}).endedByItself(ctx)
		if err != nil && !over {
			return // the engine is slow, or away
		}
		if !over {
			continue
		}
		s.done()
		r.begun.mu.Lock()
		at.left = slices.DeleteFunc(at.left, func(other *start) bool { return other == s })
		r.begun.mu.Unlock()
	}
}
