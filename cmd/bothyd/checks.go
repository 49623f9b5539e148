package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/auth"
	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/config"
	"github.com/bothy-env/bothy/internal/engine"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
)

// leastFree is the room under which the state directory counts as filling up, in bytes.
const leastFree = 256 << 20

func diskCheck(dir *stateDir) func(context.Context) engine.Check {
	return func(context.Context) engine.Check {
		c := engine.Check{Name: "disk", Status: engine.OK}
		free, _, err := dir.reserve.room(dir.path)
		if err != nil {
			c.Status, c.Message = engine.Warning, fmt.Sprintf("cannot read the free space of the state directory: %v", err)
			return c
		}
		if full, ok := errors.AsType[*fleet.Error](dir.reserve.check()); ok {
			c.Status, c.Message, c.Hint = engine.Down, full.Sentence, full.Hint
			return c
		}
		c.Message = fmt.Sprintf("the state directory has %d MiB of free space", free>>20)
		if free < leastFree {
			c.Status, c.Hint = engine.Warning, "free some space: bothy creates nothing if it cannot record it"
		}
		return c
	}
}

// peopleCheck tells when the platform team's file of people cannot be read, so that the last good one holds.
func peopleCheck(cfg config.Config, people *auth.Directory) func(context.Context) engine.Check {
	return func(context.Context) engine.Check {
		if err := people.Err(); err != nil {
			return engine.Check{
				Name: "organisation", Status: engine.Warning, Message: fmt.Sprintf("%v (using the last valid content)", err),
				Hint: "fix " + cfg.Organisation + ", which bothyd reloads",
			}
		}
		return engine.Check{Name: "organisation", Status: engine.OK, Message: "the organisation file is valid"}
	}
}

// foldersCheck tells of blueprint folders that are not offered, and of built-in blueprints that a folder replaces.
func foldersCheck(catalogue *blueprint.Catalogue) func(context.Context) engine.Check {
	return func(context.Context) engine.Check {
		c := engine.Check{Name: "catalogue", Status: engine.OK, Message: "every configured blueprint is valid"}
		if refused := catalogue.Refused(); len(refused) > 0 {
			first, _, _ := strings.Cut(refused[0].Err.Error(), "\n")
			c.Status, c.Message = engine.Warning, first
			if more := len(refused) - 1; more > 0 {
				c.Message += fmt.Sprintf(" (and %d more directories)", more)
			}
			c.Hint = "fix the errors and restart bothyd. To list every error: bothy blueprint check DIR"
			return c
		}
		for i, o := range catalogue.Overridden() {
			if i == 0 {
				c.Message += "; blueprint_overrides replaces"
			}
			c.Message += fmt.Sprintf(" %s by %s", o.Name, o.Folder)
		}
		for _, bp := range catalogue.List() {
			if bp.Trusted {
				c.Status = engine.Warning
				c.Message += fmt.Sprintf("; %s (%s) may exceed the limits of a sandbox", bp.Ref, bp.Ref.Digest)
				c.Hint = "remove the digest from trusted_blueprints once it is no longer used"
			}
		}
		return c
	}
}

// able is the part of the runtime that knows what its engine can do.
type able interface {
	Facts(ctx context.Context) (docker.Facts, error)
}

// engineCheck tells which engine answers, and what it can do. What it lacks, the check docker tells.
func engineCheck(a able) func(context.Context) engine.Check {
	return func(ctx context.Context) engine.Check {
		can, err := a.Facts(ctx)
		if err != nil {
			return engine.Check{
				Name: "engine", Status: engine.Warning, Message: "cannot read the capabilities of the engine: " + provisioner.Sentence(err),
				Hint: "start the engine, or set engine.host to its socket",
			}
		}
		return engine.Check{Name: "engine", Status: engine.OK, Message: can.String()}
	}
}

// isolator is the part of the runtime that knows whether sandboxes are cut off from private networks.
type isolator interface {
	Isolated(ctx context.Context, within time.Duration) error
}

// isolatedWithin is the age up to which a finding of the sweeps about the firewall is believed, which look every timing.sweep.
const isolatedWithin = time.Minute

func isolationCheck(r isolator) func(context.Context) engine.Check {
	return func(ctx context.Context) engine.Check {
		err := r.Isolated(ctx, isolatedWithin)
		switch {
		case errors.Is(err, docker.ErrIsolationOff):
			return engine.Check{
				Name: "isolation", Status: engine.Warning, Message: provisioner.Sentence(err),
				Hint: "set network.isolation to enforce",
			}
		case err != nil:
			// It is asked for and cannot be had, so no environment gets a network.
			return engine.Check{
				Name: "isolation", Status: engine.Down, Message: provisioner.Sentence(err),
				Hint: "bothy creates no environments until this is fixed: run bothyd with permission to set firewall rules, or set network.isolation to off, which lets sandboxes reach the host",
			}
		}
		return engine.Check{Name: "isolation", Status: engine.OK, Message: "sandboxes cannot reach the host, private networks or each other"}
	}
}

// limiter is the part of the runtime that knows what bounds sandboxes on the engine's machine.
type limiter interface {
	Shortages(ctx context.Context) ([]docker.Shortage, error)
}

// limitsCheck tells what a sandbox can take from others, and who does.
func limitsCheck(r limiter) func(context.Context) engine.Check {
	return func(ctx context.Context) engine.Check {
		c := engine.Check{Name: "limits", Status: engine.OK, Message: "system calls are filtered, and the machine has room for what sandboxes share"}
		found, err := r.Shortages(ctx)
		if err != nil {
			c.Status, c.Message = engine.Warning, "cannot read the limits of sandboxes: "+provisioner.Sentence(err)
			return c
		}
		if len(found) == 0 {
			return c
		}
		var messages, hints []string
		for _, s := range found {
			messages, hints = append(messages, s.Message), append(hints, s.Hint)
		}
		c.Status, c.Message, c.Hint = engine.Warning, strings.Join(messages, "\n"), strings.Join(hints, "\n")
		return c
	}
}

// killer is the part of the runtime that knows whether it can kill from the engine's machine.
type killer interface {
	CanKill() error
}

// removalCheck reports whether bothyd can always delete a sandbox: some of what code inside can do keeps the engine
// waiting, and only a kill from the host ends that.
func removalCheck(k killer) func(context.Context) engine.Check {
	return func(context.Context) engine.Check {
		if err := k.CanKill(); err != nil {
			return engine.Check{
				Name: "removal", Status: engine.Warning, Message: provisioner.Sentence(err),
				Hint: "run bothyd as root on the engine's machine",
			}
		}
		return engine.Check{Name: "removal", Status: engine.OK, Message: "a sandbox that blocks the engine can be killed from the host"}
	}
}

// confined is the part of the driver that knows how Terraform is boxed.
type confined interface {
	Confinement(ctx context.Context) (mode, missing string)
}

func confinementCheck(d confined) func(context.Context) engine.Check {
	return func(ctx context.Context) engine.Check {
		mode, missing := d.Confinement(ctx)
		if missing != "" {
			// With enforce and no whole box the driver is not ready, which its own check tells.
			return engine.Check{
				Name: "confinement", Status: engine.Warning, Message: fmt.Sprintf("Terraform is not completely confined (%s): %s", mode, missing),
				Hint: "install bubblewrap and allow user namespaces, or use only blueprints of trusted authors",
			}
		}
		return engine.Check{Name: "confinement", Status: engine.OK, Message: fmt.Sprintf("Terraform and its providers can only reach their own files and sockets (%s)", mode)}
	}
}
