package broker

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner"
)

// choice looks at what a blueprint may choose, and takes it over when it is within its bounds.
type choice func(spec *provisioner.Spec, name string, asked, built *container.CreateRequest) *provisioner.Refusal

var choices = []choice{command, identity, health, limits, withoutNetwork, capabilities, hardening, logging, memoryFiles, volumes}

func refusal(attribute string, found any, want string) *provisioner.Refusal {
	return &provisioner.Refusal{Attribute: "docker_container." + attribute, Found: shorten(fmt.Sprint(found)), Want: want}
}

const (
	// maxWords and maxWordBytes bound a command and an environment, so that an inspect stays small.
	maxWords     = 256
	maxWordBytes = 64 << 10
)

func command(_ *provisioner.Spec, _ string, asked, built *container.CreateRequest) *provisioner.Refusal {
	for attribute, words := range map[string][]string{"command": asked.Cmd, "entrypoint": asked.Entrypoint, "env": asked.Env} {
		bytes := 0
		for _, w := range words {
			bytes += len(w)
		}
		if len(words) > maxWords || bytes > maxWordBytes {
			return refusal(attribute, fmt.Sprintf("%d values of %d bytes", len(words), bytes), "at most 256 values of 64 KiB together")
		}
	}
	built.Cmd, built.Entrypoint, built.Env = asked.Cmd, asked.Entrypoint, asked.Env
	built.Tty, built.OpenStdin = asked.Tty, asked.OpenStdin
	return nil
}

var (
	userForm   = regexp.MustCompile(`^[A-Za-z0-9_.:-]{0,65}$`)
	signalForm = regexp.MustCompile(`^[A-Z0-9+-]{0,16}$`)
)

// maxGrace is how long a blueprint may let a container take to end; nothing inside is worth more.
const maxGrace = 10

func identity(_ *provisioner.Spec, _ string, asked, built *container.CreateRequest) *provisioner.Refusal {
	switch {
	case !userForm.MatchString(asked.User):
		return refusal("user", asked.User, "a user, or a user and a group, by name or number")
	case asked.WorkingDir != "" && !path.IsAbs(asked.WorkingDir) || len(asked.WorkingDir) > 4096:
		return refusal("working_dir", asked.WorkingDir, "an absolute path")
	case !signalForm.MatchString(asked.StopSignal):
		return refusal("stop_signal", asked.StopSignal, "a signal's name")
	case asked.StopTimeout != nil && (*asked.StopTimeout < 0 || *asked.StopTimeout > maxGrace):
		return refusal("stop_timeout", *asked.StopTimeout, "0 to 10 seconds")
	}
	built.User, built.WorkingDir, built.StopSignal, built.StopTimeout = asked.User, asked.WorkingDir, asked.StopSignal, asked.StopTimeout
	built.HostConfig.ReadonlyRootfs = asked.HostConfig.ReadonlyRootfs
	return nil
}

// leastHealth is the shortest time between two health checks, each of which starts a process.
const leastHealth = time.Second

func health(_ *provisioner.Spec, _ string, asked, built *container.CreateRequest) *provisioner.Refusal {
	h := asked.Healthcheck
	if h == nil {
		return nil
	}
	for attribute, d := range map[string]time.Duration{
		"healthcheck.interval": h.Interval, "healthcheck.timeout": h.Timeout,
		"healthcheck.start_interval": h.StartInterval, "healthcheck.start_period": h.StartPeriod,
	} {
		if d != 0 && (d < leastHealth || d > time.Hour) {
			return refusal(attribute, d, "1s to 1h")
		}
	}
	if len(h.Test) > maxWords || h.Retries < 0 || h.Retries > 100 {
		return refusal("healthcheck", fmt.Sprintf("%d words, %d retries", len(h.Test), h.Retries), "at most 256 words and 100 retries")
	}
	built.Healthcheck = h
	return nil
}

const (
	// leastMemory is the least that an engine takes, in bytes.
	leastMemory = 6 << 20
	// minPeriod and maxPeriod are the kernel's bounds of a CPU quota's period, in microseconds.
	minPeriod, maxPeriod = 1000, 1000000
)

