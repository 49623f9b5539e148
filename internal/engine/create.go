package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// create makes an environment and hands it over. Whatever an earlier try left
// is destroyed first; nothing is ever repaired or adopted.
func (e *Engine) create(ctx context.Context, env fleet.Environment) {
	tryCtx, cancel := context.WithTimeout(ctx, e.cfg.CreateTimeout)
	defer cancel()
	log := e.newProgress(ctx, env)
	handle, err := e.provision(tryCtx, &env, log)
	if err != nil && handle.ID != "" {
		// What it said before it ended is often the cause.
		env.SandboxID = handle.ID
		e.keepLogs(ctx, env)
	}
	log.close()

	switch {
	case err == nil:
		e.handOver(ctx, env, handle)
	case errors.Is(context.Cause(ctx), errFencedOff):
		e.logger.Warn("another worker took over", "environment", env.Name)
	case ctx.Err() != nil:
		// Released, or the daemon is stopping: whoever takes the row next cleans up first.
		e.yield(ctx, env, provisioner.Errorf(provisioner.Cancelled, "create environment", "interrupted: %w", context.Cause(ctx)))
	case tryCtx.Err() != nil:
		e.retryOrFail(ctx, env, provisioner.Errorf(provisioner.Transient, "create environment", "not done within %s", e.cfg.CreateTimeout))
	default:
		e.retryOrFail(ctx, env, err)
	}
}

// retryOrFail gives a fault that may pass a few tries.
func (e *Engine) retryOrFail(ctx context.Context, env fleet.Environment, cause error) {
	mayPass := provisioner.Is(cause, provisioner.Transient) || provisioner.Is(cause, provisioner.Conflict) || provisioner.Is(cause, provisioner.Quota)
	if mayPass && (provisioner.IsUnavailable(cause) || env.Work.Attempts+1 < maxTries) {
		e.yield(ctx, env, cause)
		return
	}
	now := e.Now()
	e.logger.Warn("create failed", "environment", env.Name, "id", env.ID, "error", cause)
	e.finish(ctx, env, func(row *fleet.Environment) (store.Writes, error) {
		row.Work.Worker, row.Work.Until = "", time.Time{}
		if row.Work.Action != fleet.Create {
			return store.Writes{}, nil
		}
		e.fail(row, &fleet.Failure{
			Code: fleet.CodeProvision, Sentence: provisioner.Sentence(cause), At: now,
			Hint: "the whole log: bothy logs " + row.Name,
		})
		return store.Writes{Events: []fleet.Event{e.event(row, actorSelf, "environment.failed", "%s", row.Failure.Sentence)}}, nil
	})
}

// provision does one try; the handle of a failed one holds what is known. Everything it makes can be found by label from the
// moment it exists, because the row that names it was written before.
func (e *Engine) provision(ctx context.Context, env *fleet.Environment, log *progress) (provisioner.Handle, error) {
	var none provisioner.Handle
	// The first thing that any later try does is to take away what this one may leave.
	if env.Work.Generation > 1 {
		log.step("rescue", "an earlier try was cut off or failed; what it left is taken away first")
		if err := e.clean(ctx, *env, log); err != nil {
			return none, fmt.Errorf("clean up after an earlier try: %w", err)
		}
		e.releaseNetwork(ctx, *env)
		// What they describe is gone, and the numbers of the next try's states begin anew.
		if err := e.store.DropStates(ctx, env.ID); err != nil {
			return none, fmt.Errorf("drop states of an earlier try: %w", err)
		}
	}
	spec, err := e.spec(*env)
	if err != nil {
		return none, err
	}
	log.step("prepare", "preparing blueprint %s", env.Blueprint)
	if err := e.driver.Prepare(ctx, spec.Blueprint); err != nil {
		return none, err
	}
	if spec.Sandbox.Image, err = e.runtime.ResolveImage(ctx, env.Image); err != nil {
		return none, imageError(err, env.Image)
	}
	if spec.Sandbox.Network, err = e.reserveNetwork(ctx, env, spec.Owner); err != nil {
		return none, err
	}
	log.step("create", "Terraform makes the sandbox")
	handle, err := e.driver.Create(ctx, spec, log.observe)
	if saveErr := e.saveState(ctx, *env, handle); saveErr != nil && err == nil {
		err = saveErr
	}
	if err != nil {
		return handle, err
	}
	if limiter, ok := e.runtime.(provisioner.Limiter); ok {
		if err := limiter.LimitPids(ctx, handle.ID, env.Size.Pids); err != nil {
			return handle, fmt.Errorf("limit processes: %w", err)
		}
	}
	return handle, e.healthy(ctx, handle)
}

