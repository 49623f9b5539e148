package facts

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/system"
	"github.com/docker/docker/api/types/versions"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
)

// capableFor is how long an engine that can do all is not asked again. One that is replaced is another for that long.
const capableFor = time.Minute

// oldestAPI is the API of Docker Engine 20.10, the first with a control group namespace for each container.
const oldestAPI = "1.41"

// EngineKind is which program answers as the engine.
type EngineKind string

// Kinds of engine.
const (
	DockerEngine EngineKind = "Docker"
	PodmanEngine EngineKind = "Podman"
)

// ImageStore is what keeps an engine's images.
type ImageStore string

// Image stores.
const (
	GraphDriverStore ImageStore = "graph driver"
	ContainerdStore  ImageStore = "containerd"
)

// FirewallBackend is what an engine sets its rules with.
type FirewallBackend string

// Firewall backends. Engines before Docker 28 do not say: they know iptables alone.
const (
	IPTables FirewallBackend = "iptables"
	NFTables FirewallBackend = "nftables"
)

// Facts are what an engine is and can do, as it says itself, and what this process can do beside it.
type Facts struct {
	Kind    EngineKind
	Version string // the engine's own, such as "28.5.2"
	API     string // the newest API that it speaks, such as "1.51"
	OS      string // what its containers are of: "linux", "windows"
	// Rootless says that the engine runs as an ordinary user, UserRemap that root of a container is another user of the machine.
	Rootless, UserRemap bool
	// Seccomp says that it filters system calls.
	Seccomp bool
	// CgroupVersion is 1 or 2, CgroupDriver "cgroupfs", "systemd" or "none".
	CgroupVersion int
	CgroupDriver  string
	// Memory, Swap, CPU and Pids say which limits of a container the engine can set.
	Memory, Swap, CPU, Pids bool
	ImageStore              ImageStore
	StorageDriver           string // of the image store, such as "overlay2"
	Firewall                FirewallBackend
	// Ports says that this process reaches TCP ports inside sandboxes (see Runtime.CanDial); NoPorts says why it does not.
	Ports   bool
	NoPorts string
}

// String says it in one line.
func (c Facts) String() string {
	images := c.StorageDriver
	if c.ImageStore == ContainerdStore {
		images = "containerd " + images
	}
	line := fmt.Sprintf("%s %s, API %s, cgroup v%d by %s, images in %s, firewall by %s",
		c.Kind, c.Version, c.API, c.CgroupVersion, c.CgroupDriver, images, c.Firewall)
	if c.NoPorts != "" {
		line += ", no access to ports of sandboxes: " + c.NoPorts
	}
	return line
}

// factsOf reads an engine's own words on itself.
func factsOf(version types.Version, info system.Info) Facts {
	c := Facts{
		Kind: DockerEngine, Version: version.Version, API: version.APIVersion, OS: info.OSType,
		CgroupDriver: info.CgroupDriver, CgroupVersion: 1, // the API of 20.10 is the first that has another
		Memory: info.MemoryLimit, Swap: info.SwapLimit, CPU: info.CPUCfsQuota, Pids: info.PidsLimit,
		ImageStore: GraphDriverStore, StorageDriver: info.Driver, Firewall: IPTables,
	}
	for _, part := range version.Components {
		if strings.Contains(strings.ToLower(part.Name), "podman") {
			c.Kind, c.Version = PodmanEngine, part.Version
		}
	}
	for _, option := range info.SecurityOptions {
		name, _, _ := strings.Cut(strings.TrimPrefix(option, "name="), ",")
		switch name {
		case "rootless":
			c.Rootless = true
		case "userns":
			c.UserRemap = true
		case "seccomp":
			c.Seccomp = true
		}
	}
	if n, err := strconv.Atoi(info.CgroupVersion); err == nil {
		c.CgroupVersion = n
	}
	if slices.ContainsFunc(info.DriverStatus, func(status [2]string) bool {
		return status[0] == "driver-type" && strings.HasPrefix(status[1], "io.containerd.")
	}) {
		c.ImageStore = ContainerdStore
	}
	if info.FirewallBackend != nil {
		backend, _, _ := strings.Cut(info.FirewallBackend.Driver, "+") // "iptables+firewalld"
		c.Firewall = FirewallBackend(backend)
	}
	return c
}