// limits are a container's part of the size. That all containers together stay within it is the door's to see.
func limits(spec *provisioner.Spec, _ string, asked, built *container.CreateRequest) *provisioner.Refusal {
	a, size := asked.HostConfig, spec.Sandbox
	most := size.MemoryMiB << 20
	switch {
	case a.Memory == 0:
		return refusal("memory", "nothing", "memory = var.bothy.memory_mib")
	case a.Memory < leastMemory || a.Memory > most:
		return refusal("memory", mebibytes(a.Memory), "at most var.bothy.memory_mib, "+mebibytes(most))
	case a.MemorySwap != a.Memory:
		return refusal("memory_swap", mebibytes(a.MemorySwap), "the same as memory, so that there is no swap on top")
	case a.CPUPeriod < minPeriod || a.CPUPeriod > maxPeriod:
		return refusal("cpu_period", a.CPUPeriod, "1000 to 1000000 microseconds, such as 100000")
	case a.CPUQuota <= 0:
		return refusal("cpu_quota", a.CPUQuota, "cpu_quota = floor(var.bothy.cpus * cpu_period)")
	case float64(a.CPUQuota) > size.CPUs*float64(a.CPUPeriod)+0.5:
		return refusal("cpu_quota", cores(float64(a.CPUQuota)/float64(a.CPUPeriod)), "at most var.bothy.cpus, "+cores(size.CPUs))
	case a.ShmSize < 0 || a.ShmSize > a.Memory:
		return refusal("shm_size", mebibytes(a.ShmSize), "no more than memory")
	case a.CPUShares < 0 || a.CPUShares > 1024:
		return refusal("cpu_shares", a.CPUShares, "at most 1024, the usual weight")
	}
	b := built.HostConfig
	b.Memory, b.MemorySwap, b.CPUPeriod, b.CPUQuota, b.ShmSize, b.CPUShares = a.Memory, a.MemorySwap, a.CPUPeriod, a.CPUQuota, a.ShmSize, a.CPUShares
	return nil
}

// leastPids is the least that a container may hold of processes, as a size.
const leastPids = 16

// pidsOf is how many processes a container may hold: of the size's, the part that it has of the memory. What has its own share
// of everything would have the number of processes once for each container.
func pidsOf(spec *provisioner.Spec, memory int64) int64 {
	size := spec.Sandbox
	if size.MemoryMiB <= 0 {
		return size.Pids
	}
	part := float64(memory) / float64(size.MemoryMiB<<20)
	return min(size.Pids, max(int64(float64(size.Pids)*part), leastPids))
}

func mebibytes(n int64) string { return strconv.FormatInt(n>>20, 10) + " MiB" }

func cores(n float64) string { return strconv.FormatFloat(n, 'g', 4, 64) + " cores" }

// withoutNetwork lets a container be without any, too.
func withoutNetwork(_ *provisioner.Spec, _ string, asked, built *container.CreateRequest) *provisioner.Refusal {
	if asked.HostConfig.NetworkMode == "none" {
		built.HostConfig.NetworkMode = "none"
	}
	return nil
}

// rootCapabilities are what apt and dpkg cannot do without; a blueprint may grant them, or fewer, where root may be used.
var rootCapabilities = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID"}

func capabilities(spec *provisioner.Spec, _ string, asked, built *container.CreateRequest) *provisioner.Refusal {
	for _, c := range asked.HostConfig.CapAdd {
		switch {
		case !spec.Sandbox.Root:
			return refusal("capabilities.add", c, "none: root is not among the blueprint's users")
		case !slices.Contains(rootCapabilities, c):
			return refusal("capabilities.add", c, "some of "+strings.Join(rootCapabilities, ", "))
		}
	}
	built.HostConfig.CapAdd = asked.HostConfig.CapAdd
	return nil
}

