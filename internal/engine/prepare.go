package engine

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

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
	// ups is how often the host had come back when the last try began.
	ups int64
}

// note records a try, and gives the one before.
func (p *preparations) note(now preparation) (before preparation) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[preparedAt]preparation{}
	}
	at := preparedAt{now.host.Name, now.bp.Digest}
	before = p.of[at]
	if now.err != nil {
		now.failed = before.failed + 1
		now.next = now.tried.Add(untilPrepared(now))
	}
	p.of[at] = now
	return before
}

// longestFaultRetry bounds the wait before a blueprint is tried again that is itself at fault: each try takes a second of the machine.
const longestFaultRetry = 10 * time.Minute

func untilPrepared(p preparation) time.Duration {
	longest := longestFaultRetry
	if provisioner.IsUnavailable(p.err) {
		longest = longestAwayRetry
	}
	return doubled(awayRetry, p.failed-1, longest)
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
	for _, h := range e.hosts.all() {
		for _, bp := range e.blueprints.List() {
			_ = e.tryPrepare(ctx, h, driverBlueprint(bp.Ref, bp.Dir)) // it is noted
			if ctx.Err() != nil {
				return
			}
		}
	}
	loop(ctx, e.prepareNudge, func() time.Duration {
		wait := time.Hour // whatever fails wakes this
		for _, p := range e.preparations.failed() {
			if !e.wanted(p) {
				e.preparations.forget(p.host.Name, p.bp.Digest)
				continue
			}
			if e.hosts.ready[p.host.Name].ups.Load() != p.ups || !e.Now().Before(p.next) {
				_ = e.tryPrepare(ctx, p.host, p.bp) // it is noted
				p = e.preparations.at(p.host.Name, p.bp.Digest)
			}
			if p.err != nil {
				wait = min(wait, e.cfg.Tick, max(p.next.Sub(e.Now()), 0))
			}
		}
		return max(wait, leastPrepareRest)
	})
}

// leastPrepareRest keeps a clock that does not move from making a busy loop.
const leastPrepareRest = 10 * time.Millisecond

// wanted reports whether a blueprint is offered, or waited for by what asked when it was.
func (e *Engine) wanted(p preparation) bool {
	for _, bp := range e.blueprints.List() {
		if bp.Ref.Digest == p.bp.Digest {
			return true
		}
	}
	return slices.ContainsFunc(e.tries.waiting(), func(t try) bool {
		return t.env.Host == p.host.Name && t.env.Blueprint.Digest == p.bp.Digest
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
	host := e.hosts.ready[h.Name]
	ups := host.ups.Load()
	err := h.Driver.Prepare(ctx, bp)
	if ctx.Err() != nil || provisioner.Is(err, provisioner.Cancelled) {
		return err
	}
	before := e.preparations.note(preparation{host: h, bp: bp, err: err, tried: e.Now(), ups: ups})
	switch {
	case err == nil && before.err != nil:
		e.logger.Info("a blueprint is ready now", "blueprint", bp.Name+"@"+bp.Version, "host", h.Name, "tries", before.failed+1)
		host.back()
	case err != nil && (before.err == nil || !sameCause(before.err.Error(), err.Error())):
		e.logger.Warn("a blueprint is not ready; it is tried again", "blueprint", bp.Name+"@"+bp.Version, "host", h.Name, "error", err)
		nudge(e.prepareNudge)
	}
	return err
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
		c.Hint = "requests for it wait, and it is tried again by itself; for want of a provider, fill the mirror (terraform.mirror) with: make setup"
		return c
	}
	c.Hint = "requests for it fail until the blueprint, or what it needs, is mended; it is tried again by itself"
	return c
}

func times(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}
