package network

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// TestPick: a slot that is picked is free, lies in the pool, and is only missing when none is free.
func TestPick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pool := netip.PrefixFrom(netip.MustParseAddr("172.30.0.0"), rapid.IntRange(22, 28).Draw(t, "bits"))
		n := slots(pool)
		busy := rapid.MapOf(rapid.IntRange(0, n-1), rapid.Just(true)).Draw(t, "busy")
		taken := rapid.SliceOf(rapid.Custom(func(t *rapid.T) netip.Prefix {
			a := netip.AddrFrom4([4]byte{172, byte(rapid.IntRange(29, 31).Draw(t, "b")), byte(rapid.IntRange(0, 3).Draw(t, "c")), rapid.Byte().Draw(t, "d")})
			return netip.PrefixFrom(a, rapid.IntRange(20, 32).Draw(t, "len")).Masked()
		})).Draw(t, "taken")
		free := func(s int) bool {
			for _, p := range taken {
				if p.Overlaps(subnet(pool, s)) {
					return false
				}
			}
			return !busy[s]
		}
		start := rapid.IntRange(0, n-1).Draw(t, "start")
		got := pick(pool, start, func(s int) bool { return busy[s] }, taken)
		if got >= 0 && (!free(got) || !pool.Contains(subnet(pool, got).Addr())) {
			t.Fatalf("slot %d (%s) is not free", got, subnet(pool, got))
		}
		for i := range n {
			if s := (start + i) % n; s == got {
				break
			} else if free(s) {
				t.Fatalf("got %d, but %d comes before and is free", got, s)
			}
		}
	})
}

// TestSubnets: the slots of a pool do not overlap and fill it.
func TestSubnets(t *testing.T) {
	pool := netip.MustParsePrefix("172.30.0.0/16")
	if got := slots(pool); got != 4096 {
		t.Fatalf("got %d slots, want 4096", got)
	}
	next := pool.Addr()
	for s := range slots(pool) {
		p := subnet(pool, s)
		if p.Addr() != next || p.Bits() != 28 {
			t.Fatalf("slot %d: got %s, want it to begin at %s", s, p, next)
		}
		for range 16 {
			next = next.Next()
		}
	}
	if pool.Contains(next) {
		t.Errorf("%s is not covered", next)
	}
}

const routeTable = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
docker0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun0	0100000A	00000000	0001	0	0	0	FFFFFFFF	0	0	0
`

func TestHostRoutes(t *testing.T) {
	want := []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.0.0.1/32")}
	if diff := cmp.Diff(want, hostRoutes(routeTable), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	if got := defaultInterface(routeTable); got != "eth0" {
		t.Errorf("default interface: got %q, want eth0", got)
	}
	if got := hostRoutes("nonsense\na b c\nx zz 0 0 0 0 0 qq\n"); got != nil {
		t.Errorf("nonsense: got %v", got)
	}
}

func TestResolvers(t *testing.T) {
	got := resolvers("# nameserver 1.1.1.1\nnameserver 10.0.0.2 # x\nnameserver 127.0.0.53\nnameserver fe80::1%eth0\nsearch a b\nnameserver\nnameserver 8.8.8.8\n")
	want := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("8.8.8.8")}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("resolvers (-want +got):\n%s", diff)
	}
}