// hardening is what Harden asked the blueprint to say, in any order.
func hardening(spec *provisioner.Spec, _ string, asked, built *container.CreateRequest) *provisioner.Refusal {
	a := asked.HostConfig
	want := slices.Sorted(slices.Values(spec.Sandbox.SecurityOpts))
	if got := slices.Sorted(slices.Values(a.SecurityOpt)); !slices.Equal(got, want) {
		return refusal("security_opts", strings.Join(a.SecurityOpt, ", "), "security_opts = var.bothy.security_opts")
	}
	built.HostConfig.SecurityOpt = a.SecurityOpt
	seen := map[string]bool{}
	for _, u := range a.Ulimits {
		i := slices.IndexFunc(spec.Sandbox.Ulimits, func(w provisioner.Ulimit) bool { return w.Name == u.Name })
		if i < 0 || seen[u.Name] {
			return refusal("ulimit", u.Name, "those of var.bothy.ulimits, each once")
		}
		seen[u.Name] = true
		if w := spec.Sandbox.Ulimits[i]; u.Soft < 0 || u.Hard < 0 || u.Soft > w.Soft || u.Hard > w.Hard {
			return refusal("ulimit", u.String(), fmt.Sprintf("%s of at most %d, and %d as the hard limit", u.Name, w.Soft, w.Hard))
		}
	}
	if len(seen) < len(spec.Sandbox.Ulimits) {
		i := slices.IndexFunc(spec.Sandbox.Ulimits, func(w provisioner.Ulimit) bool { return !seen[w.Name] })
		return refusal("ulimit", "none for "+spec.Sandbox.Ulimits[i].Name, "one for each of var.bothy.ulimits")
	}
	built.HostConfig.Ulimits = a.Ulimits
	return nil
}

const (
	// maxLogFile and maxLogFiles bound what a sandbox's output takes of the engine's disk: 30 MB.
	maxLogFile  = 10 << 20
	maxLogFiles = 3
)

var logSize = regexp.MustCompile(`^([1-9][0-9]{0,8})([kKmM]?)$`)

func logging(_ *provisioner.Spec, _ string, asked, built *container.CreateRequest) *provisioner.Refusal {
	l := asked.HostConfig.LogConfig
	if l.Type == "none" && len(l.Config) == 0 {
		built.HostConfig.LogConfig = l
		return nil
	}
	if l.Type != "json-file" {
		return refusal("log_driver", l.Type, `"json-file", or "none"`)
	}
	for key := range l.Config {
		if key != "max-size" && key != "max-file" {
			return refusal("log_opts", key, "max-size and max-file only")
		}
	}
	size, files := logBytes(l.Config["max-size"]), 0
	files, err := strconv.Atoi(l.Config["max-file"])
	if size <= 0 || size > maxLogFile {
		return refusal("log_opts", "max-size "+l.Config["max-size"], `max-size of at most "10m"`)
	}
	if err != nil || files < 1 || files > maxLogFiles {
		return refusal("log_opts", "max-file "+l.Config["max-file"], `max-file of at most "3"`)
	}
	built.HostConfig.LogConfig = l
	return nil
}

// logBytes reads a log's size as the engine does; 0 for what is none.
func logBytes(s string) int64 {
	m := logSize.FindStringSubmatch(s)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // up to nine digits
	switch strings.ToLower(m[2]) {
	case "k":
		n <<= 10
	case "m":
		n <<= 20
	}
	return n
}

// closedPaths are where nothing of a blueprint's may be mounted, neither there nor above or below: bothy's own folder and
// what the engine and the kernel keep there.
// /var/run is a link to /run in most images.
var closedPaths = []string{"/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/var/run", provisioner.SecretsDir}

// mountable refuses a place that is closed.
func mountable(at string) bool {
	if !path.IsAbs(at) || path.Clean(at) != at || at == "/" || strings.ContainsAny(at, ":\x00,") {
		return false
	}
	for _, closed := range closedPaths {
		if at == closed || strings.HasPrefix(at, closed+"/") || strings.HasPrefix(closed, at+"/") {
			return false
		}
	}
	return true
}

const wantPlace = "an absolute path away from /proc, /sys, /dev, /var/run, /run/bothy and the engine's files in /etc"

var tmpfsOption = regexp.MustCompile(`^(rw|ro|nosuid|nodev|noexec|exec|noatime|size=[0-9]{1,12}[kKmMgG]?|nr_inodes=[0-9]{1,9}[kK]?|mode=[0-7]{3,4}|uid=[0-9]{1,9}|gid=[0-9]{1,9})$`)

