//go:build linux

package isolation_test

// probe is one attempt to reach what is not the sandbox's own.
type probe struct {
	kind, name string
	// try is the attempt, as the probe program reads it; {names} are the world's.
	try string
	// hole names the control that the attempt must succeed in.
	hole string
	// controlTry replaces try in the control where the same thing is found elsewhere.
	controlTry string
	// controlUser is who tries in the control; root unless said.
	controlUser string
	// users are who tries in the sandbox; dev and root unless said.
	users []string
	// dirs are the folders to start in, one after the other; the workspace unless said.
	dirs []string
	// controlDir is where the attempt starts in the control.
	controlDir string
}

var asDev = []string{"dev"}

// probes are all, by kind. To add one, add a row: what to try, and the hole in which it must succeed.
func probes() []probe {
	var all []probe
	for _, part := range [][]probe{hostProbes, sandboxProbes, lanProbes, forgedProbes, socketProbes, changeProbes, fileProbes, kernelFileProbes,
		deviceProbes, namespaceProbes, mountProbes, callProbes, rightProbes, processProbes, limitProbes, engineProbes} {
		all = append(all, part...)
	}
	return all
}

var hostProbes = []probe{
	{kind: "host", name: "tcp on the sandbox's gateway", try: "tcp {gateway}:{port}", hole: "plain"},
	{kind: "host", name: "tcp on the host's own address", try: "tcp {host}:{port}", hole: "plain"},
	{kind: "host", name: "tcp on docker0", try: "tcp {docker0}:{port}", hole: "plain"},
	{kind: "host", name: "tcp on another network's gateway", try: "tcp {neighbour gateway}:{port}", hole: "plain"},
	{kind: "host", name: "udp on the sandbox's gateway", try: "udp {gateway}:{port}", hole: "plain"},
	{kind: "host", name: "udp on the host's own address", try: "udp {host}:{port}", hole: "plain"},
	{kind: "host", name: "udp on docker0", try: "udp {docker0}:{port}", hole: "plain"},
	{kind: "host", name: "tcp on loopback", try: "tcp 127.0.0.1:{loopback port}", hole: "host network"},
	{kind: "host", name: "tcp on IPv6 loopback", try: "tcp [::1]:{loopback6 port}", hole: "host network"},
	{kind: "host", name: "tcp on the IPv6 address of the bridge", try: "tcp [{bridge6}%eth0]:{port6}", controlTry: "tcp [{bridge6}%{bridge}]:{port6}", hole: "host network"},
	{kind: "host", name: "an abstract unix socket", try: "unix @{abstract}", hole: "host network"},
	{kind: "host", name: "a published port", try: "tcp {docker0}:{published}", hole: "plain"},
	{kind: "host", name: "the host's name for containers", try: "dns host.docker.internal", hole: "names"},
}

var sandboxProbes = []probe{
	{kind: "sandboxes", name: "tcp to one of the same daemon", try: "tcp {same}:8080", hole: "host network"},
	{kind: "sandboxes", name: "udp to one of the same daemon", try: "udp {same}:8080", hole: "host network"},
	{kind: "sandboxes", name: "tcp to one of another daemon", try: "tcp {other}:8080", hole: "host network"},
	{kind: "sandboxes", name: "udp to one of another daemon", try: "udp {other}:8080", hole: "host network"},
	{kind: "sandboxes", name: "tcp to a container on docker0", try: "tcp {container}:8080", hole: "plain"},
	{kind: "sandboxes", name: "udp to a container on docker0", try: "udp {container}:8080", hole: "plain"},
	{kind: "sandboxes", name: "the name of a container", try: "dns {target name}", hole: "names"},
	{kind: "sandboxes", name: "the name of another sandbox's network", try: "dns {neighbour holder name}", hole: "neighbour"},
}

