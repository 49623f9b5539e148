package firewall

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// never are the addresses of cloud metadata services, which no setting opens.
var never = prefixes("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.0/24")

// private are the ranges that are not the internet.
var private = prefixes("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12",
	"192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4")

func prefixes(list ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(list))
	for i, s := range list {
		out[i] = netip.MustParsePrefix(s)
	}
	return out
}

// SlotBits is the size of a slot's network: a /28 has room for 13 addresses beside the bridge's own.
const SlotBits = 28

// table is where the rules are. Not filter, where Docker's DOCKER-USER is meant for this: whenever a network is made the
// engine takes its chains out of FORWARD for a moment and puts them back in front, and a connection that slips
// through then stays established. Nothing of Docker's is in mangle, and packets pass it first.
const table = "mangle"

// Names are what isolates the sandboxes of one installation. It is a value: no I/O.
type Names struct {
	// Bridges matches the names of all bridges of the installation ("by1a2b3c4d+").
	Bridges string
	// Source is the chain that all packets of sandboxes pass first, Forward the one for what leaves the host, Input
	// the one for the host itself, Inward the one for what comes to sandboxes through the host.
	Source, Forward, Input, Inward string
	// Flows is how many connections of one slot may be open at once, Burst how many it may make at once.
	Flows, Burst int
}

// Bounds of what one slot may put into the kernel's table of connections, which is one for the whole machine.
// Closed connections stay in it for up to two minutes, so their number is bounded by the rate.
const (
	// MaxFlows is how many connections of a sandbox to the outside may be open at once.
	MaxFlows = 4096
	// FlowRate is how many new connections to the outside a sandbox may make in a second, after a burst of MaxFlows.
	FlowRate = 50
)

// NamesOf derives the names from the instance id, whatever that looks like.
func NamesOf(instance string) Names {
	sum := sha256.Sum256([]byte(instance))
	id := hex.EncodeToString(sum[:])[:8]
	return Names{
		Bridges: "by" + id + "+", Source: "BOTHY-" + id + "-PRE", Forward: "BOTHY-" + id, Input: "BOTHY-" + id + "-IN",
		Inward: "BOTHY-" + id + "-TO", Flows: MaxFlows, Burst: MaxFlows,
	}
}

// Bridge is the name of a slot's bridge; at most 15 bytes, as the kernel demands.
func (f Names) Bridge(slot int) string {
	return strings.TrimSuffix(f.Bridges, "+") + fmt.Sprintf("%x", slot)
}

// chains are all of them.
func (f Names) chains() []string { return []string{f.Source, f.Forward, f.Input, f.Inward} }

// ours returns the lines of a listing that are of our chains, "" when there are none.
func (f Names) ours(listing string) string {
	var lines strings.Builder
	for line := range strings.Lines(listing) {
		if words := strings.Fields(line); len(words) > 1 && slices.Contains(f.chains(), words[1]) {
			lines.WriteString(line)
		}
	}
	return lines.String()
}

// jump is one rule that leads packets of sandboxes, or for them, to a chain of ours.
type jump struct{ chain, rule string }

func (f Names) jumps() []jump {
	return []jump{
		{"FORWARD", "-i " + f.Bridges + " -j " + f.Forward},
		{"FORWARD", "-o " + f.Bridges + " -j " + f.Inward},
		{"INPUT", "-i " + f.Bridges + " -j " + f.Input},
		{"PREROUTING", "-i " + f.Bridges + " -j " + f.Source},
	}
}

// jumps6 drop all IPv6: the networks have none, so whatever comes is an attempt.
func (f Names) jumps6() []jump {
	return []jump{
		{"FORWARD", "-i " + f.Bridges + " -j DROP"},
		{"FORWARD", "-o " + f.Bridges + " -j DROP"},
		{"INPUT", "-i " + f.Bridges + " -j DROP"},
	}
}

