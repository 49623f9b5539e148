package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// machine writes a machine's files: {at} is its root. It gives the kernel that they are of.
func machine(t *testing.T, files map[string]string) Kernel {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "{at}", dir)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Kernel{Proc: filepath.Join(dir, "proc")}
}

const (
	noSwap  = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
	hasSwap = noSwap + "/swap\tfile\t\t2097148\t\t0\t\t-2\n"

	mountsV2 = "25 30 0:23 / {at}/sys rw,nosuid - sysfs sysfs rw\n" +
		"31 25 0:27 / {at}/sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
	mountsV1 = "31 25 0:27 / {at}/sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n" +
		"32 31 0:28 / {at}/sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n" +
		"33 31 0:29 / {at}/sys/fs/cgroup/systemd rw,nosuid - cgroup cgroup rw,xattr,name=systemd\n" +
		"34 31 0:30 / {at}/sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n" +
		"35 31 0:31 / {at}/sys/fs/cgroup/memory rw,nosuid - cgroup cgroup rw,memory\n" +
		"36 31 0:32 / {at}/sys/fs/cgroup/pids rw,nosuid - cgroup cgroup rw,pids\n"
	groupsV1 = "12:pids:/bothy-i/c1\n11:memory:/bothy-i/c1\n4:cpu,cpuacct:/bothy-i/c1\n1:name=systemd:/bothy-i/c1\n0::/bothy-i/c1\n"
	scope    = "/bothy_i.slice/docker-c1.scope"
	atV2     = "sys/fs/cgroup" + scope + "/"
	atV1     = "sys/fs/cgroup/"
)

// systemd is a machine with cgroup v2, as systemd and runc leave it, with a container's files.
func systemd(files map[string]string) map[string]string {
	all := map[string]string{"proc/self/mountinfo": mountsV2, "proc/7/cgroup": "0::" + scope + "\n", "proc/swaps": hasSwap}
	for name, text := range files {
		all[atV2+name] = text
	}
	return all
}

// cgroupfs is a machine with cgroup v1 and, as is usual, an empty v2 beside it.
func cgroupfs(memory map[string]string, cpu string) map[string]string {
	all := map[string]string{
		"proc/self/mountinfo": mountsV1, "proc/7/cgroup": groupsV1, "proc/swaps": hasSwap,
		atV1 + "pids/bothy-i/c1/pids.max":                     "512\n",
		atV1 + "cpu,cpuacct/bothy-i/c1/cpu.cfs_quota_us":      cpu + "\n",
		atV1 + "cpu,cpuacct/bothy-i/c1/cpu.cfs_period_us":     "100000\n",
		atV1 + "unified/bothy-i/c1/cgroup.procs":              "",
		atV1 + "memory/bothy-i/c1/memory.kmem.tcp.failcnt":    "0\n",
		atV1 + "memory/bothy-i/c1/memory.soft_limit_in_bytes": "9223372036854771712\n",
	}
	for name, text := range memory {
		all[atV1+"memory/bothy-i/c1/"+name] = text
	}
	return all
}

