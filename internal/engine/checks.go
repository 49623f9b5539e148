package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// A prober looks at what doctor and readyz tell: whoever asks reads what it found last, and makes nobody do anything. A request costs
// as little whether it is one or a thousand.
const (
	// checkEvery is the time between two rounds of looks, costlyEvery between two looks at what takes a while to find out, and
	// checkRest the least time between two rounds that something asked for.
	checkEvery, costlyEvery, checkRest = 5 * time.Second, time.Minute, time.Second
	// checkTimeout bounds each look. A runtime says after 5 s itself what it is that does not answer.
	checkTimeout = 6 * time.Second
	// oldFinding is how much older than its turn a finding is not believed any more.
	oldFinding = 30 * time.Second
)

// Check is one finding about what the daemon needs.
type Check struct {
	// Name is a short word: "store", "terraform", or the kind of a provider.
	Name string
	// Status is "ok", "warning" or "failed"; one failed means not ready.
	Status string
	// Message is one sentence, Hint the next thing to do.
	Message, Hint string
	// Age is how long ago it was found.
	Age time.Duration
}

// Statuses of a check.
const (
	OK      = "ok"
	Warning = "warning"
	Down    = "failed"
)

// asked is something to look at, and what it is called while nothing is known of it.
type asked struct {
	name string
	// every is the time between two looks; 0 for what is in memory, which is read whenever it is asked for.
	every time.Duration
	ask   func(context.Context) []Check
}

// finding is what was found of one of them last, and when the look for it began, since boot; 0: never.
type finding struct {
	checks []Check
	at     time.Duration
	// began is when the look under way began; 0: there is none.
	began time.Duration
}

// findings are what the prober found, in the order of Engine.asked.
type findings struct {
	mu  sync.Mutex
	all []finding
}

// begin begins a look, unless one is under way or it is not its turn.
func (f *findings) begin(i int, a asked, now time.Duration) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := &f.all[i]
	if a.every == 0 || known.began != 0 || a.every > checkEvery && known.at != 0 && now-known.at < a.every {
		return false
	}
	known.began = now
	return true
}

// end keeps what a look found.
func (f *findings) end(i int, checks []Check) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[i] = finding{checks: checks, at: f.all[i].began}
}

// told gives what is known of one of them at a moment.
func (f *findings) told(i int, a asked, now time.Duration) []Check {
	f.mu.Lock()
	defer f.mu.Unlock()
	known := f.all[i]
	switch {
	case known.began != 0 && now-known.began > checkTimeout+time.Second:
		return []Check{{
			Name: a.name, Status: Down, Age: now - known.began,
			Message: "it could not be looked at within " + checkTimeout.String(), Hint: "look at bothyd's log",
		}}
	case known.at == 0:
		return []Check{{
			Name: a.name, Status: Down, Message: "it has not been looked at yet",
			Hint: "the daemon looks at it within seconds of its start; ask again",
		}}
	}
	checks := slices.Clone(known.checks)
	for i := range checks {
		if checks[i].Age += now - known.at; checks[i].Age > a.every+oldFinding {
			checks[i].Status, checks[i].Hint = Down, "the daemon's prober does not get on: look at bothyd's log"
			checks[i].Message = fmt.Sprintf("nothing newer is known than of %s ago: %s", checks[i].Age.Round(time.Second), checks[i].Message)
		}
	}
	return checks
}

// allAsked is everything that the daemon needs to make environments.
func (e *Engine) allAsked() []asked {
	all := []asked{one("store", e.checkStore)}
	for _, h := range e.hosts.all() {
		all = append(all, asked{e.hosts.checkName(h.providerName(), h), 0, func(context.Context) []Check { return e.checkHost(h) }})
	}
	all = append(all,
		one("leader", e.checkLeader), one("identity", e.checkTwin), one("hosts", e.checkHosts), known("clock", e.checkClock),
		one("brake", e.checkBrake), one("removing", e.checkRemoving), one("pools", e.checkPools), one("safe-mode", e.checkSafeMode),
		known("labels", func(context.Context) Check { return e.checkForged() }), known("blueprints", e.held.check),
		known("sandboxes", func(context.Context) Check { return e.checkSandboxes() }), known("faults", e.checkFaults))
	for _, extra := range e.cfg.ExtraChecks {
		all = append(all, one("machine", extra))
	}
	for _, costly := range e.cfg.CostlyChecks {
		a := one("machine", costly)
		a.every = costlyEvery
		all = append(all, a)
	}
	return all
}

