package worker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/guard"
	"github.com/bothy-env/bothy/internal/engine/journal"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// running is what this process works on now.
type running struct {
	mu   sync.Mutex
	jobs map[string]*job
	wg   sync.WaitGroup
	// works are the goroutines that the jobs run in.
	works sync.WaitGroup
}

type job struct {
	action fleet.ActionKind
	host   string
	// slow says that a destroy has taken long: it holds no slot any more.
	slow   bool
	cancel context.CancelCauseFunc
	done   chan struct{}
	trust  *clock.Trust
}

// errReleased is the cause of a create's cancellation because nobody wants the environment any more.
var errReleased = errors.New("the environment was released")

// errUntrusted is the cause of a cancellation because the database did not learn in time that the work continues: another
// daemon may take it over any moment.
var errUntrusted = errors.New("the work's lease can no longer be trusted")

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

// full gives the actions that no slot is free for on a host. What makes environments and what destroys them have slots of their
// own, as many each, so that neither waits for the other, and every host has its own, so that none waits for another's. A destroy
// that has become slow has given its slot back. Of those at most as many more run: what does not end is not to take the machine.
func (r *running) full(host string, slots int) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	making, quick, slow := 0, 0, 0
	for _, j := range r.jobs {
		switch {
		case j.host != host:
		case j.action != fleet.Destroy:
			making++
		case j.slow:
			slow++
		default:
			quick++
		}
	}
	full := ""
	if making >= slots {
		full = fullOfMaking
	}
	if quick+max(slow-slowMost*slots, 0) >= slots {
		full += fullOfDestroys
	}
	return full
}

// What a host may be full of.
const (
	fullOfMaking   = "m"
	fullOfDestroys = "d"
)

// left gives the actions that are left alone on a host that is full of something.
func left(full string) (actions []fleet.ActionKind) {
	if strings.Contains(full, fullOfMaking) {
		actions = append(actions, fleet.Create, fleet.Personalise)
	}
	if strings.Contains(full, fullOfDestroys) {
		actions = append(actions, fleet.Destroy)
	}
	return actions
}

// slowMost is how many times as many slow destroys as slots may run beside those that hold one.
const slowMost = 2

// becomeSlow notes that a job has taken long.
func (r *running) becomeSlow(j *job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j.slow = true
}

func (r *running) cancelCreate(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j := r.jobs[id]; j != nil && j.action == fleet.Create {
		j.cancel(errReleased)
	}
}

// idle is closed once nothing runs. Call it when nothing new is taken any more.
func (r *running) idle() <-chan struct{} { return guard.WhenDone(&r.wg) }

// Run takes recorded work and starts it, until ctx ends. What it started lives by workCtx.
func (w *Worker) Run(ctx, workCtx context.Context) {
	bus.Loop(ctx, w.bus.On(bus.Work), func() time.Duration {
		wait := w.cfg.Tick
		if err := w.cfg.Holds.RenewLapsed(ctx); err != nil && ctx.Err() == nil {
			w.logger.Warn("holding hosts failed; it is tried again", "error", err)
		}
		for ctx.Err() == nil {
			found, err := w.takeOne(ctx, workCtx)
			if err != nil && ctx.Err() == nil {
				w.logger.Error("taking work failed; it is tried again", "error", err)
			}
			if err != nil {
				wait = w.bus.Apart(time.Second)
			}
			if !found {
				break
			}
		}
		return wait
	})
}

// takeOne takes a recorded action on each group of hosts that have the same slots free, and starts it. False: there is none.
func (w *Worker) takeOne(ctx, workCtx context.Context) (found bool, err error) {
	groups := map[string][]string{}
	for _, host := range w.cfg.Workable() {
		full := w.running.full(host, 2*w.cfg.Concurrency) // of what is made, the plan allows half
		groups[full] = append(groups[full], host)
	}
	delete(groups, fullOfMaking+fullOfDestroys)
	for full, hosts := range groups {
		now, taken := w.clock.Now(), clock.SinceBoot()
		env, ok, err := w.store.TakeWork(ctx, w.cfg.Worker, hosts, now, now.Add(w.cfg.WorkLease), left(full)...)
		if err != nil {
			return found, err
		}
		if ok {
			found = true
			w.start(workCtx, env, taken)
		}
	}
	return found, nil
}

// start does one piece of work, which was taken at a time since boot, in a goroutine of its own, with a heartbeat that keeps it.
func (w *Worker) start(workCtx context.Context, env fleet.Environment, taken time.Duration) {
	ctx, cancel := context.WithCancelCause(workCtx)
	j := &job{action: env.Work.Action, host: env.Host, cancel: cancel, done: make(chan struct{})}
	j.trust = clock.NewTrust(taken, w.cfg.WorkLease, func() { cancel(errUntrusted) })
	before := w.running.add(env.ID, j)
	w.guard.Aside(&w.running.works, "work on an environment", func() {
		defer func() {
			j.trust.End()
			cancel(nil)
			w.running.remove(env.ID, j)
			w.bus.Nudge(bus.Plan, bus.Work)
		}()
		beat := make(chan struct{})
		var wg sync.WaitGroup
		defer func() { // whatever becomes of the work, its row is not kept for it any longer
			close(beat)
			wg.Wait()
		}()
		// Until the work is over, whatever becomes of its context.
		w.guard.KeepUp(context.WithoutCancel(ctx), &wg, "the heartbeat of work", func() { w.heartbeat(ctx, j, env, beat) })
		if before != nil {
			// This process was asleep for longer than its work lease, and took over from itself:
			// two Terraforms must not run on one environment.
			before.cancel(errFencedOff)
			<-before.done
		}
		if env.Work.Action == fleet.Destroy {
			slow := time.AfterFunc(w.cfg.SlowAfter, func() {
				w.running.becomeSlow(j)
				w.bus.Nudge(bus.Work)
			})
			defer slow.Stop()
		}
		w.tries.begin(env, w.cfg.Ready(env.Host).Ups())
		defer w.tries.end(env.ID)
		w.work(ctx, env)
	})
}

