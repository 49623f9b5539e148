package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/bus"
	"github.com/bothy-env/bothy/internal/engine/doctor"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// preparations are how getting each blueprint ready on each host went last.
type preparations struct {
	mu sync.Mutex
	of map[preparedAt]preparation
}

type preparedAt struct{ host, digest string }

type preparation struct {
	host *target.Host
	bp   provisioner.Blueprint
	// err is nil for one that is ready.
	err error
	// failed counts the tries in a row that failed; the last ended at tried, the next is due at next.
	failed      int
	tried, next time.Time
	// took is how long that try took.
	took time.Duration
	// ups is how often the host had come back when the last try began.
	ups int64
}

// note records a try, and gives the one before.
func (p *preparations) note(now preparation, awaited bool) (before preparation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[preparedAt]preparation{}
	}
	at := preparedAt{now.host.Name, now.bp.Digest}
	before = p.of[at]
	if now.err != nil {
		now.failed = before.failed + 1
		now.next = now.tried.Add(untilPrepared(now, awaited))
	}
	p.of[at] = now
	return before
}

// Bounds of getting ready what nobody has asked for. A try takes a second of the machine usually, and up to
// Config.PrepareTimeout of one of its cores when the blueprint's author wants it to.
const (
	// preparedAtOnce is how many tries run side by side on a host, so that one that takes its time delays no other.
	preparedAtOnce = 2
	// longestFaultRetry bounds the wait before a blueprint is tried again that is itself at fault.
	longestFaultRetry = 10 * time.Minute
	// idleShare is how many times as long as a try took the next one is away at least: tries take 5 % of a core at most.
	idleShare = 20
	// mostIdleTries is how often in a row a blueprint at fault is tried. Then it is tried when it is asked for.
	mostIdleTries = 8
)

// untilPrepared gives the wait before the next try. awaited says that a request waits for it.
func untilPrepared(p preparation, awaited bool) time.Duration {
	longest := longestFaultRetry
	if provisioner.IsUnavailable(p.err) {
		longest = longestAwayRetry
	}
	wait := bus.Doubled(awayRetry, p.failed-1, longest)
	if !awaited {
		wait = max(wait, idleShare*p.took)
	}
	return wait
}

// givenUp reports whether a blueprint is left alone until it is asked for.
func (p preparation) givenUp() bool {
	return p.failed >= mostIdleTries && !provisioner.IsUnavailable(p.err)
}

func (p *preparations) at(host, digest string) preparation {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of[preparedAt{host, digest}]
}

// hurry makes a blueprint's next try due as soon as the last one is not a moment old any more.
func (p *preparations) hurry(at preparedAt) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known := p.of[at]
	if soon := known.tried.Add(awayRetry); known.err != nil && soon.Before(known.next) {
		known.next = soon
		p.of[at] = known
	}
}

func (p *preparations) forget(host, digest string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.of, preparedAt{host, digest})
}

// failed lists the blueprints that are not ready.
func (p *preparations) failed() []preparation {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []preparation
	for _, known := range p.of {
		if known.err != nil {
			all = append(all, known)
		}
	}
	slices.SortFunc(all, func(a, b preparation) int {
		return cmp.Or(cmp.Compare(a.host.Name, b.host.Name), cmp.Compare(a.bp.Name, b.bp.Name), cmp.Compare(a.bp.Version, b.bp.Version))
	})
	return all
}

