package engine

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// running is what this process works on now.
type running struct {
	mu   sync.Mutex
	jobs map[string]*job
	wg   sync.WaitGroup
}

type job struct {
	action fleet.ActionKind
	host   string
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// errReleased is the cause of a create's cancellation because nobody wants the environment any more.
var errReleased = errors.New("the environment was released")

// errFencedOff is the cause of a cancellation because another worker took over.
var errFencedOff = errors.New("another worker took over")

// add notes a job, and gives the one that still runs for the same environment, if any.
func (r *running) add(id string, j *job) (before *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs == nil {
		r.jobs = map[string]*job{}
	}
	before = r.jobs[id]
	r.jobs[id] = j
	r.wg.Add(1)
	return before
}

func (r *running) remove(id string, j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.jobs[id] == j {
		delete(r.jobs, id)
	}
	close(j.done)
	r.wg.Done()
}

func (r *running) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.jobs)
}

func (r *running) cancelCreate(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j := r.jobs[id]; j != nil && j.action == fleet.Create {
		j.cancel(errReleased)
	}
}

// cancelHosts stops all work on hosts that another daemon serves now.
func (r *running) cancelHosts(names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range r.jobs {
		if slices.Contains(names, j.host) {
			j.cancel(errFencedOff)
		}
	}
}

// idle is closed once nothing runs. Call it when nothing new is taken any more.
func (r *running) idle() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		r.wg.Wait()
		close(done)
	}()
	return done
}

// dispatch takes recorded work and starts it, until ctx ends. What it started lives by workCtx.
func (e *Engine) dispatch(ctx, workCtx context.Context) {
	loop(ctx, e.workNudge, func() time.Duration {
		wait := e.cfg.Tick
		if e.hosts.lapsed(e.Now()) {
			if err := e.holdOnce(ctx); err != nil && ctx.Err() == nil {
				e.logger.Warn("holding hosts failed; it is tried again", "error", err)
			}
		}
		// Creates are bounded by the plan; as many destroys may run beside them.
		for ctx.Err() == nil && e.running.count() < 2*e.cfg.Concurrency {
			now := e.Now()
			served := e.hosts.served(now)
			if len(served) == 0 {
				break
			}
			env, ok, err := e.store.TakeWork(ctx, e.cfg.Worker, served, now, now.Add(e.cfg.WorkLease))
			if err != nil {
				if ctx.Err() == nil {
					e.logger.Error("taking work failed; it is tried again", "error", err)
				}
				wait = time.Second
				break
			}
			if !ok {
				break
			}
			e.start(workCtx, env)
		}
		return wait
	})
}

// start does one piece of work in a goroutine of its own, with a heartbeat that keeps it.
func (e *Engine) start(workCtx context.Context, env fleet.Environment) {
	ctx, cancel := context.WithCancelCause(workCtx)
	j := &job{action: env.Work.Action, host: env.Host, cancel: cancel, done: make(chan struct{})}
	before := e.running.add(env.ID, j)
	go func() {
		defer func() {
			cancel(nil)
			e.running.remove(env.ID, j)
			nudge(e.planNudge)
			nudge(e.workNudge)
		}()
		beat := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { e.heartbeat(ctx, cancel, env, beat) })
		if before != nil {
			// This process was asleep for longer than its work lease, and took over from itself:
			// two Terraforms must not run on one environment.
			before.cancel(errFencedOff)
			<-before.done
		}
		e.tries.begin(env, e.hosts.ready[env.Host].ups.Load())
		e.work(ctx, env)
		e.tries.end(env.ID)
		close(beat)
		wg.Wait()
	}()
}

// work does what is recorded. A panic fails the one environment, not the daemon.
func (e *Engine) work(ctx context.Context, env fleet.Environment) {
	defer func() {
		if p := recover(); p != nil {
			e.logger.Error("work panicked", "environment", env.Name, "action", env.Work.Action, "panic", p)
			e.yield(ctx, env, provisioner.Errorf(provisioner.Transient, string(env.Work.Action)+" environment", "a fault inside bothy: %v", p))
		}
	}()
	switch env.Work.Action {
	case fleet.Create:
		e.create(ctx, env)
	case fleet.Destroy:
		e.destroy(ctx, env)
	case fleet.Personalise:
		e.personaliseLate(ctx, env)
	}
}

