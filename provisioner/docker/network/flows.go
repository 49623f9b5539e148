package network

import (
	"cmp"
	"net/netip"
	"strconv"

	"github.com/ti-mo/conntrack"

	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/firewall"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// Flows counts the connections of containers in the kernel's table, by container. slotsOf gives the container on a slot.
func (k *Keeper) Flows(slotsOf map[string]string) map[string]int {
	found := map[string]int{}
	c, err := conntrack.Dial(nil)
	if err != nil {
		return found
	}
	defer engine.CloseQuietly(c)
	flows, err := firewall.FlowsOf(c, k.cfg.Pool)
	if err != nil {
		return found
	}
	in := map[netip.Prefix]string{}
	for n := range slots(k.cfg.Pool) {
		if id := cmp.Or(slotsOf[sandbox.JoinPrefix+strconv.Itoa(n)], slotsOf[k.slotName(n)]); id != "" {
			in[subnet(k.cfg.Pool, n)] = id
		}
	}
	for _, f := range flows {
		if p, err := f.TupleOrig.IP.SourceAddress.Prefix(firewall.SlotBits); err == nil && in[p] != "" {
			found[in[p]]++
		}
	}
	return found
}
