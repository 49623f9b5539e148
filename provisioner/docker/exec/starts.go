package exec

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/hostproc"
)

// Who is root in a sandbox can make the start of a command wait for ever, and each takes something of the engine until
// its end: when /etc/passwd is a pipe, a thread, of which it has 10,000 for all sandboxes together. So only so many
// starts are under way in one sandbox; further ones wait here, and one whose caller has left counts until the engine
// says that it is over. The engine does the starts of one container one by one anyway.

// MostStarts is how many commands of one sandbox may be starting at once.
const MostStarts = 32

// startTries is how often a start is tried in a sandbox that has become full while it was under way.
const startTries = 3

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
	// still reports whether nothing else in the sandbox runs, restore takes back what MakeRoom did.
	still   func() bool
	restore func()
}

func (s *start) done() {
	s.once.Do(func() {
		s.lower()
		<-s.at.slots
	})
}

// lower puts the sandbox's bound of processes back.
func (s *start) lower() {
	s.restore()
}

// retried calls start until it succeeds or fails for another reason than a sandbox that was full. What runs inside may fill it
// between the look and the start: then it is held still for the next try.
func retried(start func(wasFull bool) error) error {
	for try := 1; ; try++ {
		if err := start(try > 1); err == nil || try == startTries || !errors.Is(err, provisioner.ErrProcesses) {
			return err
		}
	}
}

// begin waits until another command may be started in a sandbox, and makes sure that there is room for it. wasFull says that
// there was none at the last try.
func (r *Runner) begin(ctx context.Context, id string, wasFull bool) (*start, error) {
	at, err := r.beginAt(ctx, id)
	if err != nil {
		return nil, err
	}
	still, restore := r.limits.MakeRoom(ctx, id, wasFull)
	return &start{at: at, still: still, restore: restore}, nil
}

// beginAt takes a slot.
func (r *Runner) beginAt(ctx context.Context, id string) (*starting, error) {
	r.begun.mu.Lock()
	at := r.begun.of[id]
	if at == nil {
		if len(r.begun.of) >= engine.MostKnown {
			for other, idle := range r.begun.of {
				if len(idle.slots) == 0 {
					delete(r.begun.of, other)
				}
			}
		}
		if r.begun.of == nil {
			r.begun.of = map[string]*starting{}
		}
		at = &starting{slots: make(chan struct{}, MostStarts)}
		r.begun.of[id] = at
	}
	r.begun.mu.Unlock()
	select {
	case at.slots <- struct{}{}:
		return at, nil
	default:
	}
	late := time.NewTimer(r.engine.Timeout)
	defer late.Stop()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		r.lookAtLeft(ctx, at)
		select {
		case at.slots <- struct{}{}:
			return at, nil
		case <-ctx.Done():
			return nil, r.engine.Fail(ctx, engine.OpExec, ctx.Err())
		case <-late.C:
			return nil, provisioner.Errorf(provisioner.Quota, engine.OpExec, "the sandbox starts no commands: %d are waiting to start", MostStarts)
		case <-time.After(wait):
		}
	}
}

// leave notes that nobody waits for a start any more.
func (r *Runner) leave(s *start, id, execID string) {
	r.begun.mu.Lock()
	defer r.begun.mu.Unlock()
	s.execID = execID
	s.lower() // a start that hangs must not keep the bound raised
	s.at.left = append(s.at.left, s)
	if time.Since(s.at.woken) > wakeEvery && canWake(r.engine) {
		s.at.woken = time.Now()
		go hostproc.Wake(id)
	}
}

// Starting counts the commands of a sandbox that are starting.
func (r *Runner) Starting(id string) int {
	r.begun.mu.Lock()
	defer r.begun.mu.Unlock()
	if at := r.begun.of[id]; at != nil {
		return len(at.slots)
	}
	return 0
}

// canWake reports whether this process can end the reading of pipes on the engine's host.
func canWake(e *engine.Client) bool { return e.Local && hostproc.Means() == nil }

// wakeEvery bounds how often the host is looked through for pipes.
const wakeEvery = 5 * time.Second

// lookAtLeft frees the slots of those that are over, or were never begun.
func (r *Runner) lookAtLeft(ctx context.Context, at *starting) {
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
