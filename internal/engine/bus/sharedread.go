package bus

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// SharedRead lets those who ask for the same thing at the same time share one read. What it gives was never read
// before it was asked for: whoever comes while a read is under way waits for the next one.
type SharedRead[T any] struct {
	Read func(context.Context) (T, error)

	mu sync.Mutex
	// last is the newest read that was begun or is about to be.
	last *reading[T]
}

// reading is one read. begun is guarded by the shared read's lock; done is closed when it is over.
type reading[T any] struct {
	begun bool
	done  chan struct{}
	value T
	err   error
}

// sharedReadFor bounds a read, whoever waits for it: behind connections that a database which is cut off keeps waiting, there is no end.
const sharedReadFor = 20 * time.Second

// errReadCutOff is what those get whose read panicked.
var errReadCutOff = errors.New("the read was cut off")

// Get gives what is there now. Those that share a read share its error, but for the end of a caller's own ctx.
func (s *SharedRead[T]) Get(ctx context.Context) (T, error) {
	s.mu.Lock()
	before := s.last
	if before != nil && !before.begun {
		s.mu.Unlock()
		return before.wait(ctx)
	}
	mine := &reading[T]{done: make(chan struct{})}
	s.last = mine
	s.mu.Unlock()
	if before != nil {
		<-before.done
	}
	s.mu.Lock()
	mine.begun = true
	s.mu.Unlock()
	defer close(mine.done)
	mine.err = errReadCutOff // for those that share it, should it panic
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), sharedReadFor)
	defer cancel()
	mine.value, mine.err = s.Read(limited)
	if mine.err != nil && limited.Err() != nil {
		mine.err = fleet.Errorf(fleet.CodeUnavailable, "the database did not answer within %s: %v", sharedReadFor, mine.err).
			WithHint("try again; for what is wrong: bothy doctor")
	}
	return mine.value, mine.err
}

func (r *reading[T]) wait(ctx context.Context) (none T, err error) {
	select {
	case <-r.done:
		return r.value, r.err
	case <-ctx.Done():
		return none, ctx.Err()
	}
}
