package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// create makes an environment and hands it over. Whatever an earlier try left
// is destroyed first; nothing is ever repaired or adopted.
func (m maker) create(ctx context.Context, env fleet.Environment) {
	if err := m.mayCreate(ctx, env.ID); err != nil {
		m.yield(ctx, env, storeAway(err))
		return
	}
	tryCtx, cancel := context.WithTimeout(ctx, m.cfg.CreateTimeout)
	defer cancel()
	log := m.newProgress(ctx, env)
	began := m.clock.Now()
	err := m.provision(tryCtx, &env, log)
	if err != nil && env.SandboxID != "" {
		// What it said before it ended is often the cause.
		remover(m).keepLogs(ctx, env)
	}
	log.close()

	switch {
	case err == nil:
		m.cfg.CreateTimes.Note(env.Blueprint.Digest, m.clock.Now().Sub(began))
		m.handOver(ctx, env)
	case errors.Is(context.Cause(ctx), errFencedOff):
		m.logger.Warn("another worker took over", "environment", env.Name)
	case ctx.Err() != nil:
		// Released, or the daemon is stopping: whoever takes the row next cleans up first.
		m.yield(ctx, env, provisioner.Errorf(provisioner.Cancelled, "create environment", "interrupted: %w", context.Cause(ctx)))
	case tryCtx.Err() != nil:
		m.retryOrFail(ctx, env, provisioner.Errorf(provisioner.Transient, "create environment", "not done within %s", m.cfg.CreateTimeout))
	default:
		m.retryOrFail(ctx, env, storeAway(err))
	}
}

// mayCreate keeps the marks ahead of all that exists, so that a database which does not know of it is seen to be behind. It
// refuses to rescue what safe mode doubts: that may have become somebody's.
func (m maker) mayCreate(ctx context.Context, id string) error {
	if err := m.cfg.Recovery.LookAndMark(ctx); err != nil {
		return err
	}
	row, err := m.store.Get(ctx, id) // it may have come to be doubted just now
	if err == nil && row.Doubted {
		err = errDoubted()
	}
	return err
}

// storeAway makes of an error of the store that passes by itself (a database that was restarted, a full disk) one that
// says nothing about the environment: neither its request nor its pool is to pay for it.
func storeAway(err error) error {
	var own *provisioner.Error
	if errors.As(err, &own) || fleet.CodeOf(err) != fleet.CodeUnavailable {
		return err
	}
	return &provisioner.Error{
		Class: provisioner.Transient, Op: "create environment", Sentence: "what is made could not be recorded: " + err.Error(),
		Unavailable: true, Err: err,
	}
}

// retryOrFail gives a fault that may pass a few tries.
func (m maker) retryOrFail(ctx context.Context, env fleet.Environment, cause error) {
	// What is not there any more was there a moment ago: somebody removed it meanwhile.
	mayPass := provisioner.Is(cause, provisioner.Transient) || provisioner.Is(cause, provisioner.Conflict) || provisioner.Is(cause, provisioner.Quota) ||
		provisioner.Is(cause, provisioner.NotFound)
	if mayPass && (provisioner.IsUnavailable(cause) || env.Work.Attempts+1 < maxTries) {
		m.yield(ctx, env, cause)
		return
	}
	now := m.clock.Now()
	m.logger.Warn("create failed", "environment", env.Name, "id", env.ID, "error", cause)
	hint, failed := "", false // without one, whoever shows it names the log
	if _, refused := errors.AsType[*provisioner.Refusal](cause); refused {
		hint = "correct that attribute, or the parameter behind it; to check the blueprint: bothy blueprint check DIR"
	}
	m.finish(ctx, env, func(row *fleet.Environment) (store.Writes, error) {
		row.Work.Worker, row.Work.Until = "", time.Time{}
		if failed = row.Work.Action == fleet.Create; !failed {
			return store.Writes{}, nil
		}
		journal.Fail(row, &fleet.Failure{
			Code: fleet.CodeProvision, Sentence: provisioner.Sentence(cause), At: now, Hint: hint,
		})
		return m.journal.Recorded(row, "environment.failed", row.Failure.Sentence), nil
	})
	if failed && env.ForPool() {
		m.journal.NoteMade(ctx, env.Pool, provisioner.Sentence(cause))
	}
}

