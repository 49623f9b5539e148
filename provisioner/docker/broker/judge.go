package broker

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner"
)

// Judge implements provisioner.Door. The engine may have made something else than it was asked for: an older one leaves out
// what it does not know, a newer one reads it otherwise. So the container is read back before anybody may use it.
func (d *door) Judge(ctx context.Context, sandbox string) error {
	const op = "check the sandbox"
	if err := d.starts.begun(ctx); err != nil {
		return &provisioner.Error{Class: provisioner.Transient, Op: op, Sentence: message(err), Err: err}
	}
	made := d.Made()
	judge := &judge{&d.b.cfg, d.scope, d.extras}
	if !slices.ContainsFunc(made, func(o provisioner.Object) bool { return o.Kind == kindContainer && o.ID == sandbox }) {
		return judged(op, &provisioner.Refusal{
			Attribute: `output "bothy"`, Found: shorten(sandbox), Want: "the id of a docker_container that this blueprint made just now",
		})
	}
	for _, o := range made {
		if o.Kind != kindContainer {
			continue
		}
		cctx, cancel := context.WithTimeout(ctx, callTimeout)
		c, err := d.b.cfg.Engine.ContainerInspect(cctx, o.ID)
		cancel()
		if statusOf(err) == 404 && o.ID != sandbox {
			continue // it was removed again
		}
		if err != nil {
			return &provisioner.Error{Class: provisioner.Transient, Op: op, Sentence: message(err), Err: err}
		}
		network, err := d.scope.joined(ctx)
		if err != nil {
			return &provisioner.Error{Class: provisioner.Transient, Op: op, Sentence: message(err), Err: err}
		}
		if refused := judge.compare(&c, network, o.ID == sandbox); refused != nil {
			return judged(op, refused)
		}
		if err := judge.held(&c); err != nil {
			return &provisioner.Error{Class: provisioner.Transient, Op: op, Sentence: err.Error(), Err: err}
		}
	}
	return nil
}

func judged(op string, r *provisioner.Refusal) error {
	return &provisioner.Error{Class: provisioner.Permanent, Op: op, Sentence: "the sandbox is not what it must be: " + r.Error(), Err: r}
}

// judge compares containers with what they must be.
type judge struct {
	cfg    *Config
	scope  *scope
	extras *extras
}

// compare looks at one container as the engine tells of it, and as the kernel does where its processes can be seen.
func (j *judge) compare(c *container.InspectResponse, network container.NetworkMode, sandbox bool) *provisioner.Refusal {
	if c.ContainerJSONBase == nil || c.HostConfig == nil || c.Config == nil || c.State == nil {
		return refusal("id", c.Name, "a container that the engine tells all about")
	}
	h, spec := c.HostConfig, j.scope.spec
	is := func(attribute string, got, want any) *provisioner.Refusal {
		if fmt.Sprint(got) == fmt.Sprint(want) {
			return nil
		}
		return refusal(attribute, got, fmt.Sprint(want))
	}
	if spec.Blueprint.Trusted {
		return j.compareTrusted(c)
	}
	checks := []*provisioner.Refusal{
		is("privileged", h.Privileged, false), is("ipc_mode", h.IpcMode, "private"), is("cgroupns_mode", h.CgroupnsMode, "private"),
		is("pid_mode", h.PidMode, ""), is("uts_mode", h.UTSMode, ""), is("userns_mode", h.UsernsMode, ""),
		is("capabilities.drop", h.CapDrop, []string{"ALL"}), is("devices", len(h.Devices)+len(h.DeviceRequests), 0),
		is("ports", len(h.PortBindings), 0), is("publish_all_ports", h.PublishAllPorts, false), is("memory_swap", h.MemorySwap, h.Memory),
		is("image", c.Image, spec.Sandbox.Image), is("labels", j.scope.owns(c.Config.Labels), true),
	}
	asked := &container.CreateRequest{Config: c.Config, HostConfig: h}
	scratch := &container.CreateRequest{Config: &container.Config{}, HostConfig: &container.HostConfig{NetworkMode: network}}
	for _, choice := range []choice{limits, capabilities, hardening, memoryFiles, withoutNetwork} {
		checks = append(checks, choice(spec, c.Name, asked, scratch))
	}
	if pids := pidsOf(spec, h.Memory); h.PidsLimit == nil || *h.PidsLimit != pids {
		checks = append(checks, refusal("pids_limit", fmt.Sprint(pointed(h.PidsLimit)), strconv.FormatInt(pids, 10)))
	}
	checks = append(checks, is("network_mode", h.NetworkMode, scratch.HostConfig.NetworkMode), masked(h))
	added := j.extras.to(strings.TrimPrefix(c.Name, "/"))
	for _, m := range c.Mounts {
		own := m.Type == mount.TypeVolume && strings.HasPrefix(m.Name, spec.Owner.ResourceName()+"-") && mountable(m.Destination)
		if m.Type != mount.TypeTmpfs && !own && !added.has(m) {
			checks = append(checks, refusal("mounts", string(m.Type)+" at "+m.Destination, "volumes of this environment only; an image that declares volumes of its own cannot be used"))
		}
	}
	if sandbox && h.Tmpfs[provisioner.SecretsDir] == "" {
		checks = append(checks, refusal("tmpfs", "none at "+provisioner.SecretsDir, `"`+provisioner.SecretsDir+`" = "rw,nosuid,nodev,noexec,size=1m,mode=0700,uid=1000,gid=1000"`))
	}
	for _, refused := range checks {
		if refused != nil {
			return refused
		}
	}
	if j.cfg.Local && c.State.Running && c.State.Pid > 0 {
		return seen(c.State.Pid, spec, sandbox)
	}
	return nil
}

