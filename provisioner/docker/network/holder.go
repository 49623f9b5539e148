package network

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
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// A holder is a container of a slot that does nothing but keep a network namespace on the slot's
// network. A sandbox joins that namespace, so that starting it does not wait for the engine to
// build a network interface, which takes more than half of a start and is done one at a time.

const (
	// holderMemory bounds a holder, in bytes; 6 MiB is the least that an engine takes.
	holderMemory = 16 << 20
	holderPids   = 8
	// holderHost is the host name that sandboxes see: who joins a namespace has its holder's.
	holderHost = "bothy"
)

// holders are the holders of an installation's slots.
type holders struct {
	engine *engine.Client
	image  string
	parent func(context.Context) (string, error) // the control group that they are made in
}

// make makes and starts the holder of a slot, which goes by the name of the slot's network.
func (h *holders) make(ctx context.Context, n int) (id string, err error) {
	const op = "hold network"
	parent, err := h.parent(ctx)
	if err != nil {
		return "", err
	}
	cctx, cancel := h.engine.Call(ctx)
	defer cancel()
	pids, init := int64(holderPids), true
	made, err := h.engine.API.ContainerCreate(cctx,
		&container.Config{
			Image: h.image, Hostname: holderHost, User: "65534:65534",
			Entrypoint: []string{"sleep"}, Cmd: []string{"infinity"}, StopSignal: "SIGKILL",
			Labels: slotLabels(h.engine, n),
		},
		&container.HostConfig{
			NetworkMode: container.NetworkMode(slotName(h.engine, n)), Init: &init, ReadonlyRootfs: true,
			CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges:true"},
			IpcMode: "private", CgroupnsMode: "private",
			LogConfig: container.LogConfig{Type: "none"},
			// What engines since 25 fill in; older ones leave it empty.
			RestartPolicy: container.RestartPolicy{Name: container.RestartPolicyDisabled},
			Resources:     container.Resources{CgroupParent: parent, Memory: holderMemory, MemorySwap: holderMemory, PidsLimit: &pids},
		}, nil, nil, slotName(h.engine, n))
	if err != nil {
		return "", h.engine.Fail(ctx, op, err)
	}
	if err := h.engine.API.ContainerStart(cctx, made.ID, container.StartOptions{}); err != nil {
		gone := h.engine.API.ContainerRemove(cctx, made.ID, container.RemoveOptions{Force: true})
		return "", errors.Join(h.engine.Fail(ctx, op, err), h.engine.Fail(ctx, op, gone))
	}
	return made.ID, nil
}

// run reports whether a holder is there and runs.
func (h *holders) run(ctx context.Context, id string) (bool, error) {
	cctx, cancel := h.engine.Call(ctx)
	defer cancel()
	c, err := h.engine.API.ContainerInspect(cctx, id)
	if err = h.engine.Fail(ctx, "look at network", err); err != nil {
		if provisioner.Is(err, provisioner.NotFound) {
			err = nil
		}
		return false, err
	}
	return c.State != nil && c.State.Running, nil
}

// remove removes the holder of a slot by its name or id, if there is one. Conflict: a container is still in its namespace.
func (h *holders) remove(ctx context.Context, name string) error {
	const op = "remove network"
	cctx, cancel := h.engine.Call(ctx)
	defer cancel()
	c, err := h.engine.API.ContainerInspect(cctx, name)
	if err = h.engine.Fail(ctx, op, err); provisioner.Is(err, provisioner.NotFound) {
		return nil
	} else if err != nil {
		return err
	}
	if c.Config == nil || c.Config.Labels[sandbox.LabelSlot] == "" || !h.engine.Owns(c.Config.Labels) {
		return engine.Foreign(op, engine.KindContainer, name)
	}
	all, err := h.engine.API.ContainerList(cctx, container.ListOptions{All: true, Filters: filters.NewArgs()})
	if err != nil {
		return h.engine.Fail(ctx, op, err)
	}
	for _, other := range all {
		if at := sandbox.SlotOf(other.HostConfig.NetworkMode); at == c.ID || at == name && other.ID != c.ID {
			return provisioner.Errorf(provisioner.Conflict, op, "network %s is still in use", name)
		}
	}
	if err := TrimFiles(h.engine, c); err != nil {
		return h.engine.Fail(ctx, op, err)
	}
	err = h.engine.Fail(ctx, op, h.engine.API.ContainerRemove(cctx, c.ID, container.RemoveOptions{Force: true, RemoveVolumes: true}))
	if provisioner.Is(err, provisioner.NotFound) {
		return nil
	}
	return err
}

// list lists the names of the slots' holders that exist, by id. Those with forged labels are left out.
func (h *holders) list(ctx context.Context) (map[string]string, error) {
	cctx, cancel := h.engine.Call(ctx)
	defer cancel()
	list, err := h.engine.API.ContainerList(cctx, container.ListOptions{All: true, Filters: filters.NewArgs(
		filters.Arg("label", provisioner.LabelInstance+"="+h.engine.Instance), filters.Arg("label", sandbox.LabelSlot))})
	if err != nil {
		return nil, h.engine.Fail(ctx, "list holders of networks", err)
	}
	found := map[string]string{}
	for _, c := range list {
		if h.engine.Owns(c.Labels) && len(c.Names) == 1 {
			found[c.ID] = strings.TrimPrefix(c.Names[0], "/")
		}
	}
	return found, nil
}

// removeStrays removes holders that have no network: of a create that took effect after its answer was given up on, or after
// bothyd was killed, and the network removed. Such a name would keep its slot from being made again. The holders were listed
// before the networks, as a network is there before its holder and after it.
func (k *Keeper) removeStrays(ctx context.Context, holders map[string]string, networks map[string]network.Summary) error {
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
		if err := k.holders.remove(ctx, id); !provisioner.Is(err, provisioner.Conflict) { // a sandbox that is in it goes first
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
