package observe

import (
	"context"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

const (
	// usageFor bounds a look at what a sandbox uses: whoever asks is shown the rest without.
	usageFor = 900 * time.Millisecond
	// mostUsages bounds how many such looks are under way; further ones find nothing known.
	mostUsages = 64
)

// Usages are the looks at what sandboxes use that are under way, by environment: those who ask at the same time share one.
type Usages struct {
	cfg Config
	mu  sync.Mutex
	of  map[string]*usageLook
}

// NewUsages makes them.
func NewUsages(c Config) *Usages { return &Usages{cfg: c, of: map[string]*usageLook{}} }

type usageLook struct {
	done chan struct{}
	used provisioner.Usage
}

// Of tells what an environment uses now. What is not known is negative: all of one that is not in use, or whose host another daemon
// serves or does not answer in time. It takes about a second at most, and never fails.
func (u *Usages) Of(ctx context.Context, env fleet.Environment) provisioner.Usage {
	h := u.cfg.Hosts.Find(env.Host)
	if h == nil || !env.Ready() || env.SandboxID == "" {
		return provisioner.Unknown()
	}
	surveyor, ok := provisioner.Can[provisioner.Surveyor](h.Runtime)
	if !ok {
		return provisioner.Unknown()
	}
	look := u.begin(env.ID, func() provisioner.Usage {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), usageFor)
		defer cancel()
		used, err := surveyor.Usage(ctx, env.SandboxID)
		if err != nil {
			u.cfg.Logger.Debug("what an environment uses is not known", "environment", env.Name, "error", err)
			return provisioner.Unknown()
		}
		return used
	})
	if look == nil {
		return provisioner.Unknown()
	}
	// A runtime that does not keep to its time keeps nobody.
	ctx, cancel := context.WithTimeout(ctx, usageFor)
	defer cancel()
	select {
	case <-look.done:
		return look.used
	case <-ctx.Done():
		return provisioner.Unknown()
	}
}

// begin joins a look that is under way, or begins one; nil when too many are.
func (u *Usages) begin(id string, read func() provisioner.Usage) *usageLook {
	u.mu.Lock()
	defer u.mu.Unlock()
	if look := u.of[id]; look != nil {
		return look
	}
	if len(u.of) >= mostUsages {
		return nil
	}
	look := &usageLook{done: make(chan struct{}), used: provisioner.Unknown()}
	u.of[id] = look
	u.cfg.Guard.Background("a look at usage", func() {
		defer close(look.done)
		defer func() {
			u.mu.Lock()
			defer u.mu.Unlock()
			delete(u.of, id)
		}()
		look.used = read()
	})
	return look
}