// held compares a container's limits with what the kernel holds it to. An engine and its runtime may lose one on the way: runc 1.1
// with systemd forgets "no swap" at the next update. It is no fault of the blueprint's.
func (j *judge) held(c *container.InspectResponse) error {
	if j.cfg.Kernel == nil || !j.cfg.Local || !c.State.Running || c.State.Pid <= 0 {
		return nil
	}
	got, err := j.cfg.Kernel(c.State.Pid)
	if err != nil {
		// It ended, which is found out elsewhere, or this process sees other control groups than the engine's.
		j.cfg.Logger.Warn("the limits that the kernel holds a sandbox to cannot be read", "environment", j.scope.spec.Owner.Environment, "cause", err)
		return nil
	}
	h := c.HostConfig
	cpus := float64(h.CPUQuota) / float64(max(h.CPUPeriod, 1))
	for _, limit := range []struct {
		name      string
		got, want int64
	}{
		{"bytes of memory", got.Memory, h.Memory}, {"bytes of swap", got.Swap, 0}, {"processes", got.Pids, pointed(h.PidsLimit)},
		{"thousandths of a core", int64(got.CPUs * 1000), int64(cpus * 1000)},
	} {
		if limit.got > limit.want || limit.got < 0 {
			return fmt.Errorf("the engine was asked to hold the sandbox to %d %s, the kernel holds it to %s", limit.want, limit.name, bound(limit.got))
		}
	}
	return nil
}

func bound(n int64) string {
	if n < 0 {
		return "none"
	}
	return strconv.FormatInt(n, 10)
}

// compareTrusted looks at what holds for a blueprint that the platform trusts, too: whose it is, and its limits.
func (j *judge) compareTrusted(c *container.InspectResponse) *provisioner.Refusal {
	spec := j.scope.spec
	switch h := c.HostConfig; {
	case !j.scope.owns(c.Config.Labels):
		return refusal("labels", "others", "exactly var.bothy.labels")
	case c.Image != spec.Sandbox.Image:
		return refusal("image", c.Image, "var.bothy.image")
	case pointed(h.PidsLimit) != pidsOf(spec, h.Memory):
		return refusal("pids_limit", pointed(h.PidsLimit), strconv.FormatInt(pidsOf(spec, h.Memory), 10))
	}
	asked := &container.CreateRequest{Config: c.Config, HostConfig: c.HostConfig}
	return limits(spec, c.Name, asked, &container.CreateRequest{Config: &container.Config{}, HostConfig: &container.HostConfig{}})
}

func pointed(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// seen compares with what the kernel says of the sandbox's first process. A process that has gone meanwhile says nothing: that
// it ended is found out elsewhere.
func seen(pid int, spec *provisioner.Spec, sandbox bool) *provisioner.Refusal {
	proc := "/proc/" + strconv.Itoa(pid)
	status, err := os.ReadFile(proc + "/status")
	if err != nil {
		return nil
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	var may uint64
	if spec.Sandbox.Root {
		may = rootMask
	}
	bounding, err := strconv.ParseUint(fields["CapBnd"], 16, 64)
	switch {
	case err != nil || bounding&^may != 0:
		return refusal("capabilities", "a bounding set of "+fields["CapBnd"], fmt.Sprintf("at most %016x", may))
	case fields["NoNewPrivs"] != "1":
		return refusal("security_opts", "NoNewPrivs "+fields["NoNewPrivs"], "no-new-privileges")
	case fields["Seccomp"] != "2":
		return refusal("security_opts", "Seccomp "+fields["Seccomp"], "a seccomp profile")
	}
	mounts, err := os.ReadFile(proc + "/mountinfo")
	if err != nil || !sandbox {
		return nil
	}
	return secretsMount(mounts)
}

// within reports whether a path lies below a folder.
func within(at, folder string) bool { return strings.HasPrefix(at, path.Clean(folder)+"/") }

// rootMask are the rootCapabilities as the kernel numbers them.
const rootMask = 1<<0 | 1<<1 | 1<<3 | 1<<6 | 1<<7

// secretsMount looks for the mount that a path into the folder for secrets leads to: the last one at it. A link in the image, by
// which something else is mounted there, is seen here as well.
func secretsMount(mountinfo []byte) *provisioner.Refusal {
	var kind, options string
	for lines := bufio.NewScanner(bytes.NewReader(mountinfo)); lines.Scan(); {
		// 36 35 98:0 /root /at options optional... - type source super
		words := strings.Fields(lines.Text())
		dash := slices.Index(words, "-")
		if len(words) < 6 || dash < 0 || dash+3 >= len(words) {
			continue
		}
		switch at := words[4]; {
		case at == provisioner.SecretsDir:
			kind, options = words[dash+1], words[5]+","+words[dash+3]
		case strings.HasPrefix(at, provisioner.SecretsDir+"/"), at != "/" && within(provisioner.SecretsDir, at):
			return refusal("mounts", "a mount at "+at, "nothing above or below "+provisioner.SecretsDir)
		}
	}
	got := strings.Split(options, ",")
	if kind != "tmpfs" || !slices.Contains(got, "mode=700") || !slices.Contains(got, "nosuid") || !slices.Contains(got, "nodev") {
		return refusal("tmpfs", kind+" at "+provisioner.SecretsDir+" with "+options, "a tmpfs of mode 0700, nosuid and nodev")
	}
	return nil
}
