package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/ti-mo/conntrack"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/firewall"
)

// What the kernel counts per machine, or per user of it, one sandbox can take from all others; see README. This
// looks how much is left, and who has most of it.

// Shortage is something that bounds sandboxes badly on the engine's machine, or that it runs short of.
type Shortage struct {
	// Message is a sentence, Hint the next thing to do.
	Message, Hint string
}

// enough is the part of a machine's limit, in percent, under whose use nobody is looked for. Tests change it.
var enough int64 = 80

// resource is something of which the machine has so much.
type resource struct {
	name, setting string
	used, most    func() (int64, error)
	// by counts what each sandbox has of it, by container; nil when that cannot be told.
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

// Shortages looks at what bounds sandboxes on this machine. Nothing is found about an engine elsewhere but what it says itself.
func (r *Runtime) Shortages(ctx context.Context) ([]Shortage, error) {
	cctx, cancel := r.call(ctx)
	defer cancel()
	info, err := r.api.Info(cctx)
	if err != nil {
		return nil, r.fail(ctx, "look at the engine's limits", err)
	}
	var found []Shortage
	add := func(hint, format string, args ...any) {
		found = append(found, Shortage{Message: fmt.Sprintf(format, args...), Hint: hint})
	}
	if !slices.ContainsFunc(info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=seccomp") }) {
		add("use a kernel and an engine with seccomp", "the engine filters no system calls: sandboxes reach all of the kernel")
	}
	if !r.net.local {
		return found, nil
	}
	if _, err := r.CgroupParent(ctx); err != nil {
		return nil, err
	}
	r.parent.mu.Lock()
	unset := r.parent.unset
	r.parent.mu.Unlock()
	if unset != nil {
		add("run bothyd as root", "busy sandboxes slow bothyd and the engine down: their control group has no weight (%v)", unset)
	}
	if info.CgroupVersion == "1" && os.Geteuid() != 0 {
		add("run bothyd as root, or use cgroup v2", "the memory that connections of sandboxes hold is not bounded")
	}
	if lacks := r.net.tables.Lacking(); lacks != nil {
		add("load the kernel modules xt_rpfilter, xt_connlimit and xt_hashlimit", "sources of packets are not looked up and connections are not counted: %v", lacks)
	}
	if err := r.net.tables.CanFlush(); err != nil {
		add("run bothyd as root, or install conntrack", "a sandbox may hear answers to the one that had its address before: %v", err)
	}
	return append(found, r.hogs(ctx)...), nil
}

// hogs tells what the machine runs short of, and which environment has most of it.
func (r *Runtime) hogs(ctx context.Context) (found []Shortage) {
	var held *holdings
	for _, res := range resources() {
		used, err1 := res.used()
		most, err2 := res.most()
		if err1 != nil || err2 != nil || most <= 0 || used*100 < most*enough {
			continue // not every kernel has everything
		}
		s := Shortage{
			Message: fmt.Sprintf("%d of the machine's %d %s are in use", used, most, res.name),
			Hint:    "raise " + res.setting + " with sysctl",
		}
		if res.by != nil && os.Geteuid() == 0 {
			if held == nil {
				held = r.holdings(ctx)
			}
			if who, n := hog(res.by(held)); n > 0 {
				s.Message += fmt.Sprintf("; environment %s has %d of them", nameOf(held.names[who], who), n)
				s.Hint = "look at it, and end it if it is not meant: bothy down " + nameOf(held.names[who], who) + "; or raise " + res.setting + " with sysctl"
			}
		}
		found = append(found, s)
	}
	return append(found, r.watchers(ctx, held)...)
}

// watchers tells of a user who has nearly as many file watchers as a user may. All sandboxes have the same users.
func (r *Runtime) watchers(ctx context.Context, held *holdings) []Shortage {
	if os.Geteuid() != 0 {
		return nil
	}
	most, err := number("/proc/sys/fs/inotify/max_user_instances")()
	if err != nil {
		return nil
	}
	if held == nil {
		held = r.holdings(ctx)
	}
	var found []Shortage
	for uid, n := range held.watching {
		if int64(n)*100 < most*enough {
			continue
		}
		s := Shortage{
			Message: fmt.Sprintf("%d of the %d file watchers (inotify) that user %d may have are in use, by all sandboxes together", n, most, uid),
			Hint:    fmt.Sprintf("sysctl -w fs.inotify.max_user_instances=%d", max(8192, 2*most)),
		}
		if who, n := hog(held.watchers); n > 0 {
			s.Message += fmt.Sprintf("; environment %s has %d of them", nameOf(held.names[who], who), n)
		}
		found = append(found, s)
	}
	return found
}

// holdings are what containers have, by their ids.
type holdings struct {
	names                      map[string]string // environments
	terminals, watchers, flows map[string]int
	watching                   map[int]int // watchers by user, of the whole machine
}

// holdings looks at every process of the machine. What ends meanwhile has nothing.
func (r *Runtime) holdings(ctx context.Context) *holdings {
	h := &holdings{names: map[string]string{}, terminals: map[string]int{}, watchers: map[string]int{}, flows: map[string]int{}, watching: map[int]int{}}
	slotsOf := map[string]string{} // slot -> container
	cctx, cancel := r.call(ctx)
	defer cancel()
	all, err := r.api.ContainerList(cctx, container.ListOptions{Filters: filters.NewArgs(filters.Arg("label", provisioner.LabelInstance+"="+r.instance))})
	if err != nil {
		r.log.Debug("who has most is not known", "error", err)
		return h
	}
	for _, c := range all {
		if env := c.Labels[provisioner.LabelEnvironment]; env != "" && r.owns(c.Labels) {
			h.names[c.ID] = env
			slotsOf[slotOf(c.HostConfig.NetworkMode)] = c.ID
		}
	}
	for _, c := range all { // the engine gives a holder by its id, or by its name
		if n := c.Labels[LabelSlot]; n != "" && slotsOf[c.ID] != "" {
			slotsOf[joinPrefix+n] = slotsOf[c.ID]
		}
	}
	h.look("/proc")
	h.count(r.net, slotsOf)
	return h
}

// look counts the open files of every process under a /proc.
func (h *holdings) look(proc string) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return
	}
	for _, e := range entries {
		dir := proc + "/" + e.Name()
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			continue
		}
		in := ""
		for _, fd := range fds {
			to, err := os.Readlink(dir + "/fd/" + fd.Name())
			if err != nil || !strings.HasSuffix(to, "/ptmx") && to != "anon_inode:inotify" {
				continue
			}
			if in == "" {
				in = containerOf(dir)
			}
			if to != "anon_inode:inotify" {
				h.terminals[in]++
				continue
			}
			h.watchers[in]++
			h.watching[ownerOf(dir)]++
		}
	}
}

