package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// ending is how an environment ended.
type ending struct {
	env  wire.Environment
	left []string // its leftovers at Docker
	err  error
}

// endWithin bounds the wait for the end of a short lease. It is more than is allowed, so that a late end is measured rather than missed.
const endWithin = shortLease + 2*time.Minute

// watchEnd follows an environment in the background to its end, reports it, and counts its leftovers at Docker.
func (s *stage) watchEnd(ctx context.Context, name string) (<-chan ending, error) {
	env, err := s.api.environment(ctx, name)
	if err != nil {
		return nil, err
	}
	ended := make(chan ending, 1)
	go func() {
		ctx, cancel := context.WithTimeoutCause(ctx, endWithin, fmt.Errorf("%s was not gone %s after its handover", name, endWithin))
		defer cancel()
		ended <- s.follow(ctx, env)
	}()
	return ended, nil
}

func (s *stage) follow(ctx context.Context, env wire.Environment) ending {
	state := env.State
	last, err := s.api.follow(ctx, env.ID, func(now wire.Environment) {
		if now.State != state && now.State == "destroying" {
			s.say.Good(fmt.Sprintf("meanwhile: the lease of %s has expired, bothyd deletes it", now.Name))
		}
		state = now.State
	})
	e := ending{env: last, err: err}
	if cause := context.Cause(ctx); err != nil && cause != nil {
		e.err = cause
	}
	if e.err != nil {
		return e
	}
	if e.left, e.err = left(ctx, s.engine, labelEnvironment, last.ID); e.err != nil {
		return e
	}
	if late, err := lateness(last); err == nil {
		s.say.Good(fmt.Sprintf("meanwhile: %s is gone, %s after the end of its lease; left of it at Docker: %d", last.Name, elapsed(late), len(e.left)))
	}
	return e
}

// await waits for a watched end.
func await(ctx context.Context, ended <-chan ending) (ending, error) {
	select {
	case e := <-ended:
		return e, e.err
	case <-ctx.Done():
		return ending{}, context.Cause(ctx)
	}
}
