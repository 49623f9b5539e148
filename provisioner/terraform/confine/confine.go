package confine

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// Mode is how programs are boxed.
type Mode string

// The ways, best first.
const (
	// Bubblewrap is the whole box.
	Bubblewrap Mode = "bubblewrap"
	// Landlock restricts files, and the network and processes as far as the kernel lets it.
	Landlock Mode = "landlock"
	// None is no box: bounds only.
	None Mode = "none"
)

// Policy is what to do where there is no whole box.
type Policy string

// Policies.
const (
	// Prefer takes the best that there is, none included.
	Prefer Policy = "prefer"
	// Enforce runs nothing without a whole box.
	Enforce Policy = "enforce"
	// Off takes no box.
	Off Policy = "off"
)

// Config says how to box.
type Config struct {
	// Policy is Prefer when empty.
	Policy Policy
	// Name tells the cgroups of one user of this package from another's: letters, digits and hyphens.
	Name string
	// Bwrap is the path of bubblewrap; "" looks on PATH.
	Bwrap string
	// Skip leaves ways out, for tests and for machines where one is known to do harm.
	Skip []Mode
	// Logger receives faults that the box has dealt with; nil discards them.
	Logger *slog.Logger
}

// Confiner boxes programs. Its methods may be called at once from many goroutines.
type Confiner struct {
	cfg    Config
	log    *slog.Logger
	groups *groups

	probe sync.Once
	way   way
	// missing is what does not hold, one sentence without its full stop; "" when all does.
	missing string
}

// way is one means of boxing, with what it takes to use it.
type way struct {
	mode Mode
	// bwrap is bubblewrap's path, flags how it works on this machine.
	bwrap string
	flags []string
	// namespaces says that new ones can be had beside Landlock.
	namespaces bool
}

// New makes a confiner and removes cgroups that an earlier one of that name left. What works is found out at the first use.
func New(cfg Config) *Confiner {
	if cfg.Policy == "" {
		cfg.Policy = Prefer
	}
	c := &Confiner{cfg: cfg, log: cfg.Logger}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	c.groups = openGroups(cfg.Name)
	// What this process was handed open by its parent is not a program's in a box.
	closeOnExec()
	return c
}

// Mode tells how programs are boxed, and what a whole box has that this one lacks: a sentence's part, "" for nothing.
func (c *Confiner) Mode(ctx context.Context) (mode Mode, missing string) {
	c.find(ctx)
	return c.way.mode, c.missing
}

// Leave removes the control groups that confiners of a name left, which none uses any more.
func Leave(name string) { openGroups(name) }

// Allowed is nil when programs may be run: with Enforce only in a whole box.
func (c *Confiner) Allowed(ctx context.Context) error {
	if c.find(ctx); c.cfg.Policy == Enforce && c.missing != "" {
		return fmt.Errorf("confinement is enforced and cannot be had: %s", c.missing)
	}
	return nil
}

// find looks once for the best way that works.
func (c *Confiner) find(ctx context.Context) {
	c.probe.Do(func() {
		ctx := context.WithoutCancel(ctx) // what is found is kept for all
		if c.cfg.Policy == Off {
			c.way, c.missing = way{mode: None}, "confinement is switched off"
			return
		}
		var why []string
		for _, try := range []struct {
			mode Mode
			find func(context.Context) (way, string, error)
		}{{Bubblewrap, c.findBubblewrap}, {Landlock, c.findLandlock}} {
			if c.skips(try.mode) {
				why = append(why, string(try.mode)+" is left out")
				continue
			}
			found, missing, err := try.find(ctx)
			if err == nil {
				c.way = found
				if missing != "" {
					c.missing = strings.Join(append(why, missing), "; ")
				}
				return
			}
			why = append(why, err.Error())
		}
		c.way, c.missing = way{mode: None}, strings.Join(why, "; ")
	})
}

func (c *Confiner) skips(m Mode) bool {
	for _, skip := range c.cfg.Skip {
		if skip == m {
			return true
		}
	}
	return false
}