// count counts the connections of slots.
func (h *holdings) count(k *keeper, slotsOf map[string]string) {
	c, err := conntrack.Dial(nil)
	if err != nil {
		return
	}
	defer closeQuietly(c)
	flows, err := firewall.FlowsOf(c, k.cfg.Pool)
	if err != nil {
		return
	}
	in := map[netip.Prefix]string{}
	for n := range slots(k.cfg.Pool) {
		if id := cmp.Or(slotsOf[joinPrefix+strconv.Itoa(n)], slotsOf[k.slotName(n)]); id != "" {
			in[subnet(k.cfg.Pool, n)] = id
		}
	}
	for _, f := range flows {
		if p, err := f.TupleOrig.IP.SourceAddress.Prefix(firewall.SlotBits); err == nil && in[p] != "" {
			h.flows[in[p]]++
		}
	}
}

// containerOf gives the container that a process is in, by its control group; "" for none.
func containerOf(dir string) string {
	text, err := os.ReadFile(dir + "/cgroup")
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(text), "\n")
	name := line[strings.LastIndex(line, "/")+1:]
	return strings.TrimSuffix(strings.TrimPrefix(name, "docker-"), ".scope")
}

// ownerOf gives a process's user on this machine, -1 when it has ended.
func ownerOf(dir string) int {
	text, err := os.ReadFile(dir + "/status")
	if err != nil {
		return -1
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Uid:" {
			if uid, err := strconv.Atoi(f[1]); err == nil {
				return uid
			}
		}
	}
	return -1
}

// hog gives who has most, of those that are in a container.
func hog(by map[string]int) (who string, n int) {
	for id, has := range by {
		if len(id) == 64 && (has > n || has == n && id < who) {
			who, n = id, has
		}
	}
	return who, n
}

func nameOf(name, id string) string {
	if name == "" {
		return "of another installation, container " + id[:12]
	}
	return name
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
