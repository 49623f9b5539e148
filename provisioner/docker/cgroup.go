package docker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/system"
	"golang.org/x/sys/unix"
)

// All sandboxes, and the holders of their networks, live in one control group. While processors are short it gets
// less of them than bothyd, the engine and all else on the machine, however many sandboxes there are: all of them
// together weigh half of what one of those does.
//
// Not less than half. What the engine runs in a sandbox (each exec) has the sandbox's weight from its first moment on:
// with a quarter, a machine that was busy otherwise too made execs wait three times as long, in the worst case.

const (
	// parentShares is the group's weight with cgroup v1, where 1024 is what everybody else has.
	parentShares = 512
	// parentWeight is the same with cgroup v2, where everybody else has 100.
	parentWeight = 50
	// systemdDriver is the engine's word for leaving control groups to systemd, which knows slices alone.
	systemdDriver = "systemd"
	mountinfo     = "/proc/self/mountinfo"
)

// parent is the control group of an installation's sandboxes.
type parent struct {
	mu    sync.Mutex
	name  string // as the engine takes it; "" before the engine was asked
	remap bool   // the engine gives containers other users than the machine's
	unset error  // why it has no weight
}

// CgroupParent gives the control group that a sandbox's container is to be made in (HostConfig.CgroupParent), and
// makes it, with its weight, where bothyd can. The engine is asked once.
func (r *Runtime) CgroupParent(ctx context.Context) (string, error) {
	p := &r.parent
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name != "" {
		return p.name, nil
	}
	cctx, cancel := r.call(ctx)
	defer cancel()
	info, err := r.api.Info(cctx)
	if err != nil {
		return "", r.fail(ctx, "find the control group of sandboxes", err)
	}
	p.name, p.remap = parentName(r.instance, info), slices.ContainsFunc(info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=userns") })
	p.unset = r.weigh(ctx, p.name)
	if p.unset != nil {
		r.log.Warn("sandboxes weigh as much as everything else", "error", p.unset)
	}
	return p.name, nil
}

func (p *parent) remaps() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remap
}

// parentName is the group's name in the form that the engine's driver wants. systemd reads a dash as a slash.
func parentName(instance string, info system.Info) string {
	if info.CgroupDriver == systemdDriver {
		return "bothy_" + strings.ReplaceAll(instance, "-", "_") + ".slice"
	}
	return "/bothy-" + instance
}

// parentNames are the names that an installation's group can have.
func parentNames(instance string) []string {
	return []string{parentName(instance, system.Info{}), parentName(instance, system.Info{CgroupDriver: systemdDriver})}
}

// reweigh puts the weight back, in case that somebody removed the group while it was empty.
func (r *Runtime) reweigh(ctx context.Context) {
	p := &r.parent
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name == "" || strings.HasSuffix(p.name, ".slice") && p.unset == nil { // systemd remembers, and asking it is a process
		return
	}
	p.unset = r.weigh(ctx, p.name)
}

// weigh makes the group and gives it its weight.
func (r *Runtime) weigh(ctx context.Context, name string) error {
	switch {
	case !r.net.local:
		return errors.New("the engine is not on this host")
	case strings.HasSuffix(name, ".slice"):
		cctx, cancel := r.call(ctx)
		defer cancel()
		_, err := r.net.tables.Do(cctx, "", "systemctl", "set-property", "--runtime", name, "CPUWeight="+strconv.Itoa(parentWeight))
		return err
	case os.Geteuid() != 0:
		return errors.New("bothyd is not root")
	}
	groups, err := hierarchies()
	if err != nil {
		return err
	}
	file, value := "cpu.shares", parentShares
	at, ok := groups["cpu"]
	if !ok {
		file, value = "cpu.weight", parentWeight
		if at, ok = groups[""]; !ok {
			return errors.New("no control groups for processors are mounted")
		}
		// Without it the root's children have no weights. A host with cgroup v2 has it on as a rule.
		_ = os.WriteFile(filepath.Join(at, "cgroup.subtree_control"), []byte("+cpu"), 0)
	}
	dir := filepath.Join(at, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as all control groups are
		return err
	}
	return os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(value)), 0)
}

// dissolve removes the group once nothing is in it.
func (r *Runtime) dissolve() error {
	p := &r.parent
	p.mu.Lock()
	defer p.mu.Unlock()
	if !r.net.local || os.Geteuid() != 0 {
		return nil
	}
	// One of systemd's ends by itself. The name is known without the engine: an earlier process may have made it.
	name := parentName(r.instance, system.Info{})
	groups, err := hierarchies()
	if err != nil {
		return err
	}
	var errs []error
	for _, at := range groups {
		err := os.Remove(filepath.Join(at, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, err)
		}
	}
	p.name = ""
	return errors.Join(errs...)
}

// hierarchies gives where control groups are mounted, by controller; "" is cgroup v2's.
func hierarchies() (map[string]string, error) {
	f, err := os.Open(mountinfo)
	if err != nil {
		return nil, fmt.Errorf("find control groups: %w", err)
	}
	defer closeQuietly(f)
	return cgroupMounts(bufio.NewScanner(f))
}

// cgroupMounts reads /proc/self/mountinfo: "ID PARENT DEV ROOT POINT OPTIONS [TAGS] - TYPE SOURCE SUPEROPTIONS".
func cgroupMounts(lines *bufio.Scanner) (map[string]string, error) {
	found := map[string]string{}
	for lines.Scan() {
		before, after, ok := strings.Cut(lines.Text(), " - ")
		at, what := strings.Fields(before), strings.Fields(after)
		if !ok || len(at) < 5 || len(what) < 3 {
			continue
		}
		switch what[0] {
		case "cgroup2":
			found[""] = at[4]
		case "cgroup":
			for option := range strings.SplitSeq(what[2], ",") {
				if option != "rw" && option != "ro" {
					found[option] = at[4]
				}
			}
		}
	}
	return found, lines.Err()
}

// groupOf gives where a container's control group of a controller is, by one of its processes. It takes root, and the engine's machine.
func groupOf(pid int, controller string) (string, error) {
	groups, err := hierarchies()
	if err != nil {
		return "", err
	}
	if _, ok := groups[controller]; !ok {
		return "", fs.ErrNotExist
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return "", err
	}
	return groupIn(groups[controller], string(text), controller)
}

// groupIn finds a controller's line in /proc/PID/cgroup: "ID:CONTROLLERS:PATH", with none for cgroup v2's.
func groupIn(at, text, controller string) (string, error) {
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && strings.Contains(","+f[1]+",", ","+controller+",") {
			return ownGroup(filepath.Join(at, f[2])), nil
		}
	}
	return "", fs.ErrNotExist
}
