package network

import (
	"bufio"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/bothy-env/bothy/provisioner/docker/firewall"
)

// slots counts the networks that a pool is cut into.
func slots(pool netip.Prefix) int { return 1 << (firewall.SlotBits - pool.Bits()) }

// subnet is the slot's part of the pool.
func subnet(pool netip.Prefix, slot int) netip.Prefix {
	base := pool.Masked().Addr().As4()
	n := binary.BigEndian.Uint32(base[:]) + uint32(slot)<<(32-firewall.SlotBits) // slot < slots(pool), so it fits
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], n)
	return netip.PrefixFrom(netip.AddrFrom4(b), firewall.SlotBits)
}

// pick returns the first slot from start on, round the pool, that overlaps nothing that is taken, or -1.
func pick(pool netip.Prefix, start int, busy func(slot int) bool, taken []netip.Prefix) int {
	n := slots(pool)
	var near []netip.Prefix
	for _, t := range taken {
		if t.Overlaps(pool) {
			near = append(near, t)
		}
	}
next:
	for i := range n {
		slot := (start + i) % n
		if busy(slot) {
			continue
		}
		s := subnet(pool, slot)
		for _, t := range near {
			if t.Overlaps(s) {
				continue next
			}
		}
		return slot
	}
	return -1
}

// inUse counts the slots that overlap something that is taken.
func inUse(pool netip.Prefix, taken []netip.Prefix) (used int) {
	for n := range slots(pool) {
		if slices.ContainsFunc(taken, subnet(pool, n).Overlaps) {
			used++
		}
	}
	return used
}

// hostRoutes reads the kernel's IPv4 routing table (/proc/net/route), but the default route.
func hostRoutes(table string) []netip.Prefix {
	var routes []netip.Prefix
	for _, f := range routeFields(table) {
		dst, ok1 := hexAddr(f[1])
		mask, ok2 := hexAddr(f[7])
		if !ok1 || !ok2 {
			continue
		}
		m := mask.As4()
		if ones := bits.LeadingZeros32(^binary.BigEndian.Uint32(m[:])); ones > 0 {
			routes = append(routes, netip.PrefixFrom(dst, ones))
		}
	}
	return routes
}

// defaultInterface is the network interface that the default route leaves by, "" when there is none.
func defaultInterface(table string) string {
	for _, f := range routeFields(table) {
		if f[1] == "00000000" && f[7] == "00000000" {
			return f[0]
		}
	}
	return ""
}

// routeFields cuts /proc/net/route into its lines' fields, the heading left out.
func routeFields(table string) [][]string {
	var lines [][]string
	for line := range strings.Lines(table) {
		if f := strings.Fields(line); len(f) >= 8 && f[0] != "Iface" {
			lines = append(lines, f)
		}
	}
	return lines
}

// hexAddr reads an address as /proc/net/route writes it: hex, in the order of the machine's (little-endian) memory.
func hexAddr(s string) (netip.Addr, bool) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil {
		return netip.Addr{}, false
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(n))
	return netip.AddrFrom4(b), true
}

// resolvers returns the IPv4 name servers that sandboxes ask, from the text of a resolv.conf.
// Loopback ones are left out: for those the engine asks from the host's side.
func resolvers(conf string) []netip.Addr {
	var found []netip.Addr
	sc := bufio.NewScanner(strings.NewReader(conf))
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) < 2 || f[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(f[1]); err == nil && a.Is4() && !a.IsLoopback() {
			found = append(found, a)
		}
	}
	return found
}

// engineResolvers reads what the engine gives its containers: the host's
// resolv.conf, systemd's own list when that names the local stub alone, and public servers when there is none.
func engineResolvers() []netip.Addr {
	for _, file := range []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"} {
		conf, err := os.ReadFile(file)
		if err != nil {
			continue // not every host has both
		}
		if found := resolvers(string(conf)); len(found) > 0 {
			return found
		}
	}
	return []netip.Addr{netip.AddrFrom4([4]byte{8, 8, 8, 8}), netip.AddrFrom4([4]byte{8, 8, 4, 4})}
}