// restore returns the chains as input for iptables-restore --noflush, which
// replaces them in one step. What is let through returns to the host's own rules; it is not accepted over their heads.
// The pool is closed too, should it lie outside the private ranges: no sandbox reaches another. Nobody else on the
// network reaches a sandbox either: Docker's own rules that say so have gaps while it makes networks. What the
// host itself sends, a published port's proxy too, is not forwarded and so does not come here.
//
// Before all that, a packet must come from an address of the very bridge that it came by: else a sandbox could send
// answers in somebody else's name, and the rules for established connections would let them pass. With plain, what
// needs modules that not every kernel has is left out: sources are held to the pool, connections are not counted.
func (f Names) restore(dns []netip.Addr, pool netip.Prefix, allow []netip.Prefix, plain bool) string {
	var b strings.Builder
	add := func(chain, rule string) { fmt.Fprintf(&b, "-A %s %s\n", chain, rule) }
	fmt.Fprintf(&b, "*%s\n", table)
	for _, chain := range f.chains() {
		fmt.Fprintf(&b, ":%s - [0:0]\n", chain)
	}
	if plain {
		add(f.Source, "! -s "+pool.String()+" -j DROP")
	} else {
		add(f.Source, "-m rpfilter --invert -j DROP")
		first := "-m conntrack --ctstate NEW ! --ctstatus CONFIRMED "
		add(f.Source, first+fmt.Sprintf("-m hashlimit --hashlimit-above %d/sec --hashlimit-burst %d --hashlimit-mode srcip --hashlimit-srcmask %d --hashlimit-name %s -j DROP",
			FlowRate, f.Burst, SlotBits, strings.ToLower(f.Forward)))
		add(f.Source, first+fmt.Sprintf("-m connlimit --connlimit-above %d --connlimit-mask %d --connlimit-saddr -j DROP", f.Flows, SlotBits))
	}
	add(f.Forward, "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN")
	for _, chain := range []string{f.Input, f.Inward} { // answers only
		add(chain, "-m conntrack --ctstate RELATED,ESTABLISHED --ctdir REPLY -j RETURN")
	}
	for _, chain := range []string{f.Forward, f.Input} {
		for _, a := range dns {
			add(chain, fmt.Sprintf("-d %s/32 -p udp -m udp --dport 53 -j RETURN", a))
			add(chain, fmt.Sprintf("-d %s/32 -p tcp -m tcp --dport 53 -j RETURN", a))
		}
	}
	for _, p := range never {
		add(f.Forward, "-d "+p.String()+" -j DROP")
	}
	add(f.Forward, "-d "+pool.String()+" -j DROP")
	for _, p := range allow {
		add(f.Forward, "-d "+p.Masked().String()+" -j RETURN")
	}
	for _, p := range private {
		add(f.Forward, "-d "+p.String()+" -j DROP")
	}
	add(f.Input, "-j DROP")
	add(f.Inward, "-j DROP")
	b.WriteString("COMMIT\n")
	return b.String()
}

// rulesOf returns a chain's rules, in order, from the output of iptables -S.
func rulesOf(listing, chain string) []string {
	var rules []string
	for line := range strings.Lines(listing) {
		if r, ok := strings.CutPrefix(strings.TrimSpace(line), "-A "+chain+" "); ok {
			rules = append(rules, r)
		}
	}
	return rules
}

// ofBothy matches the jumps of any installation; each takes the packets of its own bridges alone.
var ofBothy = regexp.MustCompile(`^-[io] by[0-9a-f]{8}\+ -j (BOTHY-[0-9a-f]{8}(-IN|-TO|-PRE)?|DROP)$`)

// leads reports whether a rule comes before every rule but those that lead to
// other installations' chains: what stands before it could let a packet through.
func leads(rules []string, rule string) bool {
	for _, r := range rules {
		if r == rule {
			return true
		}
		if !ofBothy.MatchString(r) {
			return false
		}
	}
	return false
}

// moveToFront returns the change, for iptables-restore --noflush, that leaves one copy of a jump, in front; "" when it is so.
func moveToFront(rules []string, j jump) string {
	copies := 0
	for _, r := range rules {
		if r == j.rule {
			copies++
		}
	}
	if copies == 1 && leads(rules, j.rule) {
		return ""
	}
	return "*" + table + "\n" + strings.Repeat("-D "+j.chain+" "+j.rule+"\n", copies) +
		"-I " + j.chain + " 1 " + j.rule + "\nCOMMIT\n"
}
