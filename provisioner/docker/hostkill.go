package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Killer = (*Runtime)(nil)

const opKill = "kill sandbox from the host"

// killAfter is how long a removal may take before the sandbox is killed from the host, and killEvery the time between
// two such kills; variables for tests.
var (
	killAfter = 10 * time.Second
	killEvery = 3 * time.Second
)

// CanKill reports whether this process has the means to kill from the host.
func (r *Runtime) CanKill() error {
	why := hostMeans()
	if !r.net.local {
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
func (r *Runtime) Kill(ctx context.Context, f provisioner.Ref, environment string) (int, error) {
	if err := r.CanKill(); err != nil {
		return 0, err
	}
	if err := r.own(ctx, opKill, f, environment); err != nil {
		return 0, err
	}
	killed, err := killOnHost(f.ID)
	if err != nil {
		return killed, provisioner.Errorf(provisioner.Transient, opKill, "%w", err)
	}
	if killed > 0 {
		r.log.Warn("killed a sandbox from the host, as the engine did not remove it", "sandbox", f.ID, "processes", killed)
	}
	return killed, nil
}

// own looks in the engine's list, which does not wait for the container as an inspect does, whether a container is
// there and is the installation's and the environment's that it was found to be. NotFound: it is gone. Conflict: it is another's.
func (r *Runtime) own(ctx context.Context, op string, f provisioner.Ref, environment string) error {
	if err := checkID(op, f.ID); err != nil {
		return err
	}
	cctx, cancel := r.call(ctx)
	defer cancel()
	all, err := r.api.ContainerList(cctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("id", f.ID))})
	if err != nil {
		return r.fail(ctx, op, err)
	}
	for _, c := range all {
		if c.ID == f.ID {
			return r.isOf(op, f, environment, c.Labels)
		}
	}
	return provisioner.Errorf(provisioner.NotFound, op, "no such container: %s", f.ID)
}

// isOf refuses a resource whose labels are not this installation's, or not of the environment that it was found for.
func (r *Runtime) isOf(op string, f provisioner.Ref, environment string, labels map[string]string) error {
	if !r.owns(labels) {
		return foreign(op, f.Kind, f.ID)
	}
	if got := labels[provisioner.LabelEnvironment]; got != environment {
		return foreignError{provisioner.Errorf(provisioner.Conflict, op,
			"%s %s belongs to environment %q, not to %q; it is left alone", f.Kind, f.ID, got, environment)}
	}
	return nil
}

// killWhile kills a container from the host, again and again, when do takes longer than killAfter.
func (r *Runtime) killWhile(ctx context.Context, f provisioner.Ref, environment string, do func() error) error {
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
			if _, err := r.Kill(kctx, f, environment); err != nil && kctx.Err() == nil {
				r.log.Warn("a container is not removed and cannot be killed from the host", "container", f.ID, "error", err)
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

// errNoCgroups: see hostMeans.
var errNoCgroups = fmt.Errorf("its control groups are not seen here: bothyd runs in a container, or /sys/fs/cgroup is not mounted")
