package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

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
	host *Host
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

// Bounds of getting ready what nobody has asked for. A try takes a second of the machine as a rule, and up to
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
	wait := doubled(awayRetry, p.failed-1, longest)
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

// prepareAhead gets the blueprints ready before anybody asks, so that the first request is as quick as the next, and
// tries those again that are not, until ctx ends.
func (e *Engine) prepareAhead(ctx context.Context) {
	a := &ahead{e: e, slots: map[string]chan struct{}{}, running: map[preparedAt]bool{}}
	defer a.tries.Wait()
	for _, h := range e.hosts.all() {
		a.slots[h.Name] = make(chan struct{}, preparedAtOnce)
		for _, bp := range e.blueprints.List() {
			a.start(ctx, h, e.driverBlueprint(bp.Ref, bp.Dir))
		}
	}
	loop(ctx, e.prepareNudge, func() time.Duration {
		wait := time.Hour // whatever fails wakes this
		for _, p := range e.preparations.failed() {
			awaited := e.awaited(p.host.Name, p.bp.Digest)
			switch {
			case !awaited && !e.onOffer(p.bp.Digest):
				e.preparations.forget(p.host.Name, p.bp.Digest)
			case !awaited && p.givenUp():
			case e.hosts.ready[p.host.Name].ups.Load() != p.ups || !e.Now().Before(p.next):
				a.start(ctx, p.host, p.bp)
			default:
				wait = min(wait, e.cfg.Tick, max(p.next.Sub(e.Now()), 0))
			}
		}
		return max(wait, leastPrepareRest)
	})
}

// ahead runs the tries of prepareAhead.
type ahead struct {
	e     *Engine
	slots map[string]chan struct{} // by host: one that hangs delays no other
	tries sync.WaitGroup

	mu      sync.Mutex
	running map[preparedAt]bool // or waiting for a slot
}

// start has a blueprint tried, unless that is under way.
func (a *ahead) start(ctx context.Context, h *Host, bp provisioner.Blueprint) {
	at := preparedAt{h.Name, bp.Digest}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.running[at] {
		return
	}
	a.running[at] = true
	a.e.aside(&a.tries, "getting a blueprint ready", func() {
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
			nudge(a.e.prepareNudge)
		}()
		ups := a.e.hosts.ready[h.Name].ups.Load()
		fault := a.e.guard("getting blueprint "+bp.Name+"@"+bp.Version+" ready", func() { a.e.tryAhead(ctx, h, bp) })
		if fault != nil {
			a.e.prepared(preparation{
				host: h, bp: bp, tried: a.e.Now(), ups: ups,
				err: provisioner.Errorf(provisioner.Permanent, "prepare blueprint", "%w", fault),
			})
		}
	})
}

// tryAhead is one try, which may take only so long: what it makes ready nobody has asked for yet.
func (e *Engine) tryAhead(ctx context.Context, h *Host, bp provisioner.Blueprint) {
	tryCtx, cancel := context.WithTimeout(ctx, e.cfg.PrepareTimeout)
	defer cancel()
	began, ups := e.Now(), e.hosts.ready[h.Name].ups.Load()
	err := e.tryPrepare(tryCtx, h, bp)
	if err != nil && tryCtx.Err() != nil && ctx.Err() == nil {
		e.prepared(preparation{
			host: h, bp: bp, tried: e.Now(), took: max(e.Now().Sub(began), e.cfg.PrepareTimeout), ups: ups,
			err: provisioner.Errorf(provisioner.Permanent, "prepare blueprint", "Terraform was not done with it within %s", e.cfg.PrepareTimeout),
		})
	}
}

// leastPrepareRest keeps a clock that does not move from making a busy loop.
const leastPrepareRest = 10 * time.Millisecond

// onOffer reports whether a blueprint is offered.
func (e *Engine) onOffer(digest string) bool {
	return slices.ContainsFunc(e.blueprints.List(), func(bp fleet.Blueprint) bool { return bp.Ref.Digest == digest })
}

// awaited reports whether a request waits for a blueprint on a host.
func (e *Engine) awaited(host, digest string) bool {
	return slices.ContainsFunc(e.tries.waiting(), func(t try) bool {
		return t.env.Host == host && t.env.Blueprint.Digest == digest
	})
}

// prepare gets a blueprint ready for an environment. While what that needs is away only prepareAhead tries, and each
// environment is told what it found: a registry that does not answer would else keep them waiting in turn, each until
// its time is over. urgent is for one that asks for the first time.
func (e *Engine) prepare(ctx context.Context, h *Host, bp provisioner.Blueprint, urgent bool) error {
	p := e.preparations.at(h.Name, bp.Digest)
	if !provisioner.IsUnavailable(p.err) || p.ups != e.hosts.ready[h.Name].ups.Load() {
		return e.tryPrepare(ctx, h, bp)
	}
	if urgent {
		e.preparations.hurry(preparedAt{h.Name, bp.Digest})
		nudge(e.prepareNudge)
	}
	return p.err
}

// tryPrepare gets a blueprint ready on a host and notes how that went.
func (e *Engine) tryPrepare(ctx context.Context, h *Host, bp provisioner.Blueprint) error {
	began, ups := e.Now(), e.hosts.ready[h.Name].ups.Load()
	err := h.Driver.Prepare(ctx, bp)
	if err != nil && (ctx.Err() != nil || provisioner.Is(err, provisioner.Cancelled)) {
		return err
	}
	now := e.Now()
	e.prepared(preparation{host: h, bp: bp, err: err, tried: now, took: now.Sub(began), ups: ups})
	return err
}

// prepared notes how a try went, and tells of what is new in it.
func (e *Engine) prepared(now preparation) {
	before := e.preparations.note(now, e.awaited(now.host.Name, now.bp.Digest))
	name := now.bp.Name + "@" + now.bp.Version
	switch {
	case now.err == nil && before.err != nil:
		e.logger.Info("a blueprint is ready now", "blueprint", name, "host", now.host.Name, "tries", before.failed+1)
		e.hosts.ready[now.host.Name].back()
	case now.err != nil && (before.err == nil || !sameCause(before.err.Error(), now.err.Error())):
		e.logger.Warn("a blueprint is not ready; it is tried again", "blueprint", name, "host", now.host.Name, "error", now.err)
		nudge(e.prepareNudge)
	}
}

// checkBlueprints tells of the blueprints that nothing can be made from on a host.
func (e *Engine) checkBlueprints(h *Host) Check {
	c := Check{Name: e.hosts.checkName("blueprints", h), Status: OK, Message: "all blueprints are ready"}
	for _, bp := range e.blueprints.List() {
		if e.preparations.at(h.Name, bp.Ref.Digest).host == nil {
			c.Message = "the blueprints are being made ready"
		}
	}
	failed := slices.DeleteFunc(e.preparations.failed(), func(p preparation) bool { return p.host != h })
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
	if c.Status = Warning; provisioner.IsUnavailable(p.err) {
		c.Status = Down
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
