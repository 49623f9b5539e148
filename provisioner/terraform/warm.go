package terraform

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// pool keeps provider processes running. It never waits for one to come free:
// it hands out an idle one, starts another, or says that there is none.
type pool struct {
	cfg    Config
	tmp    string
	box    *confine.Confiner
	limits WarmLimits
	log    *slog.Logger

	mu       sync.Mutex
	idle     map[file][]*process // last in, first out: the rest may end
	running  map[*process]bool
	starting int
	avoid    map[file]time.Time // providers that failed to start, and until when they are left alone
	recycled int64
	closed   bool
	// background are starts ahead of need.
	background sync.WaitGroup
	next       int
}

// avoidFor is how long a provider that did not come up is started the plain way only.
const avoidFor = time.Minute

func newPool(cfg Config, tmp string, box *confine.Confiner) *pool {
	return &pool{
		cfg: cfg, tmp: tmp, box: box, limits: cfg.WarmLimits, log: cfg.Logger,
		idle: map[file][]*process{}, running: map[*process]bool{}, avoid: map[file]time.Time{},
	}
}

// lease is the use of one warm process per provider, by one Terraform.
type lease struct {
	pool      *pool
	processes []*process
	reattach  reattachInfo
	// died tells, after discard, whether a process had ended by itself.
	died bool
}

// lease returns a process for each provider that can have one; nil when none can.
// faults counts those that failed to start.
func (p *pool) lease(ctx context.Context, providers []provider) (_ *lease, faults int) {
	l := &lease{pool: p, reattach: reattachInfo{}}
	for _, want := range providers {
		got, err := p.take(ctx, want)
		if err != nil {
			faults++
			p.log.Warn("a warm provider process did not start", "provider", want.Address, "cause", err)
		}
		if got != nil {
			l.processes = append(l.processes, got)
			l.reattach[want.Address] = got.reattach
		}
	}
	if len(l.processes) == 0 {
		return nil, faults
	}
	return l, faults
}

// release returns the processes back after a success.
func (l *lease) release() {
	for _, proc := range l.processes {
		l.pool.put(proc)
	}
}

// discard ends the processes after a failure, whatever it was: a cancel stops all that a process
// ever does, and an error may have left it in any state. The error is the bound at which one was ended, or nil.
func (l *lease) discard() (bound error) {
	for _, proc := range l.processes {
		l.died = l.died || !proc.alive()
		l.pool.end(proc, true)
	}
	for _, proc := range l.processes {
		<-proc.exited // so that it is not doing anything any more
		var exceeded *confine.BoundError
		if errors.As(proc.running.Wait(), &exceeded) {
			bound = exceeded
		}
	}
	return bound
}

func (p *pool) take(ctx context.Context, want provider) (*process, error) {
	p.mu.Lock()
	for list := p.idle[want.file()]; len(list) > 0; list = p.idle[want.file()] {
		proc := list[len(list)-1]
		p.idle[want.file()] = list[:len(list)-1]
		proc.letGo.Stop()
		if proc.alive() {
			p.mu.Unlock()
			return proc, nil
		}
	}
	p.mu.Unlock()
	return p.start(ctx, want)
}

// start brings up a process, in use by the caller; nil when there may be none now.
func (p *pool) start(ctx context.Context, want provider) (*process, error) {
	p.mu.Lock()
	if p.closed || len(p.running)+p.starting >= p.limits.Max || time.Now().Before(p.avoid[want.file()]) { // time: to wait out a fault
		p.mu.Unlock()
		return nil, nil
	}
	p.starting++
	p.next++
	name := fmt.Sprintf("warm-%d", p.next)
	p.mu.Unlock()

	proc, err := p.startProcess(ctx, name, want)

	p.mu.Lock()
	p.starting--
	switch {
	case err != nil && ctx.Err() == nil:
		p.avoid[want.file()] = time.Now().Add(avoidFor)
	case err != nil:
		err = nil // the caller gave up; its Terraform will say so
	case p.closed:
		p.mu.Unlock()
		proc.kill()
		<-proc.exited
		return nil, nil
	default:
		p.running[proc] = true
	}
	p.mu.Unlock()
	if proc == nil {
		return nil, err
	}
	go func() { // ends with the process
		<-proc.exited
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.running, proc)
		p.idle[want.file()] = slices.DeleteFunc(p.idle[want.file()], func(other *process) bool { return other == proc })
	}()
	return proc, nil
}

// put takes a process back, to be idle for a while.
func (p *pool) put(proc *process) {
	proc.uses++
	if proc.uses >= p.limits.Uses || !proc.alive() {
		p.end(proc, true)
		p.spare([]provider{proc.provider})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		proc.kill()
		return
	}
	keep := p.limits.Idle
	if len(p.idle[proc.provider.file()]) > 0 {
		keep /= 6
	}
	p.idle[proc.provider.file()] = append(p.idle[proc.provider.file()], proc)
	proc.letGo = time.AfterFunc(keep, func() {
		p.mu.Lock()
		list := p.idle[proc.provider.file()]
		i := slices.Index(list, proc)
		if i >= 0 {
			p.idle[proc.provider.file()] = slices.Delete(list, i, i+1)
		}
		p.mu.Unlock()
		if i >= 0 {
			p.end(proc, false)
		}
	})
}

// end kills a process that nobody uses.
func (p *pool) end(proc *process, recycled bool) {
	p.mu.Lock()
	proc.ending = true
	if recycled {
		p.recycled++
	}
	p.mu.Unlock()
	proc.kill()
}

// spare sees to it, in the background, that each provider has a process.
func (p *pool) spare(providers []provider) {
	for _, want := range providers {
		if _, err := os.Stat(want.Binary); err != nil {
			continue // its template was tidied away: the next lease knows another one's
		}
		p.mu.Lock()
		has := p.closed || p.starting > 0 || len(p.idle[want.file()]) > 0 || p.runs(want)
		if !has {
			p.background.Add(1)
		}
		p.mu.Unlock()
		if has {
			continue
		}
		go func() {
			defer p.background.Done()
			proc, err := p.start(context.Background(), want)
			if err != nil {
				p.log.Warn("a warm provider process did not start", "provider", want.Address, "cause", err)
			}
			if proc != nil {
				proc.uses-- // no use of its own
				p.put(proc)
			}
		}()
	}
}

// runs reports whether a process that will stay of a provider is in use or idle. The caller holds mu.
func (p *pool) runs(want provider) bool {
	for proc := range p.running {
		if proc.provider.file() == want.file() && !proc.ending {
			return true
		}
	}
	return false
}

func (p *pool) counts() (recycled int64, running, idle int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.idle {
		idle += len(list)
	}
	return p.recycled, len(p.running), idle
}

// close ends every process and waits for their end.
func (p *pool) close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	procs := make([]*process, 0, len(p.running))
	for proc := range p.running {
		procs = append(procs, proc)
	}
	p.mu.Unlock()
	for _, proc := range procs {
		proc.kill()
	}
	done := make(chan struct{})
	go func() {
		p.background.Wait()
		for _, proc := range procs {
			<-proc.exited
		}
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return errors.Join(errors.New("they did not end in time"), ctx.Err())
	}
}
