package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/network"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/firewall"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// Isolation modes.
const (
	// IsolationEnforce: no network is handed out while the rules are not in place.
	IsolationEnforce = "enforce"
	// IsolationOff: networks without rules; sandboxes reach whatever the host reaches, and the host.
	IsolationOff = "off"
)

// ErrIsolationOff is what Isolation returns when the configuration says so: a warning, not a fault.
var ErrIsolationOff = errors.New("isolation is off: sandboxes reach the host and its private networks")

// Config says how sandboxes' networks are made.
type Config struct {
	// Pool is the IPv4 range that networks are cut from, a /28 each; zero means 172.30.0.0/16.
	Pool netip.Prefix
	// Spare is how many networks to keep ready; 0 means 2, a negative number none.
	Spare int
	// Isolation is IsolationEnforce ("" too) or IsolationOff.
	Isolation string
	// Holder is the image of the containers that hold slots' namespaces; it must have "sleep". "" means bothy/base.
	Holder string
	// Allow lists private ranges that sandboxes may reach all the same (a mirror, a registry). Metadata
	// addresses and the host itself stay closed.
	Allow []netip.Prefix
}

// New checks the configuration. parent returns the control group that holders are made in. Networks are made ahead until ctx ends.
func New(ctx context.Context, e *engine.Client, cfg Config, parent func(context.Context) (string, error)) (*Keeper, error) {
	const op = "configure networks"
	if !cfg.Pool.IsValid() {
		cfg.Pool = netip.MustParsePrefix("172.30.0.0/16")
	}
	if !cfg.Pool.Addr().Is4() || cfg.Pool.Bits() > firewall.SlotBits || cfg.Pool.Bits() < 12 {
		return nil, provisioner.Errorf(provisioner.Permanent, op, "network pool %s: want an IPv4 range from /12 to /%d", cfg.Pool, firewall.SlotBits)
	}
	cfg.Pool = cfg.Pool.Masked()
	switch {
	case cfg.Spare == 0:
		cfg.Spare = 2
	case cfg.Spare < 0:
		cfg.Spare = 0
	}
	switch cfg.Isolation {
	case "":
		cfg.Isolation = IsolationEnforce
	case IsolationEnforce, IsolationOff:
	default:
		return nil, provisioner.Errorf(provisioner.Permanent, op, "network isolation %q: want %s or %s", cfg.Isolation, IsolationEnforce, IsolationOff)
	}
	cfg.Holder = cmp.Or(cfg.Holder, "bothy/base")
	for _, p := range cfg.Allow {
		if !p.IsValid() || !p.Addr().Is4() {
			return nil, provisioner.Errorf(provisioner.Permanent, op, "allowed range %s: want an IPv4 range", p)
		}
	}
	return &Keeper{
		Rules: newRules(e, cfg), engine: e, cfg: cfg, bg: ctx, held: map[string]int{}, making: map[int]bool{},
		holders: &holders{engine: e, image: cfg.Holder, parent: parent},
	}, nil
}

// slot is one network that was made ahead, with the container that holds a network namespace on it.
type slot struct {
	name, id, holder string
}

// slotName is the name of a slot's network; it holds the instance, so that two daemons on one engine never clash.
func (k *Keeper) slotName(n int) string { return slotName(k.engine, n) }

func slotName(e *engine.Client, n int) string {
	return "bothy-" + e.Instance + "-net-" + strconv.Itoa(n)
}

// slotLabels are the labels of a slot's network and of its holder.
func slotLabels(e *engine.Client, n int) map[string]string {
	labels := e.Key.Labels(provisioner.Owner{Instance: e.Instance})
	labels[sandbox.LabelSlot] = strconv.Itoa(n)
	return labels
}

// slotRequest is the engine's request for a slot's network.
func (k *Keeper) slotRequest(n, mtu int) network.CreateOptions {
	ipv6 := false
	opts := map[string]string{"com.docker.network.bridge.name": k.names.Bridge(n)}
	if mtu > 0 {
		opts["com.docker.network.driver.mtu"] = strconv.Itoa(mtu)
	}
	return network.CreateOptions{
		Driver:     "bridge",
		EnableIPv6: &ipv6,
		Labels:     slotLabels(k.engine, n),
		Options:    opts,
		IPAM:       &network.IPAM{Driver: "default", Config: []network.IPAMConfig{{Subnet: subnet(k.cfg.Pool, n).String()}}},
	}
}