// meansOf names what an option sets: one and its opposite set the same.
func meansOf(option string) string {
	switch key, _, _ := strings.Cut(option, "="); key {
	case "ro":
		return "rw"
	case "noexec":
		return "exec"
	default:
		return key
	}
}

// secretsOptions are what the folder for secrets is mounted with.
var secretsOptions = []string{"mode=0700", "nodev", "noexec", "nosuid"}

// memoryFiles are folders in memory, which the memory limit counts.
func memoryFiles(_ *provisioner.Spec, _ string, asked, built *container.CreateRequest) *provisioner.Refusal {
	if len(asked.HostConfig.Tmpfs) > maxObjects {
		return refusal("tmpfs", len(asked.HostConfig.Tmpfs), "at most 16")
	}
	for at, text := range asked.HostConfig.Tmpfs {
		options, seen := strings.Split(text, ","), map[string]bool{}
		for _, o := range options {
			if !tmpfsOption.MatchString(o) {
				return refusal("tmpfs", at+": "+o, "options of a tmpfs, such as size=64m")
			}
			// Of two, the last holds.
			key := meansOf(o)
			if seen[key] {
				return refusal("tmpfs", at+": "+text, "each option once")
			}
			seen[key] = true
		}
		want := []string{"nodev", "nosuid"}
		if at == provisioner.SecretsDir {
			want = secretsOptions
		} else if !mountable(at) {
			return refusal("tmpfs", at, wantPlace)
		}
		for _, o := range want {
			if !slices.Contains(options, o) {
				return refusal("tmpfs", at+": "+text, "the options "+strings.Join(want, ","))
			}
		}
	}
	built.HostConfig.Tmpfs = asked.HostConfig.Tmpfs
	return nil
}

// volumes are the environment's own, by name.
func volumes(spec *provisioner.Spec, _ string, asked, built *container.CreateRequest) *provisioner.Refusal {
	own := func(name string) bool { return strings.HasPrefix(name, spec.Owner.ResourceName()+"-") }
	const wantVolume = "a docker_volume of this environment, whose name begins with var.bothy.name and a hyphen"
	for _, bind := range asked.HostConfig.Binds {
		parts := strings.Split(bind, ":")
		switch {
		case len(parts) < 2 || len(parts) > 3 || !own(parts[0]):
			return refusal("volumes.volume_name", bind, wantVolume)
		case !mountable(parts[1]):
			return refusal("volumes.container_path", bind, wantPlace)
		case len(parts) == 3 && parts[2] != "ro" && parts[2] != "rw":
			return refusal("volumes.read_only", bind, "ro or rw")
		}
	}
	// The provider names the place of each bind here, too, and the engine makes no volume of its own where one is mounted.
	for at := range asked.Volumes {
		if !slices.ContainsFunc(asked.HostConfig.Binds, func(bind string) bool { return placeOf(bind) == at }) {
			return refusal("volumes.volume_name", "none at "+at, wantVolume)
		}
	}
	built.Volumes = asked.Volumes
	for _, m := range asked.HostConfig.Mounts {
		switch {
		case m.Type != mount.TypeVolume:
			return refusal("mounts.type", m.Type, `"volume"; directories in memory are written in tmpfs`)
		case !own(m.Source):
			return refusal("mounts.source", m.Source, wantVolume)
		case !mountable(m.Target):
			return refusal("mounts.target", m.Target, wantPlace)
		case m.Consistency != "" && m.Consistency != mount.ConsistencyDefault || m.BindOptions != nil || m.ImageOptions != nil ||
			m.TmpfsOptions != nil || m.ClusterOptions != nil || m.VolumeOptions != nil && !plainVolume(m.VolumeOptions):
			return refusal("mounts", m.Target, "no options but read_only")
		}
	}
	built.HostConfig.Binds, built.HostConfig.Mounts = asked.HostConfig.Binds, asked.HostConfig.Mounts
	return nil
}

func plainVolume(o *mount.VolumeOptions) bool {
	return len(o.Labels) == 0 && o.Subpath == "" && (o.DriverConfig == nil || o.DriverConfig.Name == "" && len(o.DriverConfig.Options) == 0)
}