// TestKernelLimitsOfEitherVersion: what the kernel holds a sandbox to is found in the control groups of its first process, where
// the machine has either version; what nobody keeps is no limit.
func TestKernelLimitsOfEitherVersion(t *testing.T) {
	v2 := map[string]string{"memory.max": "1073741824\n", "memory.swap.max": "0\n", "pids.max": "512\n", "cpu.max": "150000 100000\n"}
	with := func(files map[string]string, change ...string) map[string]string {
		all := map[string]string{}
		for name, text := range files {
			all[name] = text
		}
		for i := 0; i < len(change); i += 2 {
			all[change[i]] = change[i+1]
			if change[i+1] == "" {
				delete(all, change[i])
			}
		}
		return all
	}
	v1 := map[string]string{"memory.limit_in_bytes": "1073741824\n", "memory.memsw.limit_in_bytes": "1073741824\n"}
	for name, c := range map[string]struct {
		files map[string]string
		want  Limits
	}{
		"v2, as asked":                  {systemd(v2), Limits{Memory: 1 << 30, Swap: 0, Pids: 512, CPUs: 1.5}},
		"v2, swap forgotten by systemd": {systemd(with(v2, "memory.swap.max", "max\n")), Limits{Memory: 1 << 30, Swap: -1, Pids: 512, CPUs: 1.5}},
		"v2, some swap":                 {systemd(with(v2, "memory.swap.max", "4096\n")), Limits{Memory: 1 << 30, Swap: 4096, Pids: 512, CPUs: 1.5}},
		"v2, nothing bounded": {
			systemd(map[string]string{"memory.max": "max\n", "memory.swap.max": "max\n", "pids.max": "max\n", "cpu.max": "max 100000\n"}),
			Limits{Memory: -1, Swap: -1, Pids: -1, CPUs: -1},
		},
		"v2, swap neither counted nor there":  {with(systemd(with(v2, "memory.swap.max", "")), "proc/swaps", noSwap), Limits{Memory: 1 << 30, Swap: 0, Pids: 512, CPUs: 1.5}},
		"v2, swap not counted, and there":     {systemd(with(v2, "memory.swap.max", "")), Limits{Memory: 1 << 30, Swap: -1, Pids: 512, CPUs: 1.5}},
		"v1, as asked":                        {cgroupfs(v1, "50000"), Limits{Memory: 1 << 30, Swap: 0, Pids: 512, CPUs: 0.5}},
		"v1, twice the memory with swap":      {cgroupfs(with(v1, "memory.memsw.limit_in_bytes", "2147483648\n"), "50000"), Limits{Memory: 1 << 30, Swap: 1 << 30, Pids: 512, CPUs: 0.5}},
		"v1, no bound on CPU, nor on swap":    {cgroupfs(with(v1, "memory.memsw.limit_in_bytes", "9223372036854771712\n"), "-1"), Limits{Memory: 1 << 30, Swap: -1, Pids: 512, CPUs: -1}},
		"v1, swap not counted, and there":     {cgroupfs(with(v1, "memory.memsw.limit_in_bytes", ""), "50000"), Limits{Memory: 1 << 30, Swap: -1, Pids: 512, CPUs: 0.5}},
		"v1, swap neither counted, nor there": {with(cgroupfs(with(v1, "memory.memsw.limit_in_bytes", ""), "50000"), "proc/swaps", noSwap), Limits{Memory: 1 << 30, Swap: 0, Pids: 512, CPUs: 0.5}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := machine(t, c.files).Limits(7)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("limits (-want +got):\n%s", diff)
			}
		})
	}
}

// TestKernelLimitsUnreadable: what cannot be read, or makes no sense, is an error and no limit.
func TestKernelLimitsUnreadable(t *testing.T) {
	noneForMemory, _, ok := strings.Cut(mountsV1, "32 ")
	if !ok {
		t.Fatal("line 32 is gone")
	}
	whole := map[string]string{"memory.max": "1024\n", "memory.swap.max": "0\n", "pids.max": "5\n", "cpu.max": "1 2\n"}
	for name, change := range map[string][2]string{
		"gone":                   {"proc/7/cgroup", "0::/elsewhere\n"},
		"in no group":            {"proc/7/cgroup", "\n"},
		"nothing mounted":        {"proc/self/mountinfo", "\n"},
		"no controller for it":   {"proc/self/mountinfo", noneForMemory},
		"memory in words":        {atV2 + "memory.max", "much\n"},
		"processes in words":     {atV2 + "pids.max", ""},
		"a quota of one word":    {atV2 + "cpu.max", "100000\n"},
		"a period of zero":       {atV2 + "cpu.max", "100000 0\n"},
		"a quota that is a word": {atV2 + "cpu.max", "most 100000\n"},
	} {
		t.Run(name, func(t *testing.T) {
			files := systemd(whole)
			files[change[0]] = change[1]
			if got, err := machine(t, files).Limits(7); err == nil {
				t.Errorf("got %+v, want an error", got)
			}
		})
	}
}
