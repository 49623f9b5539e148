package hosts

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/guard"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/provisioner"
)

// A host's prober asks its engine every probeEvery, or downEvery while it is down, and gives it probeTime to answer: so one that
// takes calls and never answers is known within 8 s. Whether Terraform can be run is asked less often, as it writes a file.
const (
	probeEvery  = 5 * time.Second
	downEvery   = 2 * time.Second
	probeTime   = 3 * time.Second
	driverEvery = 15 * time.Second
	// lateTime is how long an answer is waited for that is late. Then it is asked anew.
	lateTime = 10 * time.Second
)

// hangs is why a host is down whose engine does not answer in time.
const hangs = "the host does not answer within 3s: its engine hangs, or the way to it is cut off"

// Readiness is whether environments can be made on a host, as its prober finds it. Whoever wants to know never waits for an engine.
type Readiness struct {
	guard  *guard.Guard
	bus    *bus.Bus
	logger *slog.Logger
	host   *target.Host
	// room says why nothing new may be made on this machine's disk.
	room func() error
	// wake asks the prober to look at once.
	wake chan struct{}

	// down says that the last answer was a bad one.
	down atomic.Bool
	// ups counts how often the host, or a blueprint on it, became ready again.
	ups atomic.Int64

	mu  sync.Mutex
	why string
	// known says that there was an answer, asking that one is awaited; noted is when the last finding came, since boot.
	known, asking bool
	noted         time.Duration
	// engine and driver are why the engine and Terraform cannot be used, "" when they can; asked is when Terraform was tried last, since
	// boot, and tried says that it was at all.
	engine, driver string
	asked          time.Duration
	tried          bool
}

// state is why nothing can be made there, "" when it can; false: that is not known yet.
func (r *Readiness) state() (why string, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.why, r.known
}

// found is what the prober found last of the engine and of Terraform, and its age. False: it has not found anything yet.
func (r *Readiness) found() (engine, driver string, tried bool, age time.Duration, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.engine, r.driver, r.tried, clock.SinceBoot() - r.noted, r.known
}

// Ups counts how often the host, or a blueprint on it, became ready again.
func (r *Readiness) Ups() int64 { return r.ups.Load() }

// LookIfDown makes the prober of a host that could not be used ask at once.
func (r *Readiness) LookIfDown() {
	if r.down.Load() {
		bus.Nudge(r.wake)
	}
}

// Forget makes the prober ask afresh at once.
func (r *Readiness) Forget() {
	r.mu.Lock()
	r.asked = 0
	r.mu.Unlock()
	bus.Nudge(r.wake)
}

// Probe asks every host on its own until ctx ends: one that hangs delays no other.
func (hs *Hosts) Probe(ctx context.Context) {
	var probers sync.WaitGroup
	defer probers.Wait()
	for name, r := range hs.ready {
		hs.cfg.Guard.KeepUp(ctx, &probers, "the prober of host "+name, func() {
			bus.Loop(ctx, r.wake, func() time.Duration {
				r.probe(ctx)
				if r.down.Load() {
					return r.bus.Apart(downEvery)
				}
				return probeEvery
			})
		})
	}
}

// FirstLook asks every host once, so that nothing is placed on one that is known not to work.
func (hs *Hosts) FirstLook(ctx context.Context) {
	var all sync.WaitGroup
	defer all.Wait()
	for name, r := range hs.ready {
		hs.cfg.Guard.Aside(&all, "the first probe of host "+name, func() { r.probe(ctx) })
	}
}

// probe asks the host, for as long as it may take. An answer that comes later is noted when it comes; until then nothing
// more is asked.
func (r *Readiness) probe(ctx context.Context) {
	r.mu.Lock()
	if r.asking {
		r.mu.Unlock()
		return
	}
	r.asking = true
	withDriver := r.asked == 0 || r.driver != "" || clock.SinceBoot()-r.asked >= driverEvery
	r.mu.Unlock()
	answered := make(chan struct{})
	r.guard.Background("a probe of host "+r.host.Name, func() {
		defer close(answered)
		r.ask(ctx, withDriver)
	})
	timer := time.NewTimer(probeTime)
	defer timer.Stop()
	select {
	case <-answered:
	case <-timer.C:
		r.note(hangs, false)
	}
}

