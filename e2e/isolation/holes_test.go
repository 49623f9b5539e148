//go:build linux

package isolation_test

// The holes of the controls: each is open for what its probes look for, and for little else.
var holes = []hole{
	{"plain", nil}, // the engine's defaults, which are more than a sandbox gets, on a network without rules of bothy's
	{"host network", []string{"--network", "host"}},
	{"neighbour", []string{"--network", "{neighbour network}"}},
	{"names", []string{"--network", "{control network}", "--add-host", "host.docker.internal:host-gateway"}},
	{"network admin", []string{"--network", "{control network}", "--cap-add", "NET_ADMIN", "--device", "/dev/net/tun"}},
	{"no seccomp", []string{"--security-opt", "seccomp=unconfined"}},
	{"admin", []string{
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE",
		"--cap-add", "SYS_CHROOT", "--cap-add", "SYSLOG", "--cap-add", "SYS_TIME", "--cap-add", "SYS_BOOT", "--cap-add", "SYS_MODULE",
		"--cap-add", "SYS_PACCT", "--cap-add", "DAC_READ_SEARCH", "--cap-add", "SYS_NICE", "--cap-add", "IPC_LOCK", "--cap-add", "MKNOD",
		"--device-cgroup-rule", "a *:* rwm",
	}},
	{"raw", []string{ // all of /proc and /sys, and the host's devices
		"--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined", "--security-opt", "systempaths=unconfined",
		"--cap-add", "SYS_ADMIN", "--cap-add", "SYS_RAWIO", "--cap-add", "SYSLOG", "--cap-add", "SYS_TTY_CONFIG", "--cap-add", "DAC_READ_SEARCH",
		"-v", "/sys:/sys:rw", "-v", "/dev:/dev", "--device-cgroup-rule", "a *:* rwm",
	}},
	{"resources", []string{"--cap-add", "SYS_RESOURCE"}},
	{"host processes", []string{"--pid", "host", "--cap-add", "SYS_PTRACE", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"}},
	{"host ipc", []string{"--ipc", "host"}},
	{"host name", []string{"--uts", "host"}},
	{"host cgroups", []string{"--cgroupns", "host", "-v", "/sys/fs/cgroup:/sys/fs/cgroup:rw"}},
	{"host files", []string{
		"-v", "/:/host:ro", "-v", "/var/run/docker.sock:/var/run/docker.sock", "-v", "{state}:{state}:ro", "-v", "{socket folder}:{socket folder}",
	}},
}