// create makes one slot's network, on the next subnet that nothing else uses.
// A subnet that turns out to be taken (another daemon was quicker) is passed over. register is
// called with what was made while k.mu is held.
func (k *Keeper) create(ctx context.Context, register func(slot)) (slot, error) {
	const op = "make network"
	passed := map[int]bool{}
	var refused error
	for range 32 {
		used, err := taken(ctx, k.engine)
		if err != nil {
			return slot{}, err
		}
		n := k.take(passed, used)
		if n < 0 {
			return slot{}, usedUp(k.cfg.Pool, used)
		}
		made, err := k.createAt(ctx, n)
		k.untake(n, func() {
			if err == nil {
				register(made)
			}
		})
		if err == nil {
			return made, nil
		}
		if !isTaken(err) {
			return slot{}, k.engine.Fail(ctx, op, err)
		}
		passed[n], refused = true, err
		k.engine.Log.Debug("a subnet is taken", "subnet", subnet(k.cfg.Pool, n), "error", err)
	}
	return slot{}, provisioner.Errorf(provisioner.Transient, op, "the engine refused 32 subnets of the pool %s in a row, the last one so: %s", k.cfg.Pool, engine.Plain(refused))
}

// usedUp is the answer while every subnet of the pool is in use. It says nothing about who asked, who waits.
func usedUp(pool netip.Prefix, taken []netip.Prefix) error {
	return &provisioner.Error{
		Class: provisioner.Quota, Op: "make network", Unavailable: true,
		Sentence: fmt.Sprintf("no free network: %d of %d in the pool %s are in use; it waits until one is free (network.pool says how many there are)",
			inUse(pool, taken), slots(pool), pool),
	}
}

func (k *Keeper) createAt(ctx context.Context, n int) (slot, error) {
	cctx, cancel := k.engine.Call(ctx)
	defer cancel()
	network, err := k.engine.API.NetworkCreate(cctx, k.slotName(n), k.slotRequest(n, mtu(k.engine.Local)))
	if err != nil {
		return slot{}, err
	}
	made := slot{name: k.slotName(n), id: network.ID}
	err = k.onThisHost(n)
	if err == nil {
		err = k.forget(ctx, subnet(k.cfg.Pool, n)) // of whoever had the subnet, a daemon that was killed too
	}
	if err == nil {
		made.holder, err = k.holders.make(ctx, n)
	}
	if err != nil {
		return slot{}, errors.Join(err, k.engine.RemoveNetwork(cctx, ctx, "remove network", made.id))
	}
	return made, nil
}

// isTaken reports whether the engine refuses a network because its subnet, name or bridge is somebody's: by its status, 403 or 409,
// as the words differ with its age.
func isTaken(err error) bool {
	return errdefs.IsPermissionDenied(err) || errdefs.IsConflict(err) || errdefs.IsAlreadyExists(err)
}

// taken lists the address ranges that something on the host uses.
func taken(ctx context.Context, e *engine.Client) ([]netip.Prefix, error) {
	cctx, cancel := e.Call(ctx)
	defer cancel()
	all, err := e.API.NetworkList(cctx, network.ListOptions{})
	if err != nil {
		return nil, e.Fail(ctx, "list networks", err)
	}
	var taken []netip.Prefix
	for _, n := range all {
		for _, c := range n.IPAM.Config {
			if p, err := netip.ParsePrefix(c.Subnet); err == nil {
				taken = append(taken, p)
			}
		}
	}
	if !e.Local {
		return taken, nil
	}
	table, err := os.ReadFile("/proc/net/route")
	if err == nil { // without it the engine's own check is all there is
		taken = append(taken, hostRoutes(string(table))...)
	}
	for _, a := range engineResolvers() {
		taken = append(taken, netip.PrefixFrom(a, 32))
	}
	return taken, nil
}

// mtu is what the way out of this host carries, when that is less than Docker's 1500; else 0.
func mtu(local bool) int {
	if !local {
		return 0
	}
	table, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return 0
	}
	out, err := net.InterfaceByName(defaultInterface(string(table)))
	if err != nil || out.MTU >= 1500 || out.MTU < 576 {
		return 0
	}
	return out.MTU
}

// ours lists the slots' networks that exist, by name. Networks with forged labels are left out.
func (k *Keeper) ours(ctx context.Context) (map[string]network.Summary, error) {
	cctx, cancel := k.engine.Call(ctx)
	defer cancel()
	list, err := k.engine.API.NetworkList(cctx, network.ListOptions{Filters: filters.NewArgs(
		filters.Arg("label", provisioner.LabelInstance+"="+k.engine.Instance), filters.Arg("label", sandbox.LabelSlot))})
	if err != nil {
		return nil, k.engine.Fail(ctx, "list networks", err)
	}
	found := map[string]network.Summary{}
	for _, n := range list {
		if k.engine.Owns(n.Labels) {
			found[n.Name] = n
		}
	}
	return found, nil
}
