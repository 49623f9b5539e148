package facts

import (
	"strings"
	"testing"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/system"
	"github.com/google/go-cmp/cmp"
)

// TestFacts: what engines say of themselves, as they were seen, and what is made of it.
func TestFacts(t *testing.T) {
	limits := system.Info{MemoryLimit: true, SwapLimit: true, CPUCfsQuota: true, PidsLimit: true, OSType: "linux"}
	for name, c := range map[string]struct {
		version types.Version
		info    func(*system.Info)
		want    Facts
		line    string
	}{
		"20.10, cgroup v1": {
			types.Version{Version: "20.10.24+dfsg1", APIVersion: "1.41"},
			func(i *system.Info) {
				i.CgroupDriver, i.CgroupVersion, i.Driver = "cgroupfs", "1", "overlay2"
				i.DriverStatus = [][2]string{{"Backing Filesystem", "extfs"}, {"Supports d_type", "true"}}
				i.SecurityOptions = []string{"name=seccomp,profile=default"}
			},
			Facts{
				Kind: DockerEngine, Version: "20.10.24+dfsg1", API: "1.41", OS: "linux", Seccomp: true, CgroupVersion: 1, CgroupDriver: "cgroupfs",
				Memory: true, Swap: true, CPU: true, Pids: true, ImageStore: GraphDriverStore, StorageDriver: "overlay2", Firewall: IPTables,
			},
			"Docker 20.10.24+dfsg1, API 1.41, cgroup v1 by cgroupfs, images in overlay2, firewall by iptables",
		},
		"29, cgroup v2, containerd, nftables": {
			types.Version{Version: "29.0.1", APIVersion: "1.52"},
			func(i *system.Info) {
				i.CgroupDriver, i.CgroupVersion, i.Driver = "systemd", "2", "overlayfs"
				i.DriverStatus = [][2]string{{"driver-type", "io.containerd.snapshotter.v1"}}
				i.SecurityOptions = []string{"name=apparmor", "name=seccomp,profile=builtin", "name=userns", "name=cgroupns"}
				i.FirewallBackend = &system.FirewallInfo{Driver: "nftables+firewalld"}
			},
			Facts{
				Kind: DockerEngine, Version: "29.0.1", API: "1.52", OS: "linux", Seccomp: true, UserRemap: true, CgroupVersion: 2, CgroupDriver: "systemd",
				Memory: true, Swap: true, CPU: true, Pids: true, ImageStore: ContainerdStore, StorageDriver: "overlayfs", Firewall: NFTables,
			},
			"Docker 29.0.1, API 1.52, cgroup v2 by systemd, images in containerd overlayfs, firewall by nftables",
		},
		"Podman": {
			types.Version{Version: "5.4.2", APIVersion: "1.41", Components: []types.ComponentVersion{{Name: "Podman Engine", Version: "5.4.2"}, {Name: "Conmon", Version: "2"}}},
			func(i *system.Info) { i.CgroupDriver, i.CgroupVersion, i.Driver = "systemd", "2", "overlay" },
			Facts{
				Kind: PodmanEngine, Version: "5.4.2", API: "1.41", OS: "linux", CgroupVersion: 2, CgroupDriver: "systemd",
				Memory: true, Swap: true, CPU: true, Pids: true, ImageStore: GraphDriverStore, StorageDriver: "overlay", Firewall: IPTables,
			},
			"Podman 5.4.2, API 1.41, cgroup v2 by systemd, images in overlay, firewall by iptables",
		},
	} {
		t.Run(name, func(t *testing.T) {
			info := limits
			c.info(&info)
			got := factsOf(c.version, info)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("capabilities (-want +got):\n%s", diff)
			}
			if got.String() != c.line {
				t.Errorf("got the line %q, want %q", got, c.line)
			}
		})
	}
}

