package docker_test

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/network"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
)

func (e *engine) release(ctx context.Context, reserved string) error {
	return e.Release(ctx, provisioner.Attachment(reserved))
}

// networks lists the installation's networks as they are reserved.
func (e *engine) networks() []string {
	e.t.Helper()
	found, err := e.inventory(context.Background(), e.instance)
	if err != nil {
		e.t.Fatal(err)
	}
	var names []string
	for _, f := range found {
		if f.Kind == "network" {
			names = append(names, docker.JoinPrefix+f.Name)
		}
	}
	slices.Sort(names)
	return names
}

// networkIDs lists the engine's ids of the installation's networks.
func (e *engine) networkIDs() []string {
	e.t.Helper()
	found, err := e.inventory(context.Background(), e.instance)
	if err != nil {
		e.t.Fatal(err)
	}
	var ids []string
	for _, f := range found {
		if f.Kind == "network" {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

func (e *engine) reconcile(live ...string) {
	e.t.Helper()
	var held []provisioner.Attachment
	for _, reserved := range live {
		held = append(held, provisioner.Attachment(reserved))
	}
	if err := e.Reconcile(context.Background(), held); err != nil {
		e.t.Fatal(err)
	}
}

func pool(s string) func(*docker.Config) {
	return func(c *docker.Config) { c.Network.Pool = netip.MustParsePrefix(s) }
}

func spare(n int) func(*docker.Config) {
	return func(c *docker.Config) { c.Network.Spare = n }
}

// TestNetworkGolden compares all of what the engine made with what is wanted.
func TestNetworkGolden(t *testing.T) {
	e := newEngine(t, pool("172.29.200.0/28"))
	name := docker.SlotOf(e.ReserveNetwork())
	got, err := e.api.NetworkInspect(t.Context(), name, network.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	labels := testKey.Labels(provisioner.Owner{Instance: e.instance})
	labels[docker.LabelSlot] = "0"
	_, _, _, bridges := e.Firewall()
	want := network.Inspect{
		Name: "bothy-" + e.instance + "-net-0", Scope: "local", Driver: "bridge", EnableIPv6: false, EnableIPv4: got.EnableIPv4,
		Internal: false, Attachable: false, Ingress: false,
		IPAM:    network.IPAM{Driver: "default", Config: []network.IPAMConfig{{Subnet: "172.29.200.0/28", Gateway: got.IPAM.Config[0].Gateway}}},
		Options: map[string]string{"com.docker.network.bridge.name": strings.TrimSuffix(bridges, "+") + "0"},
		Labels:  labels,
	}
	if mtu, ok := got.Options["com.docker.network.driver.mtu"]; ok {
		want.Options["com.docker.network.driver.mtu"] = mtu // only where this host's way out is narrower
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(network.Inspect{}, "ID", "Created", "Containers"), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("network (-want +got):\n%s", diff)
	}
	if len(strings.TrimSuffix(bridges, "+"))+4 > 15 {
		t.Errorf("bridge names %s do not leave room for 4 digits in the kernel's 15", bridges)
	}
}

// TestReserveRelease: every name is given to one environment, is really there, and is gone after.
func TestReserveRelease(t *testing.T) {
	e := newEngine(t)
	a, b := e.ReserveNetwork(), e.ReserveNetwork()
	if a == b {
		t.Fatal("one network for two environments")
	}
	want := []string{a, b}
	slices.Sort(want)
	wantEqual(t, "networks", e.networks(), want)
	for range 2 {
		if err := e.release(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	wantEqual(t, "networks", e.networks(), []string{b})
	if c := e.ReserveNetwork(); c == a {
		t.Error("a freed subnet is used again at once")
	}
	wantClass(t, e.release(t.Context(), "bridge"), provisioner.Conflict)
	if err := e.release(t.Context(), "nosuch-"+testRun); err != nil {
		t.Error(err)
	}
	_, err := e.Reserve(t.Context(), provisioner.Owner{Instance: "another"})
	wantClass(t, err, provisioner.Permanent)
}

// TestReleaseInUse: a network with a sandbox on it is not pulled from under it.
func TestReleaseInUse(t *testing.T) {
	e := newEngine(t)
	name := e.ReserveNetwork()
	e.sandbox(func(_ *container.Config, h *container.HostConfig) { h.NetworkMode = container.NetworkMode(name) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := e.release(ctx, name); err == nil {
		t.Error("released while in use")
	}
	wantEqual(t, "networks", e.networks(), []string{name})
	e.reconcile()
	e.reconcile() // forgotten now, but its sandbox is the sweeper's first
	wantEqual(t, "networks", e.networks(), []string{name})
}

// TestSpare: spare networks are made ahead, handed out, made again, replaced when somebody removes them, and removed by Close.
func TestSpare(t *testing.T) {
	e := newEngine(t, spare(2))
	e.reconcile()
	until(t, "spare networks", func() bool { return e.Spares() == 2 })
	wantEqual(t, "networks", len(e.networks()), 2)
	ahead := e.networks()
	first := e.ReserveNetwork()
	if !slices.Contains(ahead, first) {
		t.Errorf("%s was not made ahead: %v", first, ahead)
	}
	until(t, "the refill", func() bool { return e.Spares() == 2 })
	for _, name := range e.networks() {
		if name != first {
			if err := e.api.ContainerRemove(t.Context(), docker.SlotOf(name), container.RemoveOptions{Force: true}); err != nil {
				t.Fatal(err)
			}
		}
	}
	second := e.ReserveNetwork()
	wantEqual(t, "both exist", len(intersect(e.networks(), []string{first, second})), 2)
	e.wantHolder(second)
	e.reconcile(first, second)
	until(t, "the refill", func() bool { return e.Spares() == 2 })
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	e2 := newEngine(t, spare(-1), func(c *docker.Config) { c.Instance = e.instance })
	left := e2.networks()
	wantEqual(t, "after Close only those in use are left", len(left), 2)
	wantEqual(t, "after Close", len(intersect(left, []string{first, second})), 2)
	_, err := e.Reserve(t.Context(), e.owner())
	wantClass(t, err, provisioner.Cancelled)
}

func intersect(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

// TestRestart: after a crash only what live environments hold stays; what was spare or half made is made anew.
func TestRestart(t *testing.T) {
	e := newEngine(t, spare(1))
	live, _ := e.ReserveNetwork(), e.ReserveNetwork()
	until(t, "the refill", func() bool { return e.Spares() == 1 })
	before := e.networkIDs()

	e2 := newEngine(t, spare(1), func(c *docker.Config) { c.Instance = e.instance })
	e2.reconcile(live) // what is not held may be another daemon's, and is about to be
	until(t, "a spare network", func() bool { return e2.Spares() == 1 })
	e2.reconcile(live)
	after := e2.networks()
	wantEqual(t, "the live one stays", slices.Contains(after, live), true)
	wantEqual(t, "one spare beside it", len(after), 2)
	wantEqual(t, "only the live one was not made anew", len(intersect(before, e2.networkIDs())), 1)
	if got := e2.ReserveNetwork(); got == live {
		t.Error("a live network was handed out again")
	}
}

// TestAbandoned: a reservation that no environment wrote down survives one list that may be older than it, and no second.
func TestAbandoned(t *testing.T) {
	e := newEngine(t)
	name := e.ReserveNetwork()
	e.reconcile()
	wantEqual(t, "missed once", e.networks(), []string{name})
	e.reconcile(name)
	e.reconcile()
	wantEqual(t, "missed once again", e.networks(), []string{name})
	e.reconcile()
	wantEqual(t, "missed twice in a row", e.networks(), []string(nil))
}

// TestTwoDaemons: two installations that share a pool never get one subnet, fill it to the last, and then say so.
func TestTwoDaemons(t *testing.T) {
	shared := pool("172.29.201.0/25") // 8 networks
	daemons := []*engine{newEngine(t, shared), newEngine(t, shared)}
	var mu sync.Mutex
	var wg sync.WaitGroup
	seen := map[provisioner.Attachment]bool{}
	for _, e := range daemons {
		for range 4 {
			wg.Go(func() {
				name, err := e.Reserve(t.Context(), e.owner())
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				seen[name] = true
			})
		}
	}
	wg.Wait()
	wantEqual(t, "networks", len(seen), 8)
	for _, e := range daemons {
		_, err := e.Reserve(t.Context(), e.owner())
		wantClass(t, err, provisioner.Quota)
		e.reconcile(e.networks()...)
		wantEqual(t, "own networks", len(e.networks()), 4)
	}
	daemons[0].reconcile()
	daemons[0].reconcile()
	wantEqual(t, "the other's networks", len(daemons[1].networks()), 4)
}

func TestNetworkConfigRefused(t *testing.T) {
	for name, n := range map[string]docker.NetworkConfig{
		"IPv6":      {Pool: netip.MustParsePrefix("fd00::/48")},
		"too small": {Pool: netip.MustParsePrefix("10.0.0.0/29")},
		"too big":   {Pool: netip.MustParsePrefix("10.0.0.0/8")},
		"mode":      {Isolation: "maybe"},
		"allow":     {Allow: []netip.Prefix{{}}},
	} {
		_, err := docker.New(docker.Config{Instance: "x", Key: testKey, Network: n})
		if provisioner.ClassOf(err) != provisioner.Permanent {
			t.Errorf("%s: got %v, want class permanent", name, err)
		}
	}
	for name, c := range map[string]docker.Config{
		"no instance": {Key: testKey}, "no key": {Instance: "x"},
		"ssh": {Instance: "x", Key: testKey, Host: "ssh://somewhere"}, "no scheme": {Instance: "x", Key: testKey, Host: "somewhere"},
	} {
		if _, err := docker.New(c); provisioner.ClassOf(err) != provisioner.Permanent {
			t.Errorf("%s: got %v, want class permanent", name, err)
		}
	}
}
