package docker

import (
	"context"
	"fmt"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/broker"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
	"github.com/bothy-env/bothy/provisioner/docker/limits"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
	"github.com/bothy-env/bothy/provisioner/docker/seccomp"
)

var _ provisioner.Broker = (*broker.Broker)(nil)

// SecurityOpts are the engine's security options that every sandbox is made with.
func SecurityOpts() []string { return []string{"no-new-privileges:true", seccomp.Option()} }

// newBroker makes what opens doors to this engine.
func (r *Runtime) newBroker(sockets string) (*broker.Broker, error) {
	b := broker.New(broker.Config{
		Engine: r.engine.API, Key: r.engine.Key, Dir: sockets, Local: r.engine.Local, Logger: r.engine.Log,
		SecurityOpts: SecurityOpts(), Ulimits: limits.Ulimits(), Additions: r.additions, Started: r.limits.BoundSockets, Kernel: cgroup.LimitsOf,
		Unused:  func(more broker.Additions) { r.etcs.Drop(more.Mounts) },
		Removed: func(c container.InspectResponse) { r.etcs.Drop(c.HostConfig.Mounts) },
	})
	if sockets == "" {
		return b, nil
	}
	if err := b.Sweep(); err != nil {
		return nil, provisioner.Errorf(provisioner.Permanent, opConfigure, "clear the directory for sockets: %w", err)
	}
	return b, nil
}

// Broker returns what opens doors to this engine for blueprints.
func (r *Runtime) Broker() provisioner.Broker { return r.broker }

// additions are what a container is made with and no blueprint says; the network's files only on a reserved network.
func (r *Runtime) additions(ctx context.Context, spec *provisioner.Spec, network string) (broker.Additions, error) {
	var more broker.Additions
	var err error
	if more.CgroupParent, err = r.limits.Parent(ctx); err != nil {
		return more, err
	}
	if strings.HasPrefix(network, sandbox.JoinPrefix) {
		if more.Binds, err = r.NetworkFiles(ctx, network); err != nil {
			return more, err
		}
	}
	if more.Secrets, err = r.ownerOf(ctx, spec.Sandbox.Image, spec.Sandbox.User); err != nil {
		return more, err
	}
	etc, err := r.etcs.Mount(ctx, spec.Sandbox.Image, spec.Labels)
	more.Mounts = []mount.Mount{Terminals(spec.Labels), etc}
	return more, err
}

// ownerOf returns a user of an image as the owner in the options of a tmpfs; "" for one that it does not have, which the hand-over tells.
func (r *Runtime) ownerOf(ctx context.Context, image, user string) (string, error) {
	if user == "" {
		return "", nil
	}
	known, err := r.accounts.Of(ctx, image)
	if err != nil {
		return "", err
	}
	found, ok := known.Find(user)
	if !ok {
		return "", nil
	}
	return fmt.Sprintf("uid=%d,gid=%d", found.UID, found.GID), nil
}
