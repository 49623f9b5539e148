// Package guard begins every goroutine of the daemon's rooms, so that a panic ends what it was about and never the daemon: its stack is
// logged, it is counted for doctor, its own defers release what it held, and a loop begins anew after a rest. What is done in
// those goroutines is nothing to it.
package guard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/doctor"
)

// Guard begins goroutines and keeps the panics of this process.
type Guard struct {
	logger *slog.Logger
	// mostRest bounds the wait before a loop that panicked begins anew.
	mostRest time.Duration
	// background is what is done beside whoever asked for it.
	background sync.WaitGroup

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

// New makes a guard. mostRest bounds the wait before a loop that panicked begins anew.
func New(logger *slog.Logger, mostRest time.Duration) *Guard {
	return &Guard{logger: logger, mostRest: mostRest}
}

// errFault says that something panicked.
var errFault = errors.New("a fault inside bothy")

// Do does f. A panic in it is logged and counted, and given as an error that wraps errFault.
func (g *Guard) Do(what string, f func()) (err error) {
	defer func() {
		if p := recover(); p != nil {
			g.noteFault(what)
			g.logger.Error("a fault inside bothy", "in", what, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errFault, p)
		}
	}()
	f()
	return nil
}

func (g *Guard) noteFault(what string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count++
	g.last, g.at = what, clock.SinceBoot()
}

// Aside does f in a goroutine of its own, which all waits for.
func (g *Guard) Aside(all *sync.WaitGroup, what string, f func()) {
	all.Go(func() { _ = g.Do(what, f) }) // it has told, and nobody waits for more
}

// Background does f in a goroutine of its own, which EndsSoon waits for.
func (g *Guard) Background(what string, f func()) { g.Aside(&g.background, what, f) }

// KeepUp does f in a goroutine of its own, which all waits for. Should f panic, it is done again after a rest, until ctx ends.
func (g *Guard) KeepUp(ctx context.Context, all *sync.WaitGroup, what string, f func()) {
	all.Go(func() {
		for again := 0; ; again++ {
			began := clock.SinceBoot()
			if g.Do(what, f) == nil {
				return
			}
			if clock.SinceBoot()-began > longestFaultRest {
				again = 0
			}
			if bus.Wait(ctx, nil, min(bus.Doubled(faultRest, again, longestFaultRest), g.mostRest)) != nil {
				return
			}
		}
	})
}

// SideBySide does each for all of them, at most so many at once, and gives what failed. What panics fails alone.
func SideBySide[T any](g *Guard, what string, all []T, atOnce int, each func(T) error) error {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	slots := make(chan struct{}, atOnce)
	for _, one := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			var err error
			if fault := g.Do(what, func() { err = each(one) }); fault != nil {
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

// EndsSoon waits for what is done in the background and may be kept by an engine that does not answer, at most for endsWithin.
func (g *Guard) EndsSoon() {
	timer := time.NewTimer(endsWithin)
	defer timer.Stop()
	select {
	case <-WhenDone(&g.background):
	case <-timer.C:
		g.logger.Warn("an engine host does not answer, and is not waited for")
	}
}

// WhenDone is closed once all are done.
func WhenDone(all *sync.WaitGroup) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		all.Wait()
		close(done)
	}()
	return done
}

// Check tells of panics.
func (g *Guard) Check(context.Context) doctor.Check {
	g.mu.Lock()
	defer g.mu.Unlock()
	ago := clock.SinceBoot() - g.at
	switch {
	case g.count == 0:
		return doctor.Check{Name: "faults", Status: doctor.OK, Message: "no part of this daemon has panicked since it started"}
	case ago > faultsFor:
		return doctor.Check{Name: "faults", Status: doctor.OK, Message: fmt.Sprintf("panics since the daemon started: %d, none in the last %s", g.count, faultsFor)}
	}
	return doctor.Check{
		Name: "faults", Status: doctor.Warning,
		Message: fmt.Sprintf("panics since the daemon started: %d; the latest was in %s, %s ago, and that part was started again", g.count, g.last, ago.Round(time.Second)),
		Hint:    "report it with the stack from bothyd's log",
	}
}
