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
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
)

// leastFree is the room under which the state directory counts as filling up, in bytes.
const leastFree = 256 << 20

func diskCheck(dir *stateDir) func(context.Context) service.Check {
	return func(context.Context) service.Check {
		c := service.Check{Name: "disk", Status: service.OK}
		free, _, err := dir.reserve.room(dir.path)
		if err != nil {
			c.Status, c.Message = service.Warning, fmt.Sprintf("cannot read the free space of the state directory: %v", err)
			return c
		}
		if full, ok := errors.AsType[*fleet.Error](dir.reserve.check()); ok {
			c.Status, c.Message, c.Hint = service.Down, full.Sentence, full.Hint
			return c
		}
		c.Message = fmt.Sprintf("the state directory has %d MiB of free space", free>>20)
		if free < leastFree {
			c.Status, c.Hint = service.Warning, "free some space: bothy creates nothing if it cannot record it"
		}
		return c
	}
}

// peopleCheck tells when the platform team's file of people cannot be read, so that the last good one holds.
func peopleCheck(cfg config.Config, people *auth.Directory) func(context.Context) service.Check {
	return func(context.Context) service.Check {
		if err := people.Err(); err != nil {
			return service.Check{
				Name: "organisation", Status: service.Warning, Message: fmt.Sprintf("%v (using the last valid content)", err),
				Hint: "fix " + cfg.Organisation + ", which bothyd reloads",
			}
		}
		return service.Check{Name: "organisation", Status: service.OK, Message: "the organisation file is valid"}
	}
}

// foldersCheck tells of blueprint folders that are not offered, and of built-in blueprints that a folder replaces.
func foldersCheck(catalogue *blueprint.Catalogue) func(context.Context) service.Check {
	return func(context.Context) service.Check {
		c := service.Check{Name: "catalogue", Status: service.OK, Message: "every configured blueprint is valid"}
		if refused := catalogue.Refused(); len(refused) > 0 {
			first, _, _ := strings.Cut(refused[0].Err.Error(), "\n")
			c.Status, c.Message = service.Warning, first
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
				c.Status = service.Warning
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
func engineCheck(a able) func(context.Context) service.Check {
	return func(ctx context.Context) service.Check {
		can, err := a.Facts(ctx)
		if err != nil {
			return service.Check{
				Name: "engine", Status: service.Warning, Message: "cannot read the capabilities of the engine: " + provisioner.Sentence(err),
				Hint: "start the engine, or set engine.host to its socket",
			}
		}
		return service.Check{Name: "engine", Status: service.OK, Message: can.String()}
	}
}

// isolator is the part of the runtime that knows whether sandboxes are cut off from private networks.
type isolator interface {
	Isolated(ctx context.Context, within time.Duration) error
}

// isolatedWithin is the age up to which a finding of the sweeps about the firewall is believed, which look every timing.sweep.
const isolatedWithin = time.Minute

func isolationCheck(r isolator) func(context.Context) service.Check {
	return func(ctx context.Context) service.Check {
		err := r.Isolated(ctx, isolatedWithin)
		switch {
		case errors.Is(err, docker.ErrIsolationOff):
			return service.Check{
				Name: "isolation", Status: service.Warning, Message: provisioner.Sentence(err),
				Hint: "set network.isolation to enforce",
			}
		case err != nil:
			// It is asked for and cannot be had, so no environment gets a network.
			return service.Check{
				Name: "isolation", Status: service.Down, Message: provisioner.Sentence(err),
				Hint: "bothy creates no environments until this is fixed: run bothyd with permission to set firewall rules, or set network.isolation to off, which lets sandboxes reach the host",
			}
		}
		return service.Check{Name: "isolation", Status: service.OK, Message: "sandboxes cannot reach the host, private networks or each other"}
	}
}

// limiter is the part of the runtime that knows what bounds sandboxes on the engine's machine.
type limiter interface {
	Shortages(ctx context.Context) ([]docker.Shortage, error)
}

// limitsCheck tells what a sandbox can take from others, and who does.
func limitsCheck(r limiter) func(context.Context) service.Check {
	return func(ctx context.Context) service.Check {
		c := service.Check{Name: "limits", Status: service.OK, Message: "system calls are filtered, and the machine has room for what sandboxes share"}
		found, err := r.Shortages(ctx)
		if err != nil {
			c.Status, c.Message = service.Warning, "cannot read the limits of sandboxes: "+provisioner.Sentence(err)
			return c
		}
		if len(found) == 0 {
			return c
		}
		var messages, hints []string
		for _, s := range found {
			messages, hints = append(messages, s.Message), append(hints, s.Hint)
		}
		c.Status, c.Message, c.Hint = service.Warning, strings.Join(messages, "\n"), strings.Join(hints, "\n")
		return c
	}
}

// killer is the part of the runtime that knows whether it can kill from the engine's machine.
type killer interface {
	CanKill() error
}

// removalCheck reports whether bothyd can always delete a sandbox: some of what code inside can do keeps the engine
// waiting, and only a kill from the host ends that.
func removalCheck(k killer) func(context.Context) service.Check {
	return func(context.Context) service.Check {
		if err := k.CanKill(); err != nil {
			return service.Check{
				Name: "removal", Status: service.Warning, Message: provisioner.Sentence(err),
				Hint: "run bothyd as root on the engine's machine",
			}
		}
		return service.Check{Name: "removal", Status: service.OK, Message: "a sandbox that blocks the engine can be killed from the host"}
	}
}

// confined is the part of the driver that knows how Terraform is boxed.
type confined interface {
	Confinement(ctx context.Context) (mode, missing string)
}

func confinementCheck(d confined) func(context.Context) service.Check {
	return func(ctx context.Context) service.Check {
		mode, missing := d.Confinement(ctx)
		if missing != "" {
			// With enforce and no whole box the driver is not ready, which its own check tells.
			return service.Check{
				Name: "confinement", Status: service.Warning, Message: fmt.Sprintf("Terraform is not completely confined (%s): %s", mode, missing),
				Hint: "install bubblewrap and allow user namespaces, or use only blueprints of trusted authors",
			}
		}
		return service.Check{Name: "confinement", Status: service.OK, Message: fmt.Sprintf("Terraform and its providers can only reach their own files and sockets (%s)", mode)}
	}
}
