package broker_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/broker"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
)

// The engine makes something else than it was asked for; nobody may use that.
func TestWhatWasMadeIsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		attribute string
		made      func(*container.InspectResponse)
	}{
		"privileged":   {"privileged", func(c *container.InspectResponse) { c.HostConfig.Privileged = true }},
		"capabilities": {"capabilities.add", func(c *container.InspectResponse) { c.HostConfig.CapAdd = []string{"CAP_SYS_ADMIN"} }},
		"none dropped": {"capabilities.drop", func(c *container.InspectResponse) { c.HostConfig.CapDrop = nil }},
		"seccomp":      {"security_opts", func(c *container.InspectResponse) { c.HostConfig.SecurityOpt = nil }},
		"network":      {"network_mode", func(c *container.InspectResponse) { c.HostConfig.NetworkMode = "bridge" }},
		"host network": {"network_mode", func(c *container.InspectResponse) { c.HostConfig.NetworkMode = "host" }},
		"another's network": {"network_mode", func(c *container.InspectResponse) {
			c.HostConfig.NetworkMode = container.NetworkMode("container:" + idOf(2))
		}},
		"ipc":            {"ipc_mode", func(c *container.InspectResponse) { c.HostConfig.IpcMode = "host" }},
		"pid":            {"pid_mode", func(c *container.InspectResponse) { c.HostConfig.PidMode = "host" }},
		"user namespace": {"userns_mode", func(c *container.InspectResponse) { c.HostConfig.UsernsMode = "host" }},
		"memory":         {"memory", func(c *container.InspectResponse) { c.HostConfig.Memory, c.HostConfig.MemorySwap = 0, 0 }},
		"swap":           {"memory_swap", func(c *container.InspectResponse) { c.HostConfig.MemorySwap = -1 }},
		"processes":      {"pids_limit", func(c *container.InspectResponse) { c.HostConfig.PidsLimit = nil }},
		"cpu":            {"cpu_quota", func(c *container.InspectResponse) { c.HostConfig.CPUQuota = 0 }},
		"ulimits":        {"ulimit", func(c *container.InspectResponse) { c.HostConfig.Ulimits = nil }},
		"image":          {"image", func(c *container.InspectResponse) { c.Image = "sha256:" + strings.Repeat("2", 64) }},
		"labels":         {"labels", func(c *container.InspectResponse) { c.Config.Labels = key.Labels(owner(theirs)) }},
		"no tmpfs":       {"tmpfs", func(c *container.InspectResponse) { c.HostConfig.Tmpfs = nil }},
		"an open tmpfs": {"tmpfs", func(c *container.InspectResponse) {
			c.HostConfig.Tmpfs = map[string]string{provisioner.SecretsDir: "rw,nosuid,nodev,noexec,mode=0777"}
		}},
		"a bind": {"mounts", func(c *container.InspectResponse) {
			c.Mounts = []container.MountPoint{{Type: mount.TypeBind, Source: "/", Destination: "/host"}}
		}},
		"the engine's file, writable": {"mounts", func(c *container.InspectResponse) { c.Mounts[0].RW = true }},
		"another file of the engine":  {"mounts", func(c *container.InspectResponse) { c.Mounts[0].Source = "/engine/other" }},
		"an image's volume": {"mounts", func(c *container.InspectResponse) {
			c.Mounts = []container.MountPoint{{Type: mount.TypeVolume, Name: strings.Repeat("a", 64), Destination: "/data"}}
		}},
		"pages of the machine": {"security_opts", func(c *container.InspectResponse) {
			c.HostConfig.MaskedPaths = slices.DeleteFunc(slices.Clone(c.HostConfig.MaskedPaths), func(p string) bool { return p == "/proc/kpageflags" })
		}},
		"a device": {"devices", func(c *container.InspectResponse) { c.HostConfig.Devices = []container.DeviceMapping{{}} }},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.engine.made = func(made *container.InspectResponse) { inspected(made); c.made(made) }
			id := b.made()
			err := b.door.Judge(t.Context(), id)
			if !provisioner.Is(err, provisioner.Permanent) || !strings.Contains(err.Error(), "docker_container."+c.attribute+":") {
				t.Errorf("Judge gave %v, want class permanent and docker_container.%s", err, c.attribute)
			}
		})
	}
}

// inspected is what an engine makes of a create by itself: names become ids.
func inspected(c *container.InspectResponse) {
	c.HostConfig.NetworkMode = container.NetworkMode("container:" + idOf(1))
}

func TestWhatWasMadeRight(t *testing.T) {
	b := setup(t)
	b.engine.made = inspected
	id := b.made()
	if err := b.door.Judge(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// Promise: the sandbox is one that was made through this door, whatever id the blueprint says.
func TestPromiseAnOutputIsAClaim(t *testing.T) {
	b := setup(t)
	b.engine.made = inspected
	id := b.made()
	b.engine.put(idOf(4), "mine as well", b.grant.Spec.Labels)
	for _, claimed := range []string{"", id[:12], idOf(1), idOf(2), idOf(4), "bothy-inst-" + ours} {
		if err := b.door.Judge(t.Context(), claimed); !provisioner.Is(err, provisioner.Permanent) || !strings.Contains(err.Error(), `output "bothy"`) {
			t.Errorf("an output of %q gave %v", claimed, err)
		}
	}
}

// Promise: what the kernel holds a sandbox to is what it was made with, whatever the engine says. It is the engine's fault: the
// blueprint is not held for it.
func TestPromiseLimitsAreTheKernels(t *testing.T) {
	whole := cgroup.Limits{Memory: 256 << 20, Pids: 128, CPUs: 1}
	for name, c := range map[string]struct {
		change func(*cgroup.Limits)
		want   string
	}{
		"as asked":       {func(*cgroup.Limits) {}, ""},
		"less":           {func(l *cgroup.Limits) { l.Memory /= 2 }, ""},
		"no memory":      {func(l *cgroup.Limits) { l.Memory = -1 }, "bytes of memory, the kernel holds it to none"},
		"swap forgotten": {func(l *cgroup.Limits) { l.Swap = -1 }, "0 bytes of swap, the kernel holds it to none"},
		"more processes": {func(l *cgroup.Limits) { l.Pids = 4096 }, "128 processes, the kernel holds it to 4096"},
		"no CPU":         {func(l *cgroup.Limits) { l.CPUs = -1 }, "a core, the kernel holds it to"},
	} {
		t.Run(name, func(t *testing.T) {
			limits := whole
			c.change(&limits)
			b := setupWith(t, func(cfg *broker.Config) {
				cfg.Local, cfg.Kernel = true, func(int) (cgroup.Limits, error) { return limits, nil }
			})
			b.engine.made = func(made *container.InspectResponse) {
				inspected(made)
				made.State.Running, made.State.Pid = true, 1<<30 // no such process
			}
			err := b.door.Judge(t.Context(), b.made())
			if c.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !provisioner.Is(err, provisioner.Transient) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the judge says %v, want %q", err, c.want)
			}
		})
	}
}