// run gets the blueprints ready before anybody asks, so that the first request is as quick as the next, and
// tries those again that are not, until ctx ends.
func (pr preparer) run(ctx context.Context) {
	a := &ahead{pr: pr, slots: map[string]chan struct{}{}, running: map[preparedAt]bool{}}
	defer a.tries.Wait()
	for _, h := range pr.hosts.All() {
		a.slots[h.Name] = make(chan struct{}, preparedAtOnce)
		for _, bp := range pr.blueprints.List() {
			a.start(ctx, h, pr.driverBlueprint(bp.Ref, bp.Dir))
		}
	}
	bus.Loop(ctx, pr.bus.On(bus.Prepare), func() time.Duration {
		wait := time.Hour // whatever fails wakes this
		for _, p := range pr.preparations.failed() {
			awaited := pr.awaited(p.host.Name, p.bp.Digest)
			switch {
			case !awaited && !pr.onOffer(p.bp.Digest):
				pr.preparations.forget(p.host.Name, p.bp.Digest)
			case !awaited && p.givenUp():
			case pr.cfg.Ready(p.host.Name).Ups() != p.ups || !pr.clock.Now().Before(p.next):
				a.start(ctx, p.host, p.bp)
			default:
				wait = min(wait, pr.cfg.Tick, max(p.next.Sub(pr.clock.Now()), 0))
			}
		}
		return max(wait, leastPrepareRest)
	})
}

// ahead runs the tries of preparer.run.
type ahead struct {
	pr    preparer
	slots map[string]chan struct{} // by host: one that hangs delays no other
	tries sync.WaitGroup

	mu      sync.Mutex
	running map[preparedAt]bool // or waiting for a slot
}

// start has a blueprint tried, unless that is under way.
func (a *ahead) start(ctx context.Context, h *target.Host, bp provisioner.Blueprint) {
	at := preparedAt{h.Name, bp.Digest}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running[at] {
		return
	}
	a.running[at] = true
	a.pr.guard.Aside(&a.tries, "getting a blueprint ready", func() {
		select {
		case <-ctx.Done():
			return
		case a.slots[h.Name] <- struct{}{}:
		}
		defer func() {
			<-a.slots[h.Name]
			a.mu.Lock()
			delete(a.running, at)
			a.mu.Unlock()
			a.pr.bus.Nudge(bus.Prepare)
		}()
		ups := a.pr.cfg.Ready(h.Name).Ups()
		fault := a.pr.guard.Do("getting blueprint "+bp.Name+"@"+bp.Version+" ready", func() { a.pr.tryAhead(ctx, h, bp) })
		if fault != nil {
			a.pr.prepared(preparation{
				host: h, bp: bp, tried: a.pr.clock.Now(), ups: ups,
				err: provisioner.Errorf(provisioner.Permanent, "prepare blueprint", "%w", fault),
			})
		}
	})
}

// tryAhead is one try, which may take only so long: what it makes ready nobody has asked for yet.
func (pr preparer) tryAhead(ctx context.Context, h *target.Host, bp provisioner.Blueprint) {
	tryCtx, cancel := context.WithTimeout(ctx, pr.cfg.PrepareTimeout)
	defer cancel()
	began, ups := pr.clock.Now(), pr.cfg.Ready(h.Name).Ups()
	err := pr.tryPrepare(tryCtx, h, bp)
	if err != nil && tryCtx.Err() != nil && ctx.Err() == nil {
		pr.prepared(preparation{
			host: h, bp: bp, tried: pr.clock.Now(), took: max(pr.clock.Now().Sub(began), pr.cfg.PrepareTimeout), ups: ups,
			err: provisioner.Errorf(provisioner.Permanent, "prepare blueprint", "Terraform was not done with it within %s", pr.cfg.PrepareTimeout),
		})
	}
}

// leastPrepareRest keeps a clock that does not move from making a busy loop.
const leastPrepareRest = 10 * time.Millisecond

// onOffer reports whether a blueprint is offered.
func (pr preparer) onOffer(digest string) bool {
	return slices.ContainsFunc(pr.blueprints.List(), func(bp fleet.Blueprint) bool { return bp.Ref.Digest == digest })
}

// awaited reports whether a request waits for a blueprint on a host.
func (pr preparer) awaited(host, digest string) bool {
	return slices.ContainsFunc(pr.tries.waiting(), func(t try) bool {
		return t.env.Host == host && t.env.Blueprint.Digest == digest
	})
}