var lanProbes = []probe{
	{kind: "private networks", name: "10.0.0.0/8", try: "tcp {lan 10.211.77.9}:80", hole: "names"},
	{kind: "private networks", name: "10.0.0.0/8 by udp", try: "udp {lan 10.211.77.9}:80", hole: "names"},
	{kind: "private networks", name: "172.16.0.0/12", try: "tcp {lan 172.31.251.9}:80", hole: "names"},
	{kind: "private networks", name: "192.168.0.0/16", try: "tcp {lan 192.168.251.9}:80", hole: "names"},
	{kind: "private networks", name: "100.64.0.0/10", try: "tcp {lan 100.64.77.9}:80", hole: "names"},
	{kind: "private networks", name: "198.18.0.0/15", try: "tcp {lan 198.18.77.9}:80", hole: "names"},
	{kind: "metadata", name: "169.254.169.254", try: "tcp {lan 169.254.169.254}:80", hole: "names"},
	{kind: "metadata", name: "169.254.169.254 by udp", try: "udp {lan 169.254.169.254}:80", hole: "names"},
	{kind: "metadata", name: "169.254.170.2", try: "tcp {lan 169.254.170.2}:80", hole: "names"},
	{kind: "metadata", name: "100.100.100.200", try: "tcp {lan 100.100.100.200}:80", hole: "names"},
	{kind: "metadata", name: "168.63.129.16", try: "tcp {lan 168.63.129.16}:80", hole: "names"},
	{kind: "metadata", name: "192.0.0.192", try: "tcp {lan 192.0.0.192}:80", hole: "names"},
	{kind: "private networks", name: "as an IPv4-mapped IPv6 address", try: "tcp [::ffff:{lan 10.211.77.9}]:80", hole: "names"},
}

var socketProbes = []probe{
	{kind: "sockets", name: "packet", try: "socket packet open", hole: "plain"},
	{kind: "sockets", name: "packet datagrams", try: "socket packet-dg open", hole: "plain"},
	{kind: "sockets", name: "icmp", try: "socket icmp open", hole: "plain"},
	{kind: "sockets", name: "raw IP", try: "socket raw open", hole: "plain"},
	{kind: "sockets", name: "raw IPv6", try: "socket raw6 open", hole: "plain"},
	{kind: "sockets", name: "vsock", try: "socket vsock open", hole: "no seccomp"},
	{kind: "sockets", name: "vsock port of the machine", try: "socket vsock bind", hole: "no seccomp"},
	{kind: "sockets", name: "vsock datagrams", try: "socket vsock-dg open", hole: "no seccomp"},
	{kind: "sockets", name: "kernel crypto", try: "socket alg open", hole: "no seccomp"},
	{kind: "sockets", name: "xdp", try: "socket xdp open", hole: "plain"},
	{kind: "sockets", name: "bluetooth", try: "socket bluetooth open", hole: "no seccomp"},
	{kind: "sockets", name: "can", try: "socket can open", hole: "no seccomp"},
	{kind: "sockets", name: "tipc", try: "socket tipc open", hole: "no seccomp"},
	{kind: "sockets", name: "rds", try: "socket rds open", hole: "no seccomp"},
	{kind: "sockets", name: "events of netfilter", try: "socket netfilter multicast", hole: "network admin"},
	{kind: "sockets", name: "a source that is not its own", try: "freebind 192.0.2.77 {docker0}:{port} transparent", hole: "network admin"},
	{kind: "sockets", name: "a transparent socket", try: "option transparent", hole: "plain"},
	{kind: "sockets", name: "a firewall mark", try: "option mark", hole: "network admin"},
	{kind: "sockets", name: "priority over others", try: "option priority", hole: "network admin"},
	{kind: "sockets", name: "a buffer beyond the limit", try: "option buffer", hole: "network admin"},
	{kind: "sockets", name: "a repaired connection", try: "option repair", hole: "network admin"},
	{kind: "sockets", name: "a forged packet", try: "forge 203.0.113.7:53 {docker0}:{port} forged", hole: "plain"},
}

// forgedProbes send as somebody else. Inside, nothing lets them; beside the sandbox they are sent, and must not arrive.
var forgedProbes = []probe{
	{kind: "forged packets", name: "into a flow of the host's", try: "forge {flow peer} {flow} {text}", hole: "names"},
	{kind: "forged packets", name: "to the internet, as from nobody's address", try: "forge 203.0.113.7:5000 {lan 198.51.100.77}:80 {text}", hole: "names"},
	{kind: "forged packets", name: "to the internet, as from another sandbox", try: "forge {other}:5000 {lan 198.51.100.77}:80 {text}", hole: "names"},
	{kind: "forged packets", name: "to another sandbox, as from the host", try: "forge {gateway}:5000 {same}:8080 {text}", hole: "host network"},
}

