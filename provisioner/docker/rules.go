package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
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

// firewall names what isolates the sandboxes of one installation. It is a value: no I/O.
type firewall struct {
	// bridges matches the names of all bridges of the installation ("by1a2b3c4d+").
	bridges string
	// forward is the chain for what leaves the host, input the one for the host itself.
	forward, input string
}

// newFirewall derives the names from the instance id, whatever that looks like.
func newFirewall(instance string) firewall {
	sum := sha256.Sum256([]byte(instance))
	id := hex.EncodeToString(sum[:])[:8]
	return firewall{bridges: "by" + id + "+", forward: "BOTHY-" + id, input: "BOTHY-" + id + "-IN"}
}

// bridge is the name of a slot's bridge; at most 15 bytes, as the kernel demands.
func (f firewall) bridge(slot int) string {
	return strings.TrimSuffix(f.bridges, "+") + fmt.Sprintf("%x", slot)
}

// jump is one rule that leads packets of sandboxes to a chain of ours.
type jump struct{ chain, rule string }

func (f firewall) jumps() []jump {
	return []jump{
		{"DOCKER-USER", "-i " + f.bridges + " -j " + f.forward},
		{"INPUT", "-i " + f.bridges + " -j " + f.input},
	}
}

// jumps6 drop all IPv6: the networks have none, so whatever comes is an attempt.
func (f firewall) jumps6() []jump {
	return []jump{
		{"FORWARD", "-i " + f.bridges + " -j DROP"},
		{"INPUT", "-i " + f.bridges + " -j DROP"},
	}
}

// restore gives both chains as input for iptables-restore --noflush, which
// replaces them in one step. What is let through returns to the host's own rules; it is not accepted over their heads.
func (f firewall) restore(dns []netip.Addr, allow []netip.Prefix) string {
	var b strings.Builder
	add := func(chain, rule string) { fmt.Fprintf(&b, "-A %s %s\n", chain, rule) }
	fmt.Fprintf(&b, "*filter\n:%s - [0:0]\n:%s - [0:0]\n", f.forward, f.input)
	for _, chain := range []string{f.forward, f.input} {
		add(chain, "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN")
		for _, a := range dns {
			add(chain, fmt.Sprintf("-d %s/32 -p udp -m udp --dport 53 -j RETURN", a))
			add(chain, fmt.Sprintf("-d %s/32 -p tcp -m tcp --dport 53 -j RETURN", a))
		}
	}
	for _, p := range never {
		add(f.forward, "-d "+p.String()+" -j DROP")
	}
	for _, p := range allow {
		add(f.forward, "-d "+p.Masked().String()+" -j RETURN")
	}
	for _, p := range private {
		add(f.forward, "-d "+p.String()+" -j DROP")
	}
	add(f.input, "-j DROP")
	b.WriteString("COMMIT\n")
	return b.String()
}

// rulesOf gives a chain's rules, in order, from the output of iptables -S.
func rulesOf(listing, chain string) []string {
	var rules []string
	for line := range strings.Lines(listing) {
		if r, ok := strings.CutPrefix(strings.TrimSpace(line), "-A "+chain+" "); ok {
			rules = append(rules, r)
		}
	}
	return rules
}

// leads reports whether a rule comes before every rule but those that lead to
// other installations' chains: what stands before it could let a packet through.
func leads(rules []string, rule string) bool {
	for _, r := range rules {
		if r == rule {
			return true
		}
		if !strings.HasPrefix(r, "-i by") {
			return false
		}
	}
	return false
}

// doubles gives the places (from 1, the last first) of all copies of a rule but the first.
func doubles(rules []string, rule string) []int {
	var at []int
	for i, r := range rules {
		if r == rule {
			at = append(at, i+1)
		}
	}
	if len(at) == 0 {
		return nil
	}
	at = at[1:]
	slices.Reverse(at)
	return at
}
