// Package prober looks at what doctor and readyz tell: whoever asks reads what it found last, and makes nobody do anything. A request
// costs as little whether it is one or a thousand. What is asked is other rooms'.
package prober

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/guard"
)

const (
	// checkEvery is the time between two rounds of looks while somebody asks, costlyEvery between two looks at what takes a
	// while to find out, and checkRest the least time between two rounds that a change asked for.
	checkEvery, costlyEvery, checkRest = 5 * time.Second, time.Minute, time.Second
	// unaskedFor is how long after the last question a daemon makes only every unaskedRounds-th round: looks cost most of what
	// an idle daemon does. The first question begins a round.
	unaskedFor, unaskedRounds = time.Minute, 6
	// Timeout bounds each look. A runtime says after 5 s itself what it is that does not answer.
	Timeout = 6 * time.Second
	// oldFinding is how much older than its turn a finding is not believed any more. It is more than the rest between two
	// rounds while nobody asks.
	oldFinding = time.Minute
)

// Question is something to look at, and what it is called while nothing is known of it.
type Question struct {
	Name string
	// Every is the time between two looks; 0 for what is in memory, which is read whenever it is asked for.
	Every time.Duration
	Ask   func(context.Context) []doctor.Check
}

// finding is what was found of one of them last, and when the look for it began, since boot; 0: never.
type finding struct {
	checks []doctor.Check
	at     time.Duration
	// began is when the look under way began; 0: there is none.
	began time.Duration
}

// findings are what the prober found, in the order of the questions.
type findings struct {
	mu  sync.Mutex
	all []finding
	// asked is when somebody last asked, round when the last round began, both since boot.
	asked, round time.Duration
}

// question notes that somebody asks, and reports whether a round is due for that.
func (f *findings) question(now, every time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = now
	return now-f.round >= every
}

// next notes that a round begins, and gives the time to the next one.
func (f *findings) next(now, every time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.round = now
	if now-f.asked >= unaskedFor {
		return unaskedRounds * every
	}
	return every
}

// begin begins a look, unless one is under way or it is not its turn.
func (f *findings) begin(i int, a Question, now time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := &f.all[i]
	if a.Every == 0 || known.began != 0 || a.Every > checkEvery && known.at != 0 && now-known.at < a.Every {
		return false
	}
	known.began = now
	return true
}

// end keeps what a look found.
func (f *findings) end(i int, checks []doctor.Check) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[i] = finding{checks: checks, at: f.all[i].began}
}

// told gives what is known of one of them at a moment.
func (f *findings) told(i int, a Question, now time.Duration) []doctor.Check {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.all[i]
	switch {
	case known.began != 0 && now-known.began > Timeout+time.Second:
		return []doctor.Check{{
			Name: a.Name, Status: doctor.Down, Age: now - known.began,
			Message: "it could not be looked at within " + Timeout.String(), Hint: "look at bothyd's log",
		}}
	case known.at == 0:
		return []doctor.Check{{
			Name: a.Name, Status: doctor.Down, Message: "it has not been looked at yet",
			Hint: "the daemon looks at it within seconds of its start; ask again",
		}}
	}
	checks := slices.Clone(known.checks)
	for i := range checks {
		if checks[i].Age += now - known.at; checks[i].Age > a.Every+oldFinding {
			checks[i].Status, checks[i].Hint = doctor.Down, "the daemon's prober does not get on: look at bothyd's log"
			checks[i].Message = fmt.Sprintf("nothing newer is known than of %s ago: %s", checks[i].Age.Round(time.Second), checks[i].Message)
		}
	}
	return checks
}

// Prober looks at everything now and then.
type Prober struct {
	bus      *bus.Bus
	guard    *guard.Guard
	every    time.Duration
	asked    []Question
	findings findings
}

// New makes a prober. every is the time between two rounds.
func New(b *bus.Bus, g *guard.Guard, every time.Duration, asked []Question) *Prober {
	return &Prober{bus: b, guard: g, every: cmp.Or(every, checkEvery), asked: asked, findings: findings{all: make([]finding, len(asked))}}
}

// Asked gives what is looked at.
func (p *Prober) Asked() []Question { return p.asked }

// All asks several questions of one name, which of makes: Each, Costly or Known.
func All(name string, of func(string, func(context.Context) doctor.Check) Question, asked []func(context.Context) doctor.Check) []Question {
	all := make([]Question, 0, len(asked))
	for _, ask := range asked {
		all = append(all, of(name, ask))
	}
	return all
}

// Each is what is looked at in each round.
func Each(name string, ask func(context.Context) doctor.Check) Question {
	return Question{name, checkEvery, func(ctx context.Context) []doctor.Check { return []doctor.Check{ask(ctx)} }}
}

// Costly is what takes a while to find out.
func Costly(name string, ask func(context.Context) doctor.Check) Question {
	a := Each(name, ask)
	a.Every = costlyEvery
	return a
}

// Known is what is in memory.
func Known(name string, ask func(context.Context) doctor.Check) Question {
	a := Each(name, ask)
	a.Every = 0
	return a
}

// Checks gives what is known of everything that the daemon needs to make environments: what its prober found last, with its age. It
// asks neither an engine nor the database; all that it does is to keep the prober at its usual pace.
func (p *Prober) Checks(ctx context.Context) []doctor.Check {
	if p.findings.question(clock.SinceBoot(), p.every) {
		p.bus.Nudge(bus.Check)
	}
	var all []doctor.Check
	for i, a := range p.asked {
		if a.Every == 0 {
			all = append(all, a.Ask(ctx)...)
			continue
		}
		all = append(all, p.findings.told(i, a, clock.SinceBoot())...)
	}
	return all
}

// Run looks at everything now and then, and soon after something has changed. What hangs is not looked at again before it
// answers, and delays nothing.
func (p *Prober) Run(ctx context.Context) {
	var round time.Duration
	bus.Loop(ctx, p.bus.On(bus.Check), func() time.Duration {
		if rest := min(checkRest, p.every) - (clock.SinceBoot() - round); round != 0 && rest > 0 && bus.Wait(ctx, nil, rest) != nil {
			return checkEvery
		}
		round = clock.SinceBoot()
		wait := p.findings.next(round, p.every)
		for i, a := range p.asked {
			if p.findings.begin(i, a, round) {
				p.guard.Background("the check of "+a.Name, func() { p.lookAtOne(ctx, i, a) })
			}
		}
		return wait
	})
}

func (p *Prober) lookAtOne(ctx context.Context, i int, a Question) {
	once, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	found := []doctor.Check{{Name: a.Name, Status: doctor.Down, Message: doctor.CutOff, Hint: "report it with the stack from bothyd's log"}} // should it panic
	defer func() {
		if ctx.Err() == nil { // a daemon that stops finds nothing
			p.findings.end(i, found)
		}
	}()
	found = a.Ask(once)
}
