package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/auth"
	"github.com/bothy-env/bothy/internal/config"
	"github.com/bothy-env/bothy/internal/engine"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
)

// leastFree is the room under which the state directory counts as filling up, in bytes.
const leastFree = 256 << 20

func diskCheck(path string) func(context.Context) engine.Check {
	return func(context.Context) engine.Check {
		c := engine.Check{Name: "disk", Status: engine.OK}
		var st unix.Statfs_t
		if err := unix.Statfs(path, &st); err != nil {
			c.Status, c.Message = engine.Warning, fmt.Sprintf("the room left for the state directory is not known: %v", err)
			return c
		}
		free := st.Bavail * uint64(st.Bsize) //nolint:gosec // a block size is never negative
		c.Message = fmt.Sprintf("%d MiB are free for the state directory", free>>20)
		if free < leastFree {
			c.Status, c.Hint = engine.Warning, "make room: without it nothing can be recorded, so nothing is made"
		}
		return c
	}
}

// peopleCheck tells when the platform team's file of people cannot be read, so that the last good one holds.
func peopleCheck(cfg config.Config, people *auth.Directory) func(context.Context) engine.Check {
	return func(context.Context) engine.Check {
		if err := people.Err(); err != nil {
			return engine.Check{
				Name: "organisation", Status: engine.Warning, Message: fmt.Sprintf("%v; the last good one holds", err),
				Hint: "mend " + cfg.Organisation + "; it is read again by itself",
			}
		}
		return engine.Check{Name: "organisation", Status: engine.OK, Message: "it is known who belongs to which team"}
	}
}

// isolator is the part of the runtime that knows whether sandboxes are cut off from private networks.
type isolator interface {
	Isolation(ctx context.Context) error
}

func isolationCheck(r isolator) func(context.Context) engine.Check {
	return func(ctx context.Context) engine.Check {
		err := r.Isolation(ctx)
		switch {
		case errors.Is(err, docker.ErrIsolationOff):
			return engine.Check{
				Name: "isolation", Status: engine.Warning, Message: provisioner.Sentence(err),
				Hint: "if that is not meant, set network.isolation to enforce",
			}
		case err != nil:
			// It is asked for and cannot be had, so no environment gets a network.
			return engine.Check{
				Name: "isolation", Status: engine.Down, Message: provisioner.Sentence(err),
				Hint: "no environment is made until this is mended: run bothyd with the right to set firewall rules, or set network.isolation to off and know what that means",
			}
		}
		return engine.Check{Name: "isolation", Status: engine.OK, Message: "sandboxes cannot reach the host, private networks or each other"}
	}
}