var changeProbes = []probe{
	{kind: "network changes", name: "flags of an interface", try: "interface flags", hole: "network admin"},
	{kind: "network changes", name: "mtu of an interface", try: "interface mtu", hole: "network admin"},
	{kind: "network changes", name: "address of an interface", try: "interface address", hole: "network admin"},
	{kind: "network changes", name: "a tunnel", try: "interface tunnel", hole: "network admin"},
	{kind: "network changes", name: "an interface by netlink", try: "route link", hole: "network admin"},
	{kind: "network changes", name: "an address by netlink", try: "route address", hole: "network admin"},
	{kind: "network changes", name: "a route by netlink", try: "route route", hole: "network admin"},
	{kind: "network changes", name: "a routing rule by netlink", try: "route rule", hole: "network admin"},
}

var fileProbes = []probe{
	{kind: "host files", name: "a file by a mount", try: "find mount {canary file}", hole: "host files"},
	{kind: "host files", name: "a file by the links of /proc", try: "find proc {canary file}", hole: "host processes"},
	{kind: "host files", name: "a file above the folder that exec starts in", try: "find-from {canary file}", hole: "host files", controlDir: "/host",
		dirs: []string{"/proc/self/fd/3", "/proc/self/fd/5", "/proc/self/fd/7", "/proc/self/fd/8", "/proc/self/fd/9", "/proc/self/cwd/../../..", "/proc/1/cwd"}},
	{kind: "host files", name: "the engine's socket", try: "get /var/run/docker.sock /_ping", hole: "host files"},
	{kind: "host files", name: "bothyd's socket", try: "get {socket} /v1/version", hole: "host files"},
	{kind: "host files", name: "bothyd's key", try: "read {state}/key", hole: "host files"},
	{kind: "host files", name: "bothyd's database", try: "read {state}/bothy.db", hole: "host files"},
	{kind: "host files", name: "by a file handle", try: "past open_by_handle_at -100 x:08000000010000000000000000000000 0", hole: "admin"},
}

var kernelFileProbes = []probe{
	{kind: "kernel files", name: "core_pattern", try: "rewrite /proc/sys/kernel/core_pattern", hole: "raw"},
	{kind: "kernel files", name: "modprobe", try: "rewrite /proc/sys/kernel/modprobe", hole: "raw"},
	{kind: "kernel files", name: "any file of /proc/sys", try: "sweep /proc/sys", hole: "raw"},
	{kind: "kernel files", name: "sysrq-trigger", try: "open-write /proc/sysrq-trigger", hole: "raw"},
	{kind: "kernel files", name: "uevent_helper", try: "open-write /sys/kernel/uevent_helper", hole: "raw"},
	{kind: "kernel files", name: "any file of /sys", try: "sweep /sys", hole: "raw"},
	{kind: "kernel files", name: "binfmt_misc", try: "open-write /proc/sys/fs/binfmt_misc/register", hole: "raw"},
	{kind: "kernel files", name: "kcore", try: "read /proc/kcore", hole: "raw"},
	{kind: "kernel files", name: "keys", try: "read /proc/keys", hole: "raw"},
	{kind: "kernel files", name: "timer_list", try: "read /proc/timer_list", hole: "raw"},
	{kind: "kernel files", name: "sched_debug", try: "read /proc/sched_debug", hole: "raw"},
	{kind: "kernel files", name: "latency_stats", try: "read /proc/latency_stats", hole: "raw"},
	{kind: "kernel files", name: "kmsg", try: "read /proc/kmsg", hole: "raw"},
	{kind: "kernel files", name: "kpageflags", try: "read /proc/kpageflags", hole: "raw"},
	{kind: "kernel files", name: "kpagecount", try: "read /proc/kpagecount", hole: "raw"},
	{kind: "kernel files", name: "vmallocinfo", try: "read /proc/vmallocinfo", hole: "raw"},
	{kind: "kernel files", name: "slabinfo", try: "read /proc/slabinfo", hole: "raw"},
	{kind: "kernel files", name: "the firmware's tables", try: "read /sys/firmware/acpi/tables/APIC", hole: "raw"},
	{kind: "kernel files", name: "messages of the kernel", try: "call syslog 3 b:4096 4096", hole: "admin"},
	{kind: "cgroups", name: "a cgroup of its own (v1)", try: "make-cgroup /sys/fs/cgroup/pids/bothy-probe", hole: "raw"},
	{kind: "cgroups", name: "a cgroup of its own (v2)", try: "make-cgroup /sys/fs/cgroup/bothy-probe", hole: "raw"},
	{kind: "cgroups", name: "release_agent", try: "open-write /sys/fs/cgroup/pids/release_agent", hole: "host cgroups"},
	{kind: "cgroups", name: "the devices that are allowed", try: "open-write /sys/fs/cgroup/devices/devices.allow", hole: "raw"},
	{kind: "cgroups", name: "the limit of memory (v1)", try: "open-write /sys/fs/cgroup/memory/memory.limit_in_bytes", hole: "raw"},
	{kind: "cgroups", name: "the limit of memory (v2)", try: "open-write /sys/fs/cgroup/memory.max", hole: "raw"},
	{kind: "cgroups", name: "its share of the processors", try: "open-write /sys/fs/cgroup/cpu/cpu.shares", hole: "raw"},
	{kind: "cgroups", name: "another cgroup", try: "open-write /sys/fs/cgroup/pids/cgroup.procs", hole: "raw"},
	{kind: "cgroups", name: "a cgroup file system", try: "call mount s:none s:/tmp s:cgroup 0 s:pids", hole: "admin"},
	{kind: "cgroups", name: "the path of its cgroup on the host", try: "cgroup-path", hole: "host cgroups"},
}

