package facts

import (
	"errors"
	"os"
	"strconv"
	"strings"
)

// resource is something of which the machine has so much.
type resource struct {
	name, setting string
	used, most    func() (int64, error)
	// by counts what each sandbox has of it, by container; nil when that is unknown.
	by func(*holdings) map[string]int
}

func resources() []resource {
	return []resource{
		{"terminals", "kernel.pty.max", number("/proc/sys/kernel/pty/nr"), ptyMost, func(h *holdings) map[string]int { return h.terminals }},
		{"connections", "net.netfilter.nf_conntrack_max", number("/proc/sys/net/netfilter/nf_conntrack_count"),
			number("/proc/sys/net/netfilter/nf_conntrack_max"), func(h *holdings) map[string]int { return h.flows }},
		{"pages of TCP memory", "net.ipv4.tcp_mem", tcpPages, tcpMost, nil},
		{"asynchronous requests", "fs.aio-max-nr", number("/proc/sys/fs/aio-nr"), number("/proc/sys/fs/aio-max-nr"), nil},
	}
}

// number reads a setting of the kernel that is one.
func number(file string) func() (int64, error) {
	return func() (int64, error) {
		text, err := os.ReadFile(file)
		if err != nil {
			return 0, err
		}
		return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	}
}

// ptyMost is how many terminals all but the host's own may have.
func ptyMost() (int64, error) {
	most, err1 := number("/proc/sys/kernel/pty/max")()
	reserve, err2 := number("/proc/sys/kernel/pty/reserve")()
	return most - reserve, errors.Join(err1, err2)
}

// tcpPages reads "TCP: inuse 4 orphan 0 tw 0 alloc 8 mem 2" of /proc/net/sockstat, tcpMost the last of the three of tcp_mem.
func tcpPages() (int64, error) {
	text, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 2 && f[0] == "TCP:" {
			return strconv.ParseInt(f[len(f)-1], 10, 64)
		}
	}
	return 0, errors.New("/proc/net/sockstat has no line for TCP")
}

func tcpMost() (int64, error) {
	text, err := os.ReadFile("/proc/sys/net/ipv4/tcp_mem")
	f := strings.Fields(string(text))
	if err != nil || len(f) != 3 {
		return 0, errors.Join(err, errors.New("net.ipv4.tcp_mem does not have three numbers"))
	}
	return strconv.ParseInt(f[2], 10, 64)
}
