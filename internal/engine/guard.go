package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// Every goroutine of the engine is begun in this file, so that a panic ends what it was about and never the daemon: its stack is
// logged, it is counted for doctor, what it held is given back by its own defers, and a loop begins anew after a rest.

// faults are the panics of this process.
type faults struct {
	mu    sync.Mutex
	count int
	// last is where the latest one was, at when, since boot.
	last string
	at   time.Duration
}

const (
	// faultsFor is how long a panic is worth a warning.
	faultsFor = time.Hour
	// faultRest is the first and longestFaultRest the longest wait before a loop that panicked begins anew. One that ran for
	// longer than the longest begins with the first again.
	faultRest, longestFaultRest = time.Second, 30 * time.Second
	// endsWithin bounds the wait, at the end of the engine, for what only reads and may be kept by an engine host.
	endsWithin = 5 * time.Second
)

// errFault says that something panicked.
var errFault = errors.New("a fault inside bothy")

// guard does f. A panic in it is logged and counted, and given as an error that wraps errFault.
func (e *Engine) guard(what string, f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e.noteFault(what)
			e.logger.Error("a fault inside bothy", "in", what, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errFault, p)
		}
	}()
	f()
	return nil
}

func (e *Engine) noteFault(what string) {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	e.faults.count++
	e.faults.last, e.faults.at = what, sinceBoot()
}

// aside does f in a goroutine of its own, which all waits for.
func (e *Engine) aside(all *sync.WaitGroup, what string, f func()) {
	all.Go(func() { _ = e.guard(what, f) }) // it has told, and nobody waits for more
}

// keepUp does f in a goroutine of its own, which all waits for. Should f panic, it is done again after a rest, until ctx ends.
func (e *Engine) keepUp(ctx context.Context, all *sync.WaitGroup, what string, f func()) {
	all.Go(func() {
		for again := 0; ; again++ {
			began := sinceBoot()
			if e.guard(what, f) == nil {
				return
			}
			if sinceBoot()-began > longestFaultRest {
				again = 0
			}
			if waitFor(ctx, nil, min(doubled(faultRest, again, longestFaultRest), e.cfg.Tick)) != nil {
				return
			}
		}
	})
}

// sideBySide does each for all of them, at most so many at once, and gives what failed. What panics fails alone.
func sideBySide[T any](e *Engine, what string, all []T, atOnce int, each func(T) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	slots := make(chan struct{}, atOnce)
	for _, one := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var err error
			if fault := e.guard(what, func() { err = each(one) }); fault != nil {
				err = fault
			}
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// endsSoon waits for what may be kept by an engine that does not answer, at most for endsWithin.
func (e *Engine) endsSoon(all *sync.WaitGroup) {
	timer := time.NewTimer(endsWithin)
	defer timer.Stop()
	select {
	case <-whenDone(all):
	case <-timer.C:
		e.logger.Warn("an engine host does not answer, and is not waited for")
	}
}

// whenDone is closed once all are done.
func whenDone(all *sync.WaitGroup) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	return done
}

// checkFaults tells of panics.
func (e *Engine) checkFaults(context.Context) Check {
	e.faults.mu.Lock()
	defer e.faults.mu.Unlock()
	f := &e.faults
	ago := sinceBoot() - f.at
	switch {
	case f.count == 0:
		return Check{Name: "faults", Status: OK, Message: "no part of this daemon has panicked since it started"}
	case ago > faultsFor:
		return Check{Name: "faults", Status: OK, Message: fmt.Sprintf("panics since the daemon started: %d, none in the last %s", f.count, faultsFor)}
	}
	return Check{
		Name: "faults", Status: Warning,
		Message: fmt.Sprintf("panics since the daemon started: %d; the latest was in %s, %s ago, and that part was started again", f.count, f.last, ago.Round(time.Second)),
		Hint:    "report it with the stack from bothyd's log",
	}
}
