package docker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"

	"github.com/bothy-env/bothy/provisioner"
)

// A holder is a container of a slot that does nothing but keep a network namespace on the slot's
// network. A sandbox joins that namespace, so that starting it does not wait for the engine to
// build a network interface, which takes more than half of a start and is done one at a time.

const (
	// joinPrefix is what the engine calls joining a container's namespace in a network mode.
	joinPrefix = "container:"
	// holderMemory bounds a holder, in bytes; 6 MiB is the least that an engine takes.
	holderMemory = 16 << 20
	holderPids   = 8
	// holderHost is the host name that sandboxes see: who joins a namespace has its holder's.
	holderHost = "bothy"
)

// slotOf gives the slot of a reservation; a plain network's name, as earlier versions reserved it, is its own.
func slotOf(reserved string) string { return strings.TrimPrefix(reserved, joinPrefix) }

// attachmentTo is what is reserved of a slot: a sandbox joins the namespace of its holder, which goes by the slot's name. It is the
// network mode that the engine is given, and what is written down of it lives as long as its environment: it cannot change.
func attachmentTo(slot string) provisioner.Attachment {
	return provisioner.Attachment(joinPrefix + slot)
}

// hold makes and starts the holder of a slot, which goes by the name of the slot's network.
func (k *keeper) hold(ctx context.Context, n int) (id string, err error) {
	const op = "hold network"
	parent, err := k.r.CgroupParent(ctx)
	if err != nil {
		return "", err
	}
	cctx, cancel := k.r.call(ctx)
	defer cancel()
	pids, init := int64(holderPids), true
	made, err := k.r.api.ContainerCreate(cctx,
		&container.Config{
			Image: k.cfg.Holder, Hostname: holderHost, User: "65534:65534",
			Entrypoint: []string{"sleep"}, Cmd: []string{"infinity"}, StopSignal: "SIGKILL",
			Labels: k.slotRequest(n, 0).Labels,
		},
		&container.HostConfig{
			NetworkMode: container.NetworkMode(k.slotName(n)), Init: &init, ReadonlyRootfs: true,
			CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges:true"},
			IpcMode: "private", CgroupnsMode: "private",
			LogConfig: container.LogConfig{Type: "none"},
			// What engines since 25 fill in; older ones leave it empty.
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
			Resources:     container.Resources{CgroupParent: parent, Memory: holderMemory, MemorySwap: holderMemory, PidsLimit: &pids},
		}, nil, nil, k.slotName(n))
	if err != nil {
		return "", k.r.fail(ctx, op, err)
	}
	if err := k.r.api.ContainerStart(cctx, made.ID, container.StartOptions{}); err != nil {
		gone := k.r.api.ContainerRemove(cctx, made.ID, container.RemoveOptions{Force: true})
		return "", errors.Join(k.r.fail(ctx, op, err), k.r.fail(ctx, op, gone))
	}
	return made.ID, nil
}

// holds reports whether a holder is there and runs.
func (k *keeper) holds(ctx context.Context, id string) (bool, error) {
	cctx, cancel := k.r.call(ctx)
	defer cancel()
	c, err := k.r.api.ContainerInspect(cctx, id)
	if err = k.r.fail(ctx, "look at network", err); err != nil {
		if provisioner.Is(err, provisioner.NotFound) {
			err = nil
		}
		return false, err
	}
	return c.State != nil && c.State.Running, nil
}

// removeHolder removes the holder of a slot by its name or id, if there is one. Conflict: a container is still in its namespace.
func (k *keeper) removeHolder(ctx context.Context, name string) error {
	const op = "remove network"
	cctx, cancel := k.r.call(ctx)
	defer cancel()
	c, err := k.r.api.ContainerInspect(cctx, name)
	if err = k.r.fail(ctx, op, err); provisioner.Is(err, provisioner.NotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if c.Config == nil || c.Config.Labels[LabelSlot] == "" || !k.r.owns(c.Config.Labels) {
		return foreign(op, kindContainer, name)
	}
	all, err := k.r.api.ContainerList(cctx, container.ListOptions{All: true, Filters: filters.NewArgs()})
	if err != nil {
		return k.r.fail(ctx, op, err)
	}
	for _, other := range all {
		if at := slotOf(other.HostConfig.NetworkMode); at == c.ID || at == name && other.ID != c.ID {
			return provisioner.Errorf(provisioner.Conflict, op, "network %s is still in use", name)
		}
	}
	if err := k.trimNetFiles(c); err != nil {
		return k.r.fail(ctx, op, err)
	}
	err = k.r.fail(ctx, op, k.r.api.ContainerRemove(cctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	if provisioner.Is(err, provisioner.NotFound) {
		return nil
	}
	return err
}

// holders lists the names of the slots' holders that exist, by id. Those with forged labels are left out.
func (k *keeper) holders(ctx context.Context) (map[string]string, error) {
	cctx, cancel := k.r.call(ctx)
	defer cancel()
	list, err := k.r.api.ContainerList(cctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", provisioner.LabelInstance+"="+k.r.instance), filters.Arg("label", LabelSlot))})
	if err != nil {
		return nil, k.r.fail(ctx, "list holders of networks", err)
	}
	found := map[string]string{}
	for _, c := range list {
		if k.r.owns(c.Labels) && len(c.Names) == 1 {
			found[c.ID] = strings.TrimPrefix(c.Names[0], "/")
		}
	}
	return found, nil
}

// removeStrays removes holders that have no network: of a create that took effect after its answer was given up on, or after
// bothyd was killed, and the network removed. Such a name would keep its slot from being made again. The holders were listed
// before the networks, as a network is there before its holder and after it.
func (k *keeper) removeStrays(ctx context.Context, holders map[string]string, networks map[string]network.Summary) error {
	k.mu.Lock()
	for id, name := range holders {
		_, there := networks[name]
		_, held := k.held[name]
		if there || held || slices.ContainsFunc(k.spare, func(s slot) bool { return s.name == name }) {
			delete(holders, id)
		}
	}
	for n := range k.making {
		maps.DeleteFunc(holders, func(_, name string) bool { return name == k.slotName(n) })
	}
	k.mu.Unlock()
	var errs []error
	for id := range holders {
		if err := k.removeHolder(ctx, id); !provisioner.Is(err, provisioner.Conflict) { // a sandbox that is in it goes first
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
