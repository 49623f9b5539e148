package sandbox

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

// Pause freezes a sandbox.
func (s *Sandboxes) Pause(ctx context.Context, id string) error {
	return s.freeze(ctx, "pause sandbox", id, true, s.engine.API.ContainerPause)
}

// Unpause thaws a sandbox.
func (s *Sandboxes) Unpause(ctx context.Context, id string) error {
	return s.freeze(ctx, "unpause sandbox", id, false, s.engine.API.ContainerUnpause)
}

const (
	// lagFor is how long after a call the engine may still tell of the state before it: events of the
	// call before reach it late, and it believes them.
	lagFor = 2 * time.Second
	// lookAgain is the time between two looks meanwhile.
	lookAgain = 20 * time.Millisecond
)

// freeze makes a call and, when the engine refuses it, looks whether the sandbox is as it should be: engines differ in how
// they say that nothing was to be done.
func (s *Sandboxes) freeze(ctx context.Context, op, id string, paused bool, call func(context.Context, string) error) error {
	if err := engine.CheckID(op, id); err != nil {
		return err
	}
	cctx, cancel := s.engine.Call(ctx)
	defer cancel()
	for {
		err := call(cctx, id)
		if err == nil {
			s.moved(id, paused)
			return nil
		}
		err = s.engine.Fail(ctx, op, err)
		if provisioner.Is(err, provisioner.NotFound) || provisioner.Is(err, provisioner.Cancelled) || provisioner.IsUnavailable(err) {
			return err
		}
		status, look := s.Look(ctx, id)
		switch {
		case look != nil:
			return engine.During(op, look)
		case status.Paused == paused && (status.Paused || status.Running):
			return nil
		case !status.Running && !status.Paused:
			return provisioner.Errorf(provisioner.Conflict, op, "the sandbox is not running")
		case !s.Lags(ctx, id, !paused):
			return err
		}
	}
}

// moved notes that a sandbox was frozen or thawed just now.
func (s *Sandboxes) moved(id string, paused bool) {
	now := &paused
	s.moves.Store(id, now)
	time.AfterFunc(lagFor, func() { s.moves.CompareAndDelete(id, now) })
}

// Lags waits a little and reports true when a sandbox that looks frozen, or not, was made the opposite just now.
func (s *Sandboxes) Lags(ctx context.Context, id string, paused bool) bool {
	now, ok := s.moves.Load(id)
	if !ok || *now.(*bool) == paused {
		return false
	}
	select {
	case <-time.After(lookAgain):
		return true
	case <-ctx.Done():
		return false
	}
}
