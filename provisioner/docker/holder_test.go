package docker_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
)

// wantHolder checks that a reservation can be joined.
func (e *engine) wantHolder(reserved string) {
	e.t.Helper()
	c, err := e.api.ContainerInspect(context.Background(), docker.SlotOf(reserved))
	if err != nil || !c.State.Running {
		e.t.Errorf("the holder of %s: %v", reserved, err)
	}
}

// TestHolderGolden compares what the engine was told about a holder with what is wanted: it can do nothing.
func TestHolderGolden(t *testing.T) {
	e := newEngine(t)
	name := docker.SlotOf(e.ReserveNetwork())
	got, err := e.api.ContainerInspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	parent, err := e.CgroupParent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Hostname, User, Network, Restart string
		Parent                           string
		Command, CapDrop, CapAdd, Opts   []string
		Privileged, ReadOnly, Init       bool
		Memory, Swap, Pids               int64
		Mounts, Ports                    int
		Owned                            bool
	}
	want := holder{
		Hostname: "bothy", User: "65534:65534", Network: name, Restart: "no", Command: []string{"sleep", "infinity"},
		CapDrop: []string{"ALL"}, Opts: []string{"no-new-privileges:true"}, ReadOnly: true, Init: true,
		Memory: 16 << 20, Swap: 16 << 20, Pids: 8, Owned: true, Parent: parent,
	}
	have := holder{
		Hostname: got.Config.Hostname, User: got.Config.User, Network: string(got.HostConfig.NetworkMode), Restart: string(got.HostConfig.RestartPolicy.Name),
		Command: append(slices.Clone([]string(got.Config.Entrypoint)), got.Config.Cmd...), CapDrop: got.HostConfig.CapDrop,
		CapAdd: got.HostConfig.CapAdd, Opts: got.HostConfig.SecurityOpt, Privileged: got.HostConfig.Privileged,
		ReadOnly: got.HostConfig.ReadonlyRootfs, Init: *got.HostConfig.Init, Memory: got.HostConfig.Memory, Swap: got.HostConfig.MemorySwap,
		Parent: got.HostConfig.CgroupParent, Pids: *got.HostConfig.PidsLimit, Mounts: len(got.Mounts), Ports: len(got.HostConfig.PortBindings),
		Owned: testKey.Verify(got.Config.Labels) && got.Config.Labels[provisioner.LabelEnvironment] == "" && got.Config.Labels[docker.LabelSlot] != "",
	}
	if diff := cmp.Diff(want, have, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("holder (-want +got):\n%s", diff)
	}
}

// TestForeignHolder: a container of somebody else by a slot's name is not touched, and the slot is passed over.
func TestForeignHolder(t *testing.T) {
	e := newEngine(t, pool("172.29.204.0/27")) // 2 networks
	name := "bothy-" + e.instance + "-net-0"
	id := e.sandbox(func(c *container.Config, _ *container.HostConfig) { c.Labels[provisioner.LabelMAC] = "forged" })
	if err := e.api.ContainerRename(t.Context(), id, name); err != nil {
		t.Fatal(err)
	}
	if got := docker.SlotOf(e.ReserveNetwork()); got == name {
		t.Errorf("reserved %s, whose holder is not ours", got)
	}
	if c, err := e.api.ContainerInspect(t.Context(), id); err != nil || !c.State.Running {
		t.Errorf("the foreign container: %v", err)
	}
}

// TestHolderOfANetworkRemovedByHand: somebody takes the network of a live environment away from under its holder. The holder goes
// once the environment has, and not before.
func TestHolderOfANetworkRemovedByHand(t *testing.T) {
	e := newEngine(t, pool("172.29.207.0/27"))
	live := e.ReserveNetwork()
	name := docker.SlotOf(live)
	holder, err := e.api.ContainerInspect(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.api.NetworkDisconnect(t.Context(), name, holder.ID, true); err != nil {
		t.Fatal(err)
	}
	if err := e.api.NetworkRemove(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	e.reconcile(live)
	if _, err := e.api.ContainerInspect(t.Context(), holder.ID); err != nil {
		t.Errorf("while it is held: %v", err)
	}
	if err := e.release(t.Context(), live); err != nil {
		t.Fatal(err)
	}
	e.reconcile()
	if _, err := e.api.ContainerInspect(t.Context(), holder.ID); err == nil || !strings.Contains(err.Error(), "No such container") {
		t.Errorf("it is still there: %v", err)
	}
}

// TestStrayHolder: a holder that came to be after its network had been removed goes with the next Reconcile, and its slot can be
// made again. One that a sandbox is in stays with it.
func TestStrayHolder(t *testing.T) {
	e := newEngine(t, pool("172.29.205.0/27")) // 2 networks
	live := e.ReserveNetwork()
	holder, err := e.api.ContainerInspect(t.Context(), docker.SlotOf(live))
	if err != nil {
		t.Fatal(err)
	}
	prefix := "bothy-" + e.instance + "-net-"
	other := prefix + "0"
	if docker.SlotOf(live) == other {
		other = prefix + "1"
	}
	stray := func(name string) string {
		c, err := e.api.ContainerCreate(t.Context(), holder.Config, &container.HostConfig{NetworkMode: "none"}, nil, nil, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = e.api.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true}) // it may be gone
		})
		if err := e.api.ContainerStart(t.Context(), c.ID, container.StartOptions{}); err != nil {
			t.Fatal(err)
		}
		return c.ID
	}
	gone, joined := stray(other), stray(prefix+"9")
	inside := e.sandbox(func(_ *container.Config, h *container.HostConfig) {
		h.NetworkMode = container.NetworkMode("container:" + joined)
	})
	e.reconcile(live)
	for what, c := range map[string]struct {
		id    string
		there bool
	}{"the stray": {gone, false}, "the one with a sandbox": {joined, true}, "the sandbox": {inside, true}, "the live one": {holder.ID, true}} {
		if _, err := e.api.ContainerInspect(t.Context(), c.id); (err == nil) != c.there {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantEqual(t, "the other slot is made again", docker.SlotOf(e.ReserveNetwork()), other)
}