// prepare gets a blueprint ready for an environment. While what that needs is away only run tries, and each
// environment gets what it found: a registry that does not answer would else keep them waiting in turn, each until
// its time is over. urgent is for one that asks for the first time.
func (pr preparer) prepare(ctx context.Context, h *target.Host, bp provisioner.Blueprint, urgent bool) error {
	p := pr.preparations.at(h.Name, bp.Digest)
	if !provisioner.IsUnavailable(p.err) || p.ups != pr.cfg.Ready(h.Name).Ups() {
		return pr.tryPrepare(ctx, h, bp)
	}
	if urgent {
		pr.preparations.hurry(preparedAt{h.Name, bp.Digest})
		pr.bus.Nudge(bus.Prepare)
	}
	return p.err
}

// tryPrepare gets a blueprint ready on a host and notes how that went.
func (pr preparer) tryPrepare(ctx context.Context, h *target.Host, bp provisioner.Blueprint) error {
	began, ups := pr.clock.Now(), pr.cfg.Ready(h.Name).Ups()
	err := h.Driver.Prepare(ctx, bp)
	if err != nil && (ctx.Err() != nil || provisioner.Is(err, provisioner.Cancelled)) {
		return err
	}
	now := pr.clock.Now()
	pr.prepared(preparation{host: h, bp: bp, err: err, tried: now, took: now.Sub(began), ups: ups})
	return err
}

// prepared notes how a try went, and tells of what is new in it.
func (pr preparer) prepared(now preparation) {
	before := pr.preparations.note(now, pr.awaited(now.host.Name, now.bp.Digest))
	name := now.bp.Name + "@" + now.bp.Version
	switch {
	case now.err == nil && before.err != nil:
		pr.logger.Info("a blueprint is ready now", "blueprint", name, "host", now.host.Name, "tries", before.failed+1)
		pr.cfg.Ready(now.host.Name).Back()
	case now.err != nil && (before.err == nil || !sameCause(before.err.Error(), now.err.Error())):
		pr.logger.Warn("a blueprint is not ready; it is tried again", "blueprint", name, "host", now.host.Name, "error", now.err)
		pr.bus.Nudge(bus.Prepare)
	}
}

// check tells of the blueprints that nothing can be made from on a host.
func (pr preparer) check(h *target.Host) doctor.Check {
	c := doctor.Check{Name: pr.hosts.CheckName("blueprints", h), Status: doctor.OK, Message: "all blueprints are ready"}
	for _, bp := range pr.blueprints.List() {
		if pr.preparations.at(h.Name, bp.Ref.Digest).host == nil {
			c.Message = "the blueprints are being made ready"
		}
	}
	failed := slices.DeleteFunc(pr.preparations.failed(), func(p preparation) bool { return p.host != h })
	if len(failed) == 0 {
		return c
	}
	// One that waits comes before one that is itself at fault: it is what keeps requests waiting.
	i := max(0, slices.IndexFunc(failed, func(p preparation) bool { return provisioner.IsUnavailable(p.err) }))
	p := failed[i]
	c.Message = fmt.Sprintf("blueprint %s@%s is not ready on host %s, after %s: %s",
		p.bp.Name, p.bp.Version, h.Name, times(p.failed), provisioner.Sentence(p.err))
	if more := len(failed) - 1; more > 0 {
		c.Message += fmt.Sprintf(" (and %d more blueprints)", more)
	}
	if c.Status = doctor.Warning; provisioner.IsUnavailable(p.err) {
		c.Status = doctor.Down
		c.Hint = "requests for it wait, and it is tried again by itself"
		return c
	}
	c.Hint = "requests for it fail until the blueprint, or what it needs, is mended; it is tried again by itself"
	if p.givenUp() {
		c.Hint = "requests for it fail until the blueprint, or what it needs, is mended; it is tried again when it is asked for"
	}
	return c
}

func times(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}