var deviceProbes = []probe{
	{kind: "devices", name: "the host's disk", try: "read {disk}", hole: "raw"},
	{kind: "devices", name: "memory", try: "read /dev/mem", hole: "raw"},
	{kind: "devices", name: "kmsg", try: "read /dev/kmsg", hole: "raw"},
	{kind: "devices", name: "kvm", try: "open-write /dev/kvm", hole: "raw"},
	{kind: "devices", name: "fuse", try: "open-write /dev/fuse", hole: "raw"},
	{kind: "devices", name: "loop devices", try: "open-write /dev/loop-control", hole: "raw"},
	{kind: "devices", name: "userfaultfd", try: "open-write /dev/userfaultfd", hole: "raw"},
	{kind: "devices", name: "vsock", try: "open-write /dev/vsock", hole: "raw"},
	{kind: "devices", name: "the console", try: "open-write /dev/tty0", hole: "raw"},
	{kind: "devices", name: "a device made for kmsg", try: "mknod c 1 11", hole: "admin"},
	{kind: "devices", name: "a device made for memory", try: "mknod c 1 1", hole: "admin"},
	{kind: "devices", name: "a device made for the disk", try: "mknod b {disk major} {disk minor}", hole: "admin"},
	{kind: "devices", name: "a device made for a loop", try: "mknod b 7 0", hole: "admin"},
	{kind: "devices", name: "a device made for tunnels", try: "mknod c 10 200", hole: "admin"},
}

var namespaceProbes = []probe{
	{kind: "namespaces", name: "unshare mount", try: "call unshare 0x20000", hole: "admin"},
	{kind: "namespaces", name: "unshare uts", try: "call unshare 0x4000000", hole: "admin"},
	{kind: "namespaces", name: "unshare ipc", try: "call unshare 0x8000000", hole: "admin"},
	{kind: "namespaces", name: "unshare pid", try: "call unshare 0x20000000", hole: "admin"},
	{kind: "namespaces", name: "unshare net", try: "call unshare 0x40000000", hole: "admin"},
	{kind: "namespaces", name: "unshare cgroup", try: "call unshare 0x2000000", hole: "admin"},
	{kind: "namespaces", name: "unshare time", try: "call unshare 0x80", hole: "admin"},
	{kind: "namespaces", name: "clone user, as a plain user", try: "clone user", hole: "no seccomp", controlUser: "1000"},
	{kind: "namespaces", name: "clone mount", try: "clone mount", hole: "admin"},
	{kind: "namespaces", name: "clone net", try: "clone net", hole: "admin"},
	{kind: "namespaces", name: "clone pid", try: "clone pid", hole: "admin"},
	{kind: "namespaces", name: "clone3, whose flags no filter sees", try: "past clone3 b:8 8", hole: "no seccomp", controlUser: "1000"},
	{kind: "namespaces", name: "setns to a network", try: "setns /proc/self/ns/net", hole: "admin"},
	{kind: "namespaces", name: "setns to mounts", try: "setns /proc/self/ns/mnt", hole: "admin"},
	{kind: "namespaces", name: "setns to another process's network", try: "setns /proc/1/ns/net", hole: "admin"},
	{kind: "namespaces", name: "setns to host name", try: "setns /proc/self/ns/uts", hole: "admin"},
}

