package broker

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner"
)

// said is a container as its blueprint knows it: without what the broker added, and in the blueprint's own words. What the engine
// spells in another way would be a change in the next plan, for which the sandbox is made anew.
func (d *door) said(ctx context.Context, c container.InspectResponse) (container.InspectResponse, error) {
	h, base := *c.HostConfig, *c.ContainerJSONBase
	more := map[string]bool{}
	h.Binds = slices.DeleteFunc(slices.Clone(h.Binds), func(bind string) bool {
		at := placeOf(bind)
		more[at] = more[at] || !mountable(at)
		return !mountable(at)
	})
	h.Mounts = slices.DeleteFunc(slices.Clone(h.Mounts), func(m mount.Mount) bool {
		more[m.Target] = more[m.Target] || !mountable(m.Target)
		return !mountable(m.Target)
	})
	c.Mounts = slices.DeleteFunc(slices.Clone(c.Mounts), func(m container.MountPoint) bool { return more[m.Destination] })
	h.PidsLimit, h.CgroupParent, h.MaskedPaths = nil, "", nil
	if options, ok := d.extras.secretsOf(strings.TrimPrefix(c.Name, "/")); ok {
		h.Tmpfs = maps.Clone(h.Tmpfs)
		h.Tmpfs[provisioner.SecretsDir] = options
	}
	h.CapAdd = slices.Clone(h.CapAdd)
	for i, name := range h.CapAdd {
		h.CapAdd[i] = strings.TrimPrefix(name, "CAP_")
	}
	if h.NetworkMode.IsContainer() {
		joined, err := d.scope.joined(ctx)
		if err != nil {
			return c, err
		}
		if h.NetworkMode == joined {
			h.NetworkMode = container.NetworkMode(d.grant.Spec.Sandbox.Network)
		}
	}
	base.HostConfig = &h
	c.ContainerJSONBase = &base
	return c, nil
}

// placeOf is where a bind is mounted, "SOURCE:PLACE[:OPTIONS]".
func placeOf(bind string) string {
	_, rest, _ := strings.Cut(bind, ":")
	at, _, _ := strings.Cut(rest, ":")
	return at
}