// heartbeat keeps the row until the work is done. When the row was taken by
// another, or is to be destroyed instead, it stops the work.
func (e *Engine) heartbeat(ctx context.Context, cancel context.CancelCauseFunc, env fleet.Environment, done <-chan struct{}) {
	ticker := time.NewTicker(e.cfg.WorkLease / 4)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ctx.Done():
			// The work is being interrupted; the row is kept until it has stopped.
			ctx = context.WithoutCancel(ctx)
		case <-ticker.C:
		}
		err := e.store.Heartbeat(ctx, env.ID, env.Work.Generation, e.Now().Add(e.cfg.WorkLease))
		if errors.Is(err, store.ErrFenced) {
			cancel(errFencedOff)
			return
		}
		if err != nil {
			e.logger.Warn("heartbeat failed", "environment", env.Name, "error", err)
			continue
		}
		if env.Work.Action == fleet.Create {
			if row, err := e.store.Get(ctx, env.ID); err == nil && row.Work.Action != fleet.Create {
				cancel(errReleased)
			}
		}
	}
}

// finish writes the outcome of work with ctx's values but not its end, fenced by generation.
func (e *Engine) finish(ctx context.Context, env fleet.Environment, fn func(*fleet.Environment) (store.Writes, error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	record := func() error {
		_, err := e.change(ctx, env.ID, store.Expect{Generation: env.Work.Generation}, fn)
		return err
	}
	err := record()
	for fleet.CodeOf(err) == fleet.CodeUnavailable && waitFor(ctx, nil, finishRetry) == nil {
		err = record() // a full disk, say: the outcome is worth more than a repetition of the work
	}
	switch {
	case errors.Is(err, store.ErrFenced):
		e.logger.Warn("another worker took over; this one's outcome is dropped", "environment", env.Name, "action", env.Work.Action)
	case err != nil:
		// The row keeps its worker until the work lease ends; then it is taken up again.
		e.logger.Error("recording an outcome failed", "environment", env.Name, "action", env.Work.Action, "error", err)
	}
}

// finishRetry is the wait before an outcome that could not be recorded is written again.
const finishRetry = 500 * time.Millisecond

// maxTries is how many tries a create has against faults that may pass.
const maxTries = 3

// yield gives work back after a try that did not end it, to be tried again later.
func (e *Engine) yield(ctx context.Context, env fleet.Environment, cause error) {
	now := e.Now()
	unavailable := provisioner.IsUnavailable(cause)
	wait := backoff(env.Work.Attempts)
	if unavailable {
		wait = e.tries.putOff(env)
		e.hosts.ready[env.Host].forget()
		nudge(e.holdNudge) // whether the host is away is found out, and noted, at once
	}
	e.finish(ctx, env, func(row *fleet.Environment) (store.Writes, error) {
		row.Work.Worker, row.Work.Until = "", time.Time{}
		if row.Work.Action != env.Work.Action || provisioner.Is(cause, provisioner.Cancelled) {
			// Something else is wanted of it now, or the daemon is stopping: this was no failed try.
			return store.Writes{}, nil
		}
		sentence := provisioner.Sentence(cause)
		changed := row.Work.LastError != sentence
		if unavailable && row.Work.LastError != "" {
			changed = !sameCause(row.Work.LastError, sentence)
		}
		if changed {
			row.Work.LastError = sentence
		}
		row.Work.NotBefore = now.Add(wait)
		row.Reason = "tried again soon: " + row.Work.LastError
		if unavailable {
			// The engine being away is nobody's failed try, and takes nothing from the time to get ready.
			if !row.Work.Deadline.IsZero() {
				row.Work.Deadline = now.Add(e.cfg.CreateDeadline)
			}
		} else {
			row.Work.Attempts++
		}
		if !changed {
			return store.Writes{}, nil
		}
		return store.Writes{Events: []fleet.Event{
			e.event(row, actorSelf, string(row.Work.Action)+".retry", "%s did not succeed and is tried again: %s", row.Work.Action, sentence),
		}}, nil
	})
	nudge(e.backNudge)
	time.AfterFunc(wait, func() { nudge(e.workNudge) })
}

// backoff is the wait before another try, doubling from 1 s to 30 s.
func backoff(failed int) time.Duration { return doubled(time.Second, failed, 30*time.Second) }

// doubled is a wait that doubles so many times, up to the longest.
func doubled(first time.Duration, times int, longest time.Duration) time.Duration {
	return min(first<<min(max(times, 0), 10), longest)
}