var mountProbes = []probe{
	{kind: "mounts", name: "tmpfs", try: "call mount s:none s:/tmp s:tmpfs 0 nil", hole: "admin"},
	{kind: "mounts", name: "proc", try: "call mount s:none s:/tmp s:proc 0 nil", hole: "admin"},
	{kind: "mounts", name: "a bind", try: "call mount s:/ s:/tmp nil 4096 nil", hole: "admin"},
	{kind: "mounts", name: "/proc/sys writable again", try: "call mount nil s:/proc/sys nil 4128 nil", hole: "admin"},
	{kind: "mounts", name: "a mask of /proc away", try: "call umount2 s:/proc/timer_list 2", hole: "admin"},
	{kind: "mounts", name: "fsopen", try: "call fsopen s:tmpfs 0", hole: "admin"},
	{kind: "mounts", name: "fspick", try: "call fspick -100 s:/proc 0", hole: "admin"},
	{kind: "mounts", name: "open_tree", try: "call open_tree -100 s:/ 1", hole: "admin"},
	{kind: "mounts", name: "move_mount", try: "past move_mount -1 s: -1 s: 4", hole: "admin"},
	{kind: "mounts", name: "mount_setattr", try: "past mount_setattr -100 s:/proc 0 x:0200000000000000000000000000000000000000000000000000000000000000 32", hole: "admin"},
	{kind: "mounts", name: "pivot_root", try: "past pivot_root s:/ s:/", hole: "admin"},
	{kind: "mounts", name: "chroot", try: "call chroot s:/", hole: "plain"},
}

var callProbes = []probe{
	{kind: "system calls", name: "bpf", try: "call bpf 0 x:02000000040000000400000001000000 16", hole: "admin"},
	{kind: "system calls", name: "perf_event_open", try: "call perf_event_open x:01000000400000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000 0 -1 -1 0", hole: "admin"},
	{kind: "system calls", name: "add_key", try: "call add_key s:user s:bothy-probe x:01 1 -2", hole: "no seccomp", controlUser: "1000"},
	{kind: "system calls", name: "keyctl", try: "call keyctl 0 -2 1", hole: "no seccomp", controlUser: "1000"},
	{kind: "system calls", name: "request_key", try: "past request_key s:user s:bothy-probe-none nil 0", hole: "no seccomp", controlUser: "1000"},
	{kind: "system calls", name: "io_uring_setup", try: "call io_uring_setup 1 b:128", hole: "no seccomp", controlUser: "1000"},
	{kind: "system calls", name: "userfaultfd", try: "call userfaultfd 1", hole: "no seccomp", controlUser: "1000"},
	{kind: "system calls", name: "init_module", try: "past init_module nil 0 s:", hole: "admin"},
	{kind: "system calls", name: "finit_module", try: "past finit_module -1 s: 0", hole: "admin"},
	{kind: "system calls", name: "delete_module", try: "past delete_module s:bothy_none 0x800", hole: "admin"},
	{kind: "system calls", name: "kexec_load", try: "past kexec_load 0 99 nil 0", hole: "admin"},
	{kind: "system calls", name: "reboot", try: "past reboot 1 2 3 nil", hole: "admin"},
	{kind: "system calls", name: "swapon", try: "past swapon s:/bothy-none 0", hole: "admin"},
	{kind: "system calls", name: "swapoff", try: "past swapoff s:/bothy-none", hole: "admin"},
	{kind: "system calls", name: "acct", try: "past acct s:/bothy-none", hole: "admin"},
	{kind: "system calls", name: "quotactl", try: "past quotactl 0x80000200 s:/bothy-none 0 nil", hole: "no seccomp"},
	{kind: "system calls", name: "fanotify_init", try: "call fanotify_init 4 0", hole: "admin"},
	{kind: "system calls", name: "clock", try: "clock", hole: "admin"},
	{kind: "system calls", name: "host name", try: "hostname", hole: "admin"},
	{kind: "system calls", name: "domain name", try: "call setdomainname s: 0", hole: "admin"},
}

