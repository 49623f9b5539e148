package daemon_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
)

// shelves is a catalogue of several blueprints, all but for their name and digest the same.
type shelves []fleet.Blueprint

func shelvesOf(dir string, names ...string) shelves {
	var all shelves
	for i, name := range names {
		bp := testBlueprint(dir)
		bp.Ref.Name, bp.Ref.Digest = name, "sha256:"+fmt.Sprintf("%064d", i+1)
		all = append(all, bp)
	}
	return all
}

func (s shelves) Get(name string) (fleet.Blueprint, error) {
	for _, bp := range s {
		if bp.Ref.Name == name || bp.Ref.String() == name {
			return bp, nil
		}
	}
	return fleet.Blueprint{}, fleet.Errorf(fleet.CodeNotFound, "there is no blueprint %s", name)
}
func (s shelves) List() []fleet.Blueprint    { return s }
func (s shelves) Dir(string) (string, error) { return s[0].Dir, nil }

// preparing is a driver whose Prepare is a test's.
type preparing struct {
	provisioner.Driver
	do func(ctx context.Context, name string) error

	mu  sync.Mutex
	log map[string]int
}

func (p *preparing) Prepare(ctx context.Context, bp provisioner.Blueprint) error {
	p.mu.Lock()
	p.log[bp.Name]++
	p.mu.Unlock()
	if err := p.do(ctx, bp.Name); err != nil {
		return err
	}
	return p.Driver.Prepare(ctx, bp)
}

// tries is how often a blueprint was tried.
func (p *preparing) tries(name string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log[name]
}

// prepares sets an engine up whose driver prepares some blueprints by do.
func prepares(t *testing.T, do func(ctx context.Context, b *bench, name string) error, change func(*daemon.Config), names ...string) (*bench, *preparing) {
	t.Helper()
	var b *bench
	p := &preparing{log: map[string]int{}, do: func(ctx context.Context, name string) error { return do(ctx, b, name) }}
	b = setup(t, unending, func(cfg *daemon.Config) {
		cfg.Blueprints = shelvesOf(t.TempDir(), names...)
		p.Driver = cfg.Hosts[0].Driver
		cfg.Hosts[0].Driver = p
		if change != nil {
			change(cfg)
		}
	})
	return b, p
}

// TestSlowBlueprintDelaysNoOther: those behind it in the alphabet are made ready while one takes its time, and it does not
// take for ever.
func TestSlowBlueprintDelaysNoOther(t *testing.T) {
	b, p := prepares(t, func(ctx context.Context, _ *bench, name string) error {
		if name == "slow" {
			<-ctx.Done()
			return provisioner.Errorf(provisioner.Cancelled, "prepare blueprint", "interrupted")
		}
		return nil
	}, nil, "slow", "x", "y", "z")
	b.run()
	waitUntil(t, "the others are tried", func() bool { return p.tries("x") == 1 && p.tries("y") == 1 && p.tries("z") == 1 })
	if n := p.tries("slow"); n > 1 {
		t.Errorf("the slow one is tried %d times at once", n)
	}
	b.stop()

	b, p = prepares(t, p.doWith, func(cfg *daemon.Config) { cfg.PrepareTimeout = 20 * time.Millisecond }, "slow", "x")
	b.run()
	waitUntil(t, "the check tells it", func() bool {
		c := b.checked("blueprints")
		return c.Status == service.Warning && strings.Contains(c.Message, "blueprint slow@1.0.0 is not ready on host local, after 1 try: Terraform was not done with it within 20ms")
	})
	if n := p.tries("x"); n != 1 {
		t.Errorf("the other one is tried %d times", n)
	}
}

func (p *preparing) doWith(ctx context.Context, _ *bench, name string) error { return p.do(ctx, name) }

// TestUnusedBlueprintAtFaultIsLeftAlone: it is tried a few times, ever more seldom, and then when somebody asks for it.
func TestUnusedBlueprintAtFaultIsLeftAlone(t *testing.T) {
	b, p := prepares(t, func(_ context.Context, _ *bench, name string) error {
		switch name {
		case "wrong":
			return provisioner.Errorf(provisioner.Permanent, "prepare blueprint", "main.tf:3: no")
		case "away": // which is tried for ever, and so shows that the loop turns
			return &provisioner.Error{Class: provisioner.Transient, Op: "prepare blueprint", Sentence: "away", Unavailable: true}
		}
		return nil
	}, nil, "away", "wrong")
	b.run()
	// Time passes until what is to be seen is seen.
	later := func(what string, cond func() bool) {
		waitUntil(t, what, func() bool { b.clock.advance(time.Hour); return cond() })
	}
	later("it is tried 8 times", func() bool { return p.tries("wrong") == 8 })
	for range 5 {
		before := p.tries("away")
		later("the other one is tried again", func() bool { return p.tries("away") > before })
	}
	if n := p.tries("wrong"); n != 8 {
		t.Errorf("it is tried %d times, want 8", n)
	}
	asked := b.acquire(func(r *service.Request) { r.Blueprint = "wrong" })
	env := b.until(asked.ID, "failed", func(env fleet.Environment) bool { return env.Failure != nil })
	if env.Failure.Sentence != "main.tf:3: no" || p.tries("wrong") != 9 {
		t.Errorf("a request for it: %+v, after %d tries", env.Failure, p.tries("wrong"))
	}
}
