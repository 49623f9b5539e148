package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// overdue is what this process knows of environments that are being destroyed: since when, and what keeps them.
type overdue struct {
	mu sync.Mutex
	of map[string]late
}

type late struct {
	since time.Time
	// cause is what the try that runs has found; "" when it has found nothing.
	cause string
}

// see notes that an environment is being destroyed, and gives since when. A lease that is over says it exactly; of other
// environments this process knows when it first saw it.
func (o *overdue) see(env fleet.Environment, now time.Time) late {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = map[string]late{}
	}
	known, ok := o.of[env.ID]
	if !ok {
		known.since = now
		o.of[env.ID] = known
	}
	if end := env.Lease.Ends(); !end.IsZero() && end.Before(known.since) {
		known.since = end
	}
	if known.cause == "" {
		known.cause = env.Work.LastError
	}
	return known
}

// blame notes what keeps a try.
func (o *overdue) blame(id, cause string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, ok := o.of[id]; ok {
		known.cause = cause
		o.of[id] = known
	}
}

// gone forgets what has been destroyed.
func (o *overdue) gone(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.of, id)
}

// keep forgets all but the given ones: others are destroyed by another daemon.
func (o *overdue) keep(live map[string]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range o.of {
		if !live[id] {
			delete(o.of, id)
		}
	}
}

// unanswered is the cause of a destroy that an engine keeps.
const unanswered = "the engine does not answer for it"

// errUnanswered is the cause of the end of a driver's try that its engine keeps.
var errUnanswered = errors.New(unanswered)

// killsInVain is how many kills must have changed nothing before the driver is ended.
const killsInVain = 3

var errInVain = errors.New("it was killed from its host, which did not help")

// endBlocked watches over a destroy until ctx ends. What it is to remove may keep the engine from removing it: then it is
// killed from the host, again and again. Where that cannot be done the driver, which would wait for ever, is ended by
// stop, and the removal by label is left to try.
func (r remover) endBlocked(ctx, driver context.Context, env fleet.Environment, stop context.CancelCauseFunc) {
	wait := 2 * r.cfg.SlowAfter
	for round := 0; ; round++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = max(r.cfg.SlowAfter/2, time.Millisecond)
		err := r.killBlocked(ctx, env)
		switch {
		case ctx.Err() != nil, err == nil && round < killsInVain:
		case r.answersFor(ctx, env) || ctx.Err() != nil:
			// It only takes its time.
		default:
			if err == nil {
				err = errInVain
			}
			if context.Cause(driver) == nil {
				r.logger.Warn("a destroy is kept by its engine", "environment", env.Name, "id", env.ID, "cause", err)
			}
			r.overdue.blame(env.ID, fmt.Sprintf("%s; %s", unanswered, provisioner.Sentence(err)))
			stop(errUnanswered)
		}
	}
}

// killBlocked kills what is still there of an environment. Permanent: its runtime lacks the means.
func (r remover) killBlocked(ctx context.Context, env fleet.Environment) error {
	h, err := r.hosts.Host(env.Host)
	if err != nil {
		return err
	}
	killer, ok := provisioner.Can[provisioner.Killer](h.Runtime)
	if !ok {
		return provisioner.Errorf(provisioner.Permanent, "kill sandbox", "it cannot be killed from the host here")
	}
	if err := killer.CanKill(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, target.LookFor)
	defer cancel()
	all, err := target.Listed(ctx, h, r.cfg.Instance, env.ID)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range all {
		if !f.Runs() || f.Labels[provisioner.LabelEnvironment] != env.ID || !r.labels.Verify(f.Labels) {
			continue
		}
		killed, err := killer.Kill(ctx, f.Ref, env.ID)
		if err != nil && !provisioner.Is(err, provisioner.NotFound) {
			errs = append(errs, err)
		}
		if killed > 0 {
			r.logger.Warn("killed a sandbox from its host, as it was not removed", "environment", env.Name, "id", env.ID, "processes", killed)
		}
	}
	return errors.Join(errs...)
}

// answersFor reports whether the engine still answers for an environment's sandbox.
func (r remover) answersFor(ctx context.Context, env fleet.Environment) bool {
	h, err := r.hosts.Host(env.Host)
	if err != nil || env.SandboxID == "" {
		return true // nobody asked it
	}
	ctx, cancel := context.WithTimeout(ctx, target.LookFor)
	defer cancel()
	_, err = h.Runtime.Inspect(ctx, env.SandboxID)
	return err == nil || provisioner.Is(err, provisioner.NotFound)
}

// cause says why an environment is not gone yet; "" when it is not late.
func (r remover) cause(env fleet.Environment, now time.Time) (sentence, next string) {
	known := r.overdue.see(env, now)
	took := now.Sub(known.since).Round(time.Second)
	if known.cause == "" || known.cause == env.Work.LastError || took < 2*r.cfg.SlowAfter {
		return "", ""
	}
	sentence = fmt.Sprintf("it has been deleting for %s and cannot be removed yet: %s", took, known.cause)
	if end := env.Lease.Ends(); !end.IsZero() && !now.Before(end) {
		sentence = fmt.Sprintf("its lease is over since %s and it cannot be removed yet: %s", now.Sub(end).Round(time.Second), known.cause)
	}
	return sentence, "bothy keeps trying, and it counts in quotas until it is gone; tell your platform team if this lasts"
}