// unable says in one sentence why sandboxes cannot be as they are promised with this engine, which would leave out what it
// cannot do without a word; "" when they can. mightSwap says that its machine has swap, or may have some.
func (c Facts) unable(mightSwap bool) string {
	switch {
	case c.Kind != DockerEngine:
		return fmt.Sprintf("%s %s answers as the engine: bothy needs Docker's own (docker.io or docker-ce). Set engine.host to its socket", c.Kind, c.Version)
	case c.Rootless:
		return fmt.Sprintf("the Docker engine %s is rootless: it makes networks where bothy cannot isolate them. "+
			"Use an engine that runs as root, and set engine.host to its socket", c.Version)
	case c.OS != "" && c.OS != "linux":
		return fmt.Sprintf("the Docker engine %s runs containers of %s: bothy needs an engine for Linux", c.Version, c.OS)
	case c.API == "" || versions.LessThan(c.API, oldestAPI):
		return fmt.Sprintf("the Docker engine %s is too old: bothy needs Docker 20.10 (API %s) or newer", c.Version, oldestAPI)
	}
	var cannot []string
	for _, limit := range []struct {
		name string
		has  bool
	}{{"memory", c.Memory}, {"CPU", c.CPU}, {"processes", c.Pids}, {"swap", c.Swap || !mightSwap}} {
		if !limit.has {
			cannot = append(cannot, limit.name)
		}
	}
	switch {
	case len(cannot) == 0:
		return ""
	case slices.Equal(cannot, []string{"swap"}):
		return "the Docker engine cannot limit swap of sandboxes: its kernel does not count it. " +
			"Boot the kernel with swapaccount=1, or turn swap off (swapoff -a)"
	case c.CgroupDriver == "none":
		return fmt.Sprintf("the Docker engine cannot limit %s of sandboxes: it uses no control groups", strings.Join(cannot, ", "))
	}
	return fmt.Sprintf("the Docker engine cannot limit %s of sandboxes: its control groups (cgroup v%d) lack the controllers", strings.Join(cannot, ", "), c.CgroupVersion)
}

// Facts asks the engine what it is and can do. The answer may be a minute old.
func (r *Reporter) Facts(ctx context.Context) (Facts, error) {
	const op = "look at the engine"
	r.able.Lock()
	defer r.able.Unlock()
	if !r.ableAt.IsZero() && time.Since(r.ableAt) < capableFor {
		return r.can, nil
	}
	cctx, cancel := r.engine.Call(ctx)
	defer cancel()
	version, err := r.engine.API.ServerVersion(cctx)
	if err != nil {
		return Facts{}, r.engine.Fail(ctx, op, err)
	}
	info, err := r.engine.API.Info(cctx)
	if err != nil {
		return Facts{}, r.engine.Fail(ctx, op, err)
	}
	can := factsOf(version, info)
	if why := r.noReach(); why != nil {
		can.NoPorts = why.Error()
	} else {
		can.Ports = true
	}
	if can != r.can {
		r.engine.Log.Info("the engine", "kind", can.Kind, "version", can.Version, "api", can.API, "cgroup_version", can.CgroupVersion, "cgroup_driver", can.CgroupDriver,
			"image_store", can.ImageStore, "storage_driver", can.StorageDriver, "firewall", can.Firewall, "ports", can.Ports)
	}
	r.can = can
	if r.unable(can) == "" { // one that is refused may be mended at any moment
		r.ableAt = time.Now()
	}
	return can, nil
}

// capable returns an error when the engine cannot make sandboxes as they are promised.
func (r *Reporter) capable(ctx context.Context) error {
	can, err := r.Facts(ctx)
	if err != nil {
		return err
	}
	if why := r.unable(can); why != "" {
		return &provisioner.Error{Class: provisioner.Transient, Op: "use Docker", Sentence: why, Unavailable: true}
	}
	return nil
}

func (r *Reporter) unable(can Facts) string {
	return can.unable(!r.engine.Local || cgroup.Kernel{Proc: "/proc"}.Swaps())
}
