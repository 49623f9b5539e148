package broker

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner"
)

// extras are what the broker adds to the containers of one environment.
type extras struct {
	make   func(ctx context.Context, spec *provisioner.Spec, network string) (Additions, error) // nil for nothing
	unused func(Additions)                                                                      // nil for nothing
	spec   *provisioner.Spec
	create bool // the grant lets containers be made

	mu sync.Mutex
	// added is what each container was given beside what its blueprint says, by name.
	added map[string]Additions
	// secrets are the options of the folder for secrets as each container's blueprint says them, by name.
	secrets map[string]string
	// ahead is what the first container on the grant's network is to be given; nil once it was taken.
	ahead chan foreseen
}

// secretsOf returns the options of the folder for secrets as a container's blueprint says them.
func (e *extras) secretsOf(name string) (options string, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	options, ok = e.secrets[name]
	return options, ok
}

// add sets what the provider cannot express, and so never reads back.
func (e *extras) add(ctx context.Context, name string, built *container.CreateRequest) error {
	h := built.HostConfig
	pids := pidsOf(e.spec, h.Memory)
	h.PidsLimit = &pids
	if !e.spec.Blueprint.Trusted {
		h.MaskedPaths = maskedPaths
	}
	more, err := e.of(ctx, string(h.NetworkMode))
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.added[name] = more
	if options := h.Tmpfs[provisioner.SecretsDir]; options != "" && more.Secrets != "" {
		e.secrets[name] = options
		h.Tmpfs = maps.Clone(h.Tmpfs)
		h.Tmpfs[provisioner.SecretsDir] = ownedBy(options, more.Secrets)
	}
	e.mu.Unlock()
	h.CgroupParent = more.CgroupParent
	h.Binds, h.Mounts = slices.Concat(h.Binds, more.Binds), slices.Concat(h.Mounts, more.Mounts)
	return nil
}

// ownedBy returns options of a tmpfs with another owner.
func ownedBy(options, owner string) string {
	kept := slices.DeleteFunc(strings.Split(options, ","), func(o string) bool { return meansOf(o) == "uid" || meansOf(o) == "gid" })
	return strings.Join(append(kept, owner), ",")
}

// of returns what a container on a network is made with beside what its blueprint says.
func (e *extras) of(ctx context.Context, network string) (Additions, error) {
	if e.make == nil {
		return Additions{}, nil
	}
	e.mu.Lock()
	ahead := e.ahead
	if network == string(e.spec.Sandbox.Network) {
		e.ahead = nil
	}
	e.mu.Unlock()
	if ahead != nil && network == string(e.spec.Sandbox.Network) {
		select {
		case got := <-ahead:
			if got.err == nil {
				return got.more, nil
			}
		case <-ctx.Done():
			return Additions{}, context.Cause(ctx)
		}
	}
	return e.make(ctx, e.spec, network)
}

type foreseen struct {
	more Additions
	err  error
}

// foresee asks for what a create will need while Terraform is still starting. What fails is asked for again.
func (e *extras) foresee(ctx context.Context) {
	if !e.create || e.make == nil {
		return
	}
	e.ahead = make(chan foreseen, 1)
	ahead := e.ahead
	go func() {
		more, err := e.make(ctx, e.spec, string(e.spec.Sandbox.Network))
		ahead <- foreseen{more, err}
	}()
}

// giveBack returns what was asked for ahead and not taken.
func (e *extras) giveBack() {
	e.mu.Lock()
	ahead := e.ahead
	e.ahead = nil
	e.mu.Unlock()
	if ahead == nil {
		return
	}
	if got := <-ahead; got.err == nil && e.unused != nil {
		e.unused(got.more)
	}
}

// to returns what a container made through this door was given beside.
func (e *extras) to(name string) Additions {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.added[name]
}

// has reports whether a mount is one that the broker added.
func (a Additions) has(m container.MountPoint) bool {
	switch m.Type {
	case mount.TypeBind:
		return !m.RW && slices.Contains(a.Binds, m.Source+":"+m.Destination+":ro") || slices.ContainsFunc(a.Mounts, func(want mount.Mount) bool {
			return want.Type == m.Type && want.Source == m.Source && want.Target == m.Destination
		})
	case mount.TypeVolume:
		return slices.ContainsFunc(a.Mounts, func(want mount.Mount) bool {
			return want.Type == m.Type && want.Source == "" && want.Target == m.Destination
		})
	}
	return false
}
