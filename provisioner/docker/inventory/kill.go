package inventory

import (
	"context"
	"errors"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/hostproc"
)

var _ provisioner.Killer = (*Inventory)(nil)

const opKill = "kill sandbox from the host"

// killAfter is how long a removal may take before the sandbox is killed from the host, and killEvery the time between
// two such kills; variables for tests.
var (
	killAfter = 10 * time.Second
	killEvery = 3 * time.Second
)

// CanKill reports whether this process has the means to kill from the host.
func (i *Inventory) CanKill() error {
	why := hostproc.Means()
	if !i.engine.Local {
		why = errors.New("the engine is on another machine")
	}
	if why == nil {
		return nil
	}
	return provisioner.Errorf(provisioner.Permanent, opKill,
		"a sandbox that blocks the engine cannot be killed from the host: %w", why)
}

// Kill ends every process of a container from the host: those of its control groups, those of its pid namespace (a
// helper of the engine is there before it is in the control groups), and the engine's own helpers that wait for them.
func (i *Inventory) Kill(ctx context.Context, f provisioner.Ref, environment string) (int, error) {
	if err := i.CanKill(); err != nil {
		return 0, err
	}
	if err := i.own(ctx, opKill, f, environment); err != nil {
		return 0, err
	}
	killed, err := hostproc.Kill(f.ID)
	if err != nil {
		return killed, provisioner.Errorf(provisioner.Transient, opKill, "%w", err)
	}
	if killed > 0 {
		i.engine.Log.Warn("killed a sandbox from the host, as the engine did not remove it", "sandbox", f.ID, "processes", killed)
	}
	return killed, nil
}

// own looks in the engine's list, which does not wait for the container as an inspect does, whether a container is
// there and is the installation's and the environment's that it was found to be. NotFound: it is gone. Conflict: it is another's.
func (i *Inventory) own(ctx context.Context, op string, f provisioner.Ref, environment string) error {
	if err := engine.CheckID(op, f.ID); err != nil {
		return err
	}
	cctx, cancel := i.engine.Call(ctx)
	defer cancel()
	all, err := i.engine.API.ContainerList(cctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("id", f.ID))})
	if err != nil {
		return i.engine.Fail(ctx, op, err)
	}
	for _, c := range all {
		if c.ID == f.ID {
			return i.isOf(op, f, environment, c.Labels)
		}
	}
	return provisioner.Errorf(provisioner.NotFound, op, "no such container: %s", f.ID)
}

// isOf refuses a resource whose labels are not this installation's, or not of the environment that it was found for.
func (i *Inventory) isOf(op string, f provisioner.Ref, environment string, labels map[string]string) error {
	if !i.engine.Owns(labels) {
		return engine.Foreign(op, f.Kind, f.ID)
	}
	if got := labels[provisioner.LabelEnvironment]; got != environment {
		return engine.OfAnother(op, f.Kind, f.ID, got, environment)
	}
	return nil
}

// killWhile kills a container from the host, again and again, when do takes longer than killAfter.
func (i *Inventory) killWhile(ctx context.Context, f provisioner.Ref, environment string, do func() error) error {
	kctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait := killAfter; ; wait = killEvery {
			select {
			case <-kctx.Done():
				return
			case <-time.After(wait):
			}
			if _, err := i.Kill(kctx, f, environment); err != nil && kctx.Err() == nil {
				i.engine.Log.Warn("a container is not removed and cannot be killed from the host", "container", f.ID, "error", err)
				if provisioner.Is(err, provisioner.Permanent) {
					return
				}
			}
		}
	}()
	err := do()
	stop()
	<-done
	return err
}