var rightProbes = []probe{
	{kind: "rights", name: "bounding capabilities beyond the five", try: "capabilities Bnd cb", hole: "plain"},
	{kind: "rights", name: "effective capabilities beyond the five", try: "capabilities Eff cb", hole: "plain"},
	{kind: "rights", name: "any capability of dev's", try: "capabilities Eff 0", hole: "plain", users: asDev},
	{kind: "rights", name: "new privileges", try: "status NoNewPrivs 1", hole: "plain"},
	{kind: "rights", name: "no filter of system calls", try: "status Seccomp 2", hole: "no seccomp"},
	{kind: "rights", name: "root by a setuid program", try: "setuid " + setuidCopy, hole: "plain", controlUser: "1000", users: asDev},
	{kind: "rights", name: "lower oom_score_adj", try: "raise oom", hole: "resources"},
	{kind: "rights", name: "higher priority", try: "raise nice", hole: "admin"},
	{kind: "rights", name: "real-time disk access", try: "raise io", hole: "admin"},
	{kind: "rights", name: "memory locked beyond the limit", try: "raise lock", hole: "admin"},
	{kind: "rights", name: "more open files than the limit", try: "raise files 20000", hole: "plain"},
	{kind: "rights", name: "core dumps", try: "raise core 1048576", hole: "plain"},
}

var processProbes = []probe{
	{kind: "processes", name: "sees the host's", try: "see {canary}", hole: "host processes"},
	{kind: "processes", name: "signals the host's", try: "signal {canary}", hole: "host processes"},
	{kind: "processes", name: "attaches to another user's", try: "trace 1", hole: "admin", users: asDev},
	{kind: "processes", name: "reads another user's memory map", try: "read /proc/1/maps", hole: "admin", users: asDev},
	{kind: "processes", name: "reaches another user's root folder", try: "read /proc/1/root/etc/hostname", hole: "admin", users: asDev},
	{kind: "secrets", name: "in a process of the host's", try: "environ {secret canary}", hole: "host processes"},
	{kind: "secrets", name: "of another sandbox, through /proc", try: "find proc /run/bothy/{secret file}", hole: "host processes"},
	{kind: "ipc", name: "the host's shared memory (System V)", try: "shared-memory {segment}", hole: "host ipc"},
	{kind: "ipc", name: "the host's shared memory (POSIX)", try: "read /dev/shm/{shared file}", hole: "host ipc"},
	{kind: "ipc", name: "the host's name", try: "is-host {hostname}", hole: "host name"},
}

var limitProbes = []probe{
	{kind: "limits", name: "more processes than the size", try: "take threads 600", hole: "plain"},
	{kind: "limits", name: "more memory than the size", try: "take mebibytes 1150", hole: "plain"},
	{kind: "limits", name: "more open files than the limit", try: "take files 16500", hole: "plain"},
	{kind: "limits", name: "ptys of the machine", try: "take ptys 1100", hole: "plain"},
	{kind: "limits", name: "waiting signals of all of a uid's sandboxes", try: "take signals 40000", hole: "plain"},
	{kind: "limits", name: "message queues of all of a uid's sandboxes", try: "take messages 9", hole: "plain"},
	{kind: "limits", name: "keys", try: "take keys 10", hole: "no seccomp"},
}

var engineProbes = []probe{
	{kind: "engine's files", name: "/etc/hosts grows", try: "grow /etc/hosts 256", hole: "plain"},
	{kind: "engine's files", name: "/etc/resolv.conf grows", try: "grow /etc/resolv.conf 256", hole: "plain"},
	{kind: "engine's files", name: "/etc/hostname grows", try: "grow /etc/hostname 256", hole: "plain"},
}