// ask asks engine and driver, and notes what they answer. Whoever stops the daemon has not asked.
func (r *Readiness) ask(ctx context.Context, withDriver bool) {
	once, cancel := context.WithTimeout(ctx, lateTime)
	defer cancel()
	engine, driver := doctor.CutOff, doctor.CutOff // should it panic
	defer func() {
		if once.Err() != nil {
			engine, withDriver = hangs, false
		}
		r.mu.Lock()
		r.asking = false
		if ctx.Err() == nil {
			r.engine = engine
			if withDriver {
				r.driver, r.asked, r.tried = driver, clock.SinceBoot(), true
			}
		}
		why := cmp.Or(engine, r.driver)
		r.mu.Unlock()
		if ctx.Err() == nil {
			r.note(why, true)
		}
	}()
	engine = sentenceOf(r.host.Runtime.Ready(once))
	if withDriver && once.Err() == nil {
		driver = cmp.Or(sentenceOf(r.room()), sentenceOf(r.host.Driver.Ready(once)))
	}
}

// Room says why nothing new may be made on this machine's disk.
func (hs *Hosts) Room() error {
	if hs.cfg.Room == nil {
		return nil
	}
	return hs.cfg.Room()
}

// sentenceOf is an error's sentence, "" for none.
func sentenceOf(err error) string {
	if err == nil {
		return ""
	}
	return provisioner.Sentence(err)
}

// note keeps what was found, and tells those who wait for it. One that was found to hang is not noted over an answer that came
// at the same moment.
func (r *Readiness) note(why string, answered bool) {
	r.mu.Lock()
	if !answered && (!r.asking || r.why != "") { // it is down, for a reason that says more

		r.mu.Unlock()
		return
	}
	if !answered {
		r.engine = why
	}
	before, known := r.why, r.known
	r.why, r.known, r.noted = why, true, clock.SinceBoot()
	r.mu.Unlock()
	r.down.Store(why != "")
	switch {
	case before == "" && why != "":
		r.logger.Warn("environments cannot be made now; requests wait", "host", r.host.Name, "cause", why)
	case before != "" && why == "":
		r.logger.Info("environments can be made again", "host", r.host.Name)
		r.Back()
	}
	if !known || before != why {
		r.bus.Nudge(bus.Hold) // which writes it down
	}
}

// Back notes that environments may be made again: what waited for it is tried at once.
func (r *Readiness) Back() {
	r.ups.Add(1)
	r.bus.Nudge(bus.Prepare, bus.Back)
	r.bus.Nudge(bus.Hold) // which writes it down
}

// CheckHost tells what the host's prober found last of what it needs. usable says that Terraform can be run there, as far as is known.
func (hs *Hosts) CheckHost(h *target.Host) (checks []doctor.Check, usable bool) {
	engine, driver, tried, age, known := hs.ready[h.Name].found()
	provider := hostCheck(hs.CheckName(h.ProviderName(), h), "it answers", engine, known)
	terraform := hostCheck(hs.CheckName("terraform", h), "Terraform can be run", driver, known && tried)
	if known {
		provider.Age, terraform.Age = age, age
	}
	return []doctor.Check{provider, terraform}, driver == ""
}

func hostCheck(name, fine, why string, known bool) doctor.Check {
	c := doctor.Check{Name: name, Status: doctor.OK, Message: fine}
	switch {
	case !known:
		c.Status, c.Message, c.Hint = doctor.Down, "it has not been looked at yet", "the daemon looks at it within seconds of its start; ask again"
	case why != "":
		c.Status, c.Message, c.Hint = doctor.Down, why, "requests wait until this is mended; nothing is lost"
	}
	return c
}
