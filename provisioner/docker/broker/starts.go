package broker

import (
	"context"
	"errors"
	"sync"
)

// starts are what is under way for containers that were started, and what it came to.
type starts struct {
	then  func(ctx context.Context, id string) error // nil for nothing
	under sync.WaitGroup

	mu     sync.Mutex
	failed error
}

// started has done what can be done only to a container that runs. The provider does not wait for it, Judge does.
func (s *starts) started(ctx context.Context, id string) {
	if s.then == nil {
		return
	}
	s.under.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		if err := s.then(ctx, id); err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.failed = errors.Join(s.failed, err)
		}
	})
}

// begun waits for all of that, and returns what failed.
func (s *starts) begun(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.under.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}