// spec says what the driver is to make, all of it from typed and checked fields of the row.
func (e *Engine) spec(env fleet.Environment) (provisioner.Spec, error) {
	dir, err := e.blueprints.Dir(env.Blueprint.Digest)
	if err != nil {
		return provisioner.Spec{}, fmt.Errorf("find blueprint %s: %w", env.Blueprint, err)
	}
	owner := provisioner.Owner{
		Instance: e.cfg.Instance, Environment: env.ID, Generation: env.Work.Generation,
		Blueprint: env.Blueprint.String(), User: env.Owner, Created: e.Now(),
	}
	return provisioner.Spec{
		Blueprint: driverBlueprint(env.Blueprint, dir),
		Owner:     owner,
		Labels:    e.labels.Labels(owner),
		Sandbox: provisioner.Sandbox{
			Size: env.Size.Name, CPUs: env.Size.CPUs, MemoryMiB: env.Size.MemoryMiB, Pids: env.Size.Pids,
			Network: env.Network, Root: mayUse(env, "root"),
		},
		Inputs: env.Inputs,
	}, nil
}

func driverBlueprint(ref fleet.BlueprintRef, dir string) provisioner.Blueprint {
	return provisioner.Blueprint{Name: ref.Name, Version: ref.Version, Digest: ref.Digest, Dir: dir}
}

// reserveNetwork takes a network and writes its name down before it is used.
func (e *Engine) reserveNetwork(ctx context.Context, env *fleet.Environment, owner provisioner.Owner) (string, error) {
	if e.networks == nil {
		return "", nil
	}
	name, err := e.networks.Reserve(ctx, owner)
	if err != nil {
		return "", err
	}
	_, err = e.change(ctx, env.ID, store.Expect{Generation: env.Work.Generation}, func(row *fleet.Environment) (store.Writes, error) {
		row.Network = name
		return store.Writes{}, nil
	})
	if err != nil {
		return "", errors.Join(fmt.Errorf("record network: %w", err), e.networks.Release(context.WithoutCancel(ctx), name))
	}
	env.Network = name
	return name, nil
}

// saveState keeps the driver's state, sealed, also of a create that failed:
// ready is only what can be destroyed from here.
func (e *Engine) saveState(ctx context.Context, env fleet.Environment, h provisioner.Handle) error {
	if len(h.State) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := e.store.SaveState(ctx, env.ID, env.Work.Generation, h.Serial, e.sealer.seal(env.ID, h.State)); err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	return nil
}

// healthy looks once more before the environment is handed over: a sandbox that ended at once is none.
func (e *Engine) healthy(ctx context.Context, h provisioner.Handle) error {
	status, err := e.runtime.Inspect(ctx, h.ID)
	if err != nil {
		return fmt.Errorf("inspect sandbox: %w", err)
	}
	if !status.Running {
		return provisioner.Errorf(provisioner.Permanent, "start sandbox", "the sandbox ended at once with exit code %d", status.ExitCode)
	}
	return nil
}

// handOver begins the lease: a slow create costs its user no time.
func (e *Engine) handOver(ctx context.Context, env fleet.Environment, h provisioner.Handle) {
	now := e.Now()
	e.finish(ctx, env, func(row *fleet.Environment) (store.Writes, error) {
		row.Work.Worker, row.Work.Until = "", time.Time{}
		row.SandboxID = h.ID
		if row.BilledFrom.IsZero() {
			row.BilledFrom = now
		}
		if row.Work.Action != fleet.Create {
			// Released while it was made: it is never handed over, and destroyed next.
			return store.Writes{}, nil
		}
		row.State, row.Reason, row.ReadyAt = fleet.Leased, "", now
		row.Work.Action, row.Work.Attempts, row.Work.LastError, row.Work.Deadline = fleet.None, 0, "", time.Time{}
		row.Lease.Start, row.Lease.End = now, now.Add(min(row.Lease.TTL, row.Lease.MaxTTL))
		return store.Writes{Events: []fleet.Event{
			e.event(row, actorSelf, "environment.ready", "ready after %s, leased until %s",
				now.Sub(row.CreatedAt).Round(time.Millisecond), row.Lease.End.Format(time.RFC3339)),
		}}, nil
	})
}

func imageError(err error, ref string) error {
	if provisioner.Is(err, provisioner.NotFound) {
		return provisioner.Errorf(provisioner.Permanent, "find image", "the Docker engine has no image %s; make it with: make setup", ref)
	}
	return err
}