// work does what is recorded. A panic fails the one environment, not the daemon.
func (w *Worker) work(ctx context.Context, env fleet.Environment) {
	err := w.guard.Do(string(env.Work.Action)+" of environment "+env.ID, func() {
		switch env.Work.Action {
		case fleet.Create:
			maker{w}.create(ctx, env)
		case fleet.Destroy:
			remover{w}.destroy(ctx, env)
		case fleet.Personalise:
			if err := w.cfg.Claims.HandOver(ctx, env); err != nil {
				w.yield(ctx, env, err)
			}
		}
	})
	if err != nil {
		w.yield(ctx, env, provisioner.Errorf(provisioner.Transient, string(env.Work.Action)+" environment", "%w", err))
	}
}

// heartbeat keeps the row until the work is done. When the row was taken by
// another, or is to be destroyed instead, it stops the work.
func (w *Worker) heartbeat(ctx context.Context, j *job, env fleet.Environment, done <-chan struct{}) {
	ticker := time.NewTicker(w.cfg.WorkLease / 4)
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
		sent := clock.SinceBoot()
		err := w.store.Heartbeat(ctx, env.ID, env.Work.Generation, w.clock.Now().Add(w.cfg.WorkLease))
		if errors.Is(err, store.ErrFenced) {
			j.cancel(errFencedOff)
			return
		}
		if err != nil {
			w.logger.Warn("heartbeat failed", "environment", env.Name, "error", err)
			continue
		}
		j.trust.Renew(sent)
		if env.Work.Action == fleet.Create {
			if row, err := w.store.Get(ctx, env.ID); err == nil && row.Work.Action != fleet.Create {
				j.cancel(errReleased)
			}
		}
	}
}

// finish writes the outcome of work with ctx's values but not its end, fenced by generation.
func (w *Worker) finish(ctx context.Context, env fleet.Environment, fn func(*fleet.Environment) (store.Writes, error)) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	record := func() error {
		_, err := w.journal.Change(ctx, env.ID, store.Expect{Generation: env.Work.Generation}, fn)
		return err
	}
	err := record()
	for fleet.CodeOf(err) == fleet.CodeUnavailable && bus.Wait(ctx, nil, finishRetry) == nil {
		err = record() // a full disk, say: the outcome is worth more than a repetition of the work
	}
	switch {
	case errors.Is(err, store.ErrFenced):
		w.logger.Warn("another worker took over; this one's outcome is dropped", "environment", env.Name, "action", env.Work.Action)
	case err != nil:
		// The row keeps its worker until the work lease ends; then it is taken up again.
		w.logger.Error("recording an outcome failed", "environment", env.Name, "action", env.Work.Action, "error", err)
	}
}

// finishRetry is the wait before an outcome that could not be recorded is written again.
const finishRetry = 500 * time.Millisecond

// maxTries is how many tries a create has against faults that may pass.
const maxTries = 3

// yield gives work back after a try that did not end it, to be tried again later.
func (w *Worker) yield(ctx context.Context, env fleet.Environment, cause error) {
	now := w.clock.Now()
	unavailable := provisioner.IsUnavailable(cause)
	wait := bus.Backoff(env.Work.Attempts)
	if unavailable {
		wait = w.tries.putOff(env)
		w.cfg.Ready(env.Host).Forget() // whether the host is away is found out, and noted, at once
		w.bus.Nudge(bus.Hold)
	}
	wait = w.bus.Apart(wait)
	w.finish(ctx, env, func(row *fleet.Environment) (store.Writes, error) {
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
			switch {
			case row.Work.Action == fleet.Destroy && row.Work.Deadline.IsZero():
				row.Work.Deadline = now.Add(driverAwayFor)
			case row.Work.Action == fleet.Create && !row.Work.Deadline.IsZero():
				row.Work.Deadline = now.Add(w.cfg.CreateDeadline)
			}
		} else {
			row.Work.Attempts++
		}
		if !changed {
			return store.Writes{}, nil
		}
		return store.Writes{Events: []fleet.Event{
			w.journal.Event(row, journal.Self, string(row.Work.Action)+".retry", "%s did not succeed and is tried again: %s", row.Work.Action, sentence),
		}}, nil
	})
	w.bus.Nudge(bus.Back)
	time.AfterFunc(wait, func() { w.bus.Nudge(bus.Work) })
}