// TestCapabilitiesSayWhatIsMissing: that ports of sandboxes are not reached is in the line that doctor prints.
func TestCapabilitiesSayWhatIsMissing(t *testing.T) {
	c := Facts{Kind: DockerEngine, Firewall: IPTables, Ports: true}
	if got := c.String(); strings.Contains(got, "ports") {
		t.Errorf("nothing is missing, and it says %q", got)
	}
	c.Ports, c.NoPorts = false, "bothyd does not run as root"
	const want = "firewall by iptables, no access to ports of sandboxes: bothyd does not run as root"
	if got := c.String(); !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q at its end", got, want)
	}
}

// TestUnable: an engine that would leave a limit out without a word, that cannot isolate, or that is none of Docker's, is refused by
// name before anything is made.
func TestUnable(t *testing.T) {
	whole := Facts{
		Kind: DockerEngine, Version: "28.5.2", API: "1.51", OS: "linux", CgroupVersion: 2, CgroupDriver: "systemd",
		Memory: true, Swap: true, CPU: true, Pids: true,
	}
	for name, c := range map[string]struct {
		change func(*Facts)
		noSwap bool
		want   string
	}{
		"whole": {change: func(*Facts) {}},
		"20.10": {change: func(c *Facts) {
			c.Version, c.API, c.CgroupVersion, c.CgroupDriver = "20.10.24", "1.41", 1, "cgroupfs"
		}},
		"no memory": {change: func(c *Facts) { c.Memory = false }, want: "the Docker engine cannot limit memory of sandboxes: its control groups (cgroup v2) lack the controllers"},
		"no CPU and no processes": {
			change: func(c *Facts) { c.CPU, c.Pids, c.CgroupVersion = false, false, 1 },
			want:   "the Docker engine cannot limit CPU, processes of sandboxes: its control groups (cgroup v1) lack the controllers",
		},
		"no control groups": {
			change: func(c *Facts) {
				c.Memory, c.CPU, c.Pids, c.Swap, c.CgroupDriver = false, false, false, false, "none"
			},
			want: "the Docker engine cannot limit memory, CPU, processes, swap of sandboxes: it uses no control groups",
		},
		"swap is not counted": {
			change: func(c *Facts) { c.Swap = false },
			want: "the Docker engine cannot limit swap of sandboxes: its kernel does not count it. " +
				"Boot the kernel with swapaccount=1, or turn swap off (swapoff -a)",
		},
		"swap is not counted, and there is none": {change: func(c *Facts) { c.Swap = false }, noSwap: true},
		"rootless, and cannot limit anything": {
			change: func(c *Facts) { c.Rootless, c.Memory, c.CgroupDriver = true, false, "none" },
			want: "the Docker engine 28.5.2 is rootless: it makes networks where bothy cannot isolate them. " +
				"Use an engine that runs as root, and set engine.host to its socket",
		},
		"Podman": {
			change: func(c *Facts) { c.Kind, c.Version, c.Rootless = PodmanEngine, "5.4.2", true },
			want:   "Podman 5.4.2 answers as the engine: bothy needs Docker's own (docker.io or docker-ce). Set engine.host to its socket",
		},
		"Windows":     {change: func(c *Facts) { c.OS = "windows" }, want: "the Docker engine 28.5.2 runs containers of windows: bothy needs an engine for Linux"},
		"19.03":       {change: func(c *Facts) { c.Version, c.API = "19.03.15", "1.40" }, want: "the Docker engine 19.03.15 is too old: bothy needs Docker 20.10 (API 1.41) or newer"},
		"API of v1.9": {change: func(c *Facts) { c.Version, c.API = "1.9.1", "1.9" }, want: "the Docker engine 1.9.1 is too old: bothy needs Docker 20.10 (API 1.41) or newer"},
		"API 1.100":   {change: func(c *Facts) { c.API = "1.100" }},
	} {
		can := whole
		c.change(&can)
		if got := can.unable(!c.noSwap); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