// one is what is looked at in each round.
func one(name string, ask func(context.Context) Check) asked {
	return asked{name, checkEvery, func(ctx context.Context) []Check { return []Check{ask(ctx)} }}
}

// known is what is in memory.
func known(name string, ask func(context.Context) Check) asked {
	a := one(name, ask)
	a.every = 0
	return a
}

// Checks gives what is known of everything that the daemon needs to make environments: what its prober found last, with its age. It
// asks neither an engine nor the database, and has no effect.
func (e *Engine) Checks(ctx context.Context) []Check {
	var all []Check
	for i, a := range e.asked {
		if a.every == 0 {
			all = append(all, a.ask(ctx)...)
			continue
		}
		all = append(all, e.findings.told(i, a, sinceBoot())...)
	}
	return all
}

// checkLoop looks at everything now and then, and soon after something has changed. What hangs is not looked at again before it
// answers, and delays nothing.
func (e *Engine) checkLoop(ctx context.Context) {
	var round time.Duration
	loop(ctx, e.checkNudge, func() time.Duration {
		if rest := min(checkRest, e.cfg.CheckEvery) - (sinceBoot() - round); round != 0 && rest > 0 && waitFor(ctx, nil, rest) != nil {
			return checkEvery
		}
		round = sinceBoot()
		for i, a := range e.asked {
			if e.findings.begin(i, a, round) {
				e.aside(&e.background, "the check of "+a.name, func() { e.lookAtOne(ctx, i, a) })
			}
		}
		return e.cfg.CheckEvery
	})
}

func (e *Engine) lookAtOne(ctx context.Context, i int, a asked) {
	once, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	found := []Check{{Name: a.name, Status: Down, Message: cutOff, Hint: "report it with the stack from bothyd's log"}} // should it panic
	defer func() {
		if ctx.Err() == nil { // a daemon that stops finds nothing
			e.findings.end(i, found)
		}
	}()
	found = a.ask(once)
}

// checkHost tells what the host's prober found last of what it needs.
func (e *Engine) checkHost(h *Host) []Check {
	engine, driver, tried, age, known := e.hosts.ready[h.Name].found()
	provider := hostCheck(e.hosts.checkName(h.providerName(), h), "it answers", engine, known)
	terraform := hostCheck(e.hosts.checkName("terraform", h), "Terraform can be run", driver, known && tried)
	if known {
		provider.Age, terraform.Age = age, age
	}
	checks := []Check{provider, terraform}
	if driver == "" { // else its cause is the blueprints' too
		checks = append(checks, e.checkBlueprints(h))
	}
	return checks
}

// providerName is what a finding about a host's provider is called.
func (h *Host) providerName() string { return cmp.Or(h.Kind, "provider") }

func hostCheck(name, fine, why string, known bool) Check {
	c := Check{Name: name, Status: OK, Message: fine}
	switch {
	case !known:
		c.Status, c.Message, c.Hint = Down, "it has not been looked at yet", "the daemon looks at it within seconds of its start; ask again"
	case why != "":
		c.Status, c.Message, c.Hint = Down, why, "requests wait until this is mended; nothing is lost"
	}
	return c
}

func (e *Engine) check(ctx context.Context, name, fine string, ask func(context.Context) error) Check {
	if err := ask(ctx); err != nil {
		c := Check{Name: name, Status: Down, Message: provisioner.Sentence(err), Hint: "requests wait until this is mended; nothing is lost"}
		if own, ok := errors.AsType[*fleet.Error](err); ok && own.Hint != "" {
			c.Hint = own.Hint
		}
		return c
	}
	return Check{Name: name, Status: OK, Message: fine}
}