// provision does one try, up to an environment that can be handed over; env holds what is known of a failed one. Everything
// it makes can be found by label from the moment it exists, because the row that names it was written before.
func (m maker) provision(ctx context.Context, env *fleet.Environment, log *progress) error {
	h, err := m.hosts.Host(env.Host)
	if err != nil {
		return err
	}
	// The first thing that any later try does is to remove what this one may leave.
	if env.Work.Generation > 1 {
		if err := m.cleanEarlier(ctx, *env, log); err != nil {
			return err
		}
	}
	spec, err := m.spec(*env)
	if err != nil {
		return err
	}
	log.step("prepare", "preparing blueprint %s", env.Blueprint)
	if err := preparer(m).prepare(ctx, h, spec.Blueprint, env.Work.LastError == ""); err != nil {
		return err
	}
	if spec.Sandbox.Image, err = h.Runtime.ResolveImage(ctx, env.Image); err != nil {
		return imageError(err)
	}
	if spec.Sandbox.Network, err = m.reserveNetwork(ctx, h, env, spec.Owner); err != nil {
		return err
	}
	log.step("create", "Terraform makes the sandbox")
	handle, err := m.make(ctx, h, *env, spec, log)
	env.SandboxID = handle.Sandbox.ID
	if saveErr := m.saveState(ctx, *env, handle); saveErr != nil && err == nil {
		err = saveErr
	}
	if err != nil {
		return err
	}
	m.settled(ctx, h, spec)
	if limiter, ok := provisioner.Can[provisioner.Limiter](h.Runtime); ok && h.Broker == nil {
		if err := limiter.LimitPids(ctx, handle.Sandbox.ID, env.Size.Pids); err != nil {
			return fmt.Errorf("limit processes: %w", err)
		}
	}
	return m.complete(ctx, h, env)
}

// cleanEarlier removes what an earlier try left.
func (m maker) cleanEarlier(ctx context.Context, env fleet.Environment, log *progress) error {
	log.step("rescue", "an earlier try was interrupted or failed; removing what it left")
	gone, err := remover(m).clean(ctx, env, log)
	if err != nil {
		return fmt.Errorf("clean up after an earlier try: %w", err)
	}
	if err := m.evidence.ClearBill(ctx, env, gone); err != nil {
		return err
	}
	remover(m).releaseNetwork(ctx, env)
	// What they describe is gone, and the numbers of the next try's states begin anew.
	if err := m.store.DropStates(ctx, env.ID); err != nil {
		return fmt.Errorf("drop states of an earlier try: %w", err)
	}
	return nil
}

// complete puts into a sandbox what its holder gave, or gets a pool's member ready for its claim. Either proves that it works.
func (m maker) complete(ctx context.Context, h *target.Host, env *fleet.Environment) error {
	status, err := target.Healthy(ctx, h, env.SandboxID)
	if err != nil {
		return err
	}
	env.StartedAt = clock.Kept(status.StartedAt)
	if env.ForPool() {
		env.Paused, err = m.cfg.Sessions.MakeReady(ctx, h, *env)
		return err
	}
	files := m.cfg.Certificates.Files()
	if len(env.SecretNames) == 0 && files == nil {
		return nil
	}
	secrets, err := m.cfg.Vault.Files(ctx, *env)
	if err != nil {
		return err
	}
	files = append(secrets, files...)
	if err := m.cfg.Sessions.Deliver(ctx, h, *env, files); err != nil {
		return err
	}
	m.cfg.Certificates.Handed(*env, files)
	return nil
}

// spec says what the driver is to make, all of it from typed and checked fields of the row.
func (w *Worker) spec(env fleet.Environment) (provisioner.Spec, error) {
	dir, err := w.blueprints.Dir(env.Blueprint.Digest)
	if err != nil {
		return provisioner.Spec{}, fmt.Errorf("find blueprint %s: %w", env.Blueprint, err)
	}
	owner := provisioner.Owner{
		Instance: w.cfg.Instance, Environment: env.ID, Generation: env.Work.Generation,
		Blueprint: env.Blueprint.String(), User: env.Owner, Created: w.clock.Now(),
		Size: env.Size.Name, Tenant: env.Tenant, Team: env.Team, Project: env.Project, PullRequest: env.PullRequest,
	}
	return provisioner.Spec{
		Blueprint: w.driverBlueprint(env.Blueprint, dir),
		Owner:     owner,
		Labels:    w.labels.Labels(owner),
		Sandbox: provisioner.Sandbox{
			Size: env.Size.Name, CPUs: env.Size.CPUs, MemoryMiB: env.Size.MemoryMiB, Pids: env.Size.Pids,
			Network: provisioner.Attachment(env.Network), Root: slices.Contains(env.Users, "root"), User: env.FirstUser(),
		},
		Inputs: env.Inputs,
	}, nil
}

// driverBlueprint is a blueprint as a driver sees it. One that is not offered any more is trusted no longer.
func (w *Worker) driverBlueprint(ref fleet.BlueprintRef, dir string) provisioner.Blueprint {
	trusted := slices.ContainsFunc(w.blueprints.List(), func(bp fleet.Blueprint) bool { return bp.Trusted && bp.Ref.Digest == ref.Digest })
	return provisioner.Blueprint{Name: ref.Name, Version: ref.Version, Digest: ref.Digest, Dir: dir, Trusted: trusted}
}

// reserveNetwork takes a network and writes it down before it is used.
func (m maker) reserveNetwork(ctx context.Context, h *target.Host, env *fleet.Environment, owner provisioner.Owner) (provisioner.Attachment, error) {
	if h.Networks == nil {
		return "", nil
	}
	at, err := h.Networks.Reserve(ctx, owner)
	if err != nil {
		return "", err
	}
	// Until it is written down no row tells a sweep that somebody holds it.
	m.unwritten.Store(at, struct{}{})
	defer m.unwritten.Delete(at)
	_, err = m.journal.Change(ctx, env.ID, store.Expect{Generation: env.Work.Generation}, func(row *fleet.Environment) (store.Writes, error) {
		row.Network = string(at)
		return store.Writes{}, nil
	})
	if err != nil {
		return "", errors.Join(fmt.Errorf("record network: %w", err), h.Networks.Release(context.WithoutCancel(ctx), at))
	}
	env.Network = string(at)
	return at, nil
}

// saveState keeps the driver's state, sealed, also of a create that failed:
// ready is only what can be destroyed from here.
func (m maker) saveState(ctx context.Context, env fleet.Environment, h provisioner.Handle) error {
	if len(h.State) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), saveStateFor)
	defer cancel()
	sealed := m.cfg.Vault.SealState(env.ID, h.State)
	for {
		once, end := context.WithTimeout(ctx, saveStateOnce)
		err := m.store.SaveState(once, env.ID, env.Work.Generation, h.Serial, sealed)
		end()
		if err == nil {
			return nil
		}
		// A database that stalls is worth more patience than a sandbox that has just been made.
		if fleet.CodeOf(err) != fleet.CodeUnavailable || bus.Wait(ctx, nil, finishRetry) != nil {
			return fmt.Errorf("save state: %w", err)
		}
	}
}

// saveStateOnce bounds one try to save a state, saveStateFor all of them.
const (
	saveStateOnce = 10 * time.Second
	saveStateFor  = 30 * time.Second
)

// settled tells the driver that what it made is on record, so that it need not keep the state in clear. What stays then is
// removed with the environment.
func (m maker) settled(ctx context.Context, h *target.Host, spec provisioner.Spec) {
	settler, ok := h.Driver.(provisioner.Settler)
	if !ok {
		return
	}
	if err := settler.Settled(ctx, spec); err != nil {
		m.logger.Warn("the driver's working files stay until the environment ends", "environment", spec.Owner.Environment, "cause", err)
	}
}

// handOver ends a create: a request's environment is leased from now on, since a slow create costs its user no time; a pool's is warm.
func (m maker) handOver(ctx context.Context, env fleet.Environment) {
	now := m.clock.Now()
	made := false
	m.finish(ctx, env, func(row *fleet.Environment) (store.Writes, error) {
		row.Work.Worker, row.Work.Until = "", time.Time{}
		row.SandboxID, row.StartedAt = env.SandboxID, env.StartedAt
		ledger.Begin(row, now)
		if made = row.Work.Action == fleet.Create; !made {
			// Released while it was made: it is never handed over, and destroyed next.
			return store.Writes{}, nil
		}
		row.Reason, row.ReadyAt = "", now
		row.Work = fleet.Work{Generation: row.Work.Generation}
		if row.ForPool() {
			row.State, row.Paused = fleet.Warm, env.Paused
			return m.journal.Recorded(row, "environment.warm", "ready for whoever asks, after "+took(row, now)), nil
		}
		return m.recordLeased(row, now), nil
	})
	m.cfg.Recovery.NoteGiven()
	if made && env.ForPool() {
		m.journal.NoteMade(ctx, env.Pool, "")
	}
}

// recordLeased begins the lease of what was made for a request.
func (m maker) recordLeased(row *fleet.Environment, now time.Time) store.Writes {
	row.State = fleet.Leased
	journal.BeginLease(row, now)
	writes := m.journal.Recorded(row, "environment.ready", fmt.Sprintf("ready after %s, leased until %s", took(row, now), row.Lease.End.Format(time.RFC3339)))
	if len(row.SecretNames) > 0 {
		writes.Secrets = []byte{}
	}
	if first := row.Queue.First; !first.IsZero() {
		off := now.Sub(first)
		writes.EstimateOff = &off
	}
	row.Queue.Rank, row.Queue.Estimate, row.Queue.Until = 0, time.Time{}, time.Time{}
	return writes
}

func took(row *fleet.Environment, now time.Time) string {
	return now.Sub(row.CreatedAt).Round(time.Millisecond).String()
}

func imageError(err error) error {
	if provisioner.Is(err, provisioner.NotFound) {
		return &provisioner.Error{Class: provisioner.Permanent, Op: "find image", Sentence: provisioner.Sentence(err), Err: err}
	}
	return err
}

// errDoubted is the error of work on an environment that safe mode leaves alone.
func errDoubted() error {
	return &provisioner.Error{
		Class: provisioner.Transient, Op: "work on environment", Unavailable: true,
		Sentence: "safe mode: it is from before the database was lost or restored, and left as it is until somebody has decided: bothy orphans",
	}
}
