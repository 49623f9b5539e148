package limits

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/system"
	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
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
)

// parent is the control group of an installation's sandboxes.
type parent struct {
	mu    sync.Mutex
	name  string // as the engine takes it; "" before the engine was asked
	remap bool   // the engine gives containers other users than the machine's
	unset error  // why it has no weight
}

// Parent returns the control group that a sandbox's container is to be made in (HostConfig.CgroupParent), and
// makes it, with its weight, where bothyd can. The engine is asked once.
func (l *Limiter) Parent(ctx context.Context) (string, error) {
	p := &l.parent
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name != "" {
		return p.name, nil
	}
	cctx, cancel := l.engine.Call(ctx)
	defer cancel()
	info, err := l.engine.API.Info(cctx)
	if err != nil {
		return "", l.engine.Fail(ctx, "find the control group of sandboxes", err)
	}
	p.name, p.remap = parentName(l.engine.Instance, info), slices.ContainsFunc(info.SecurityOptions, func(o string) bool { return strings.HasPrefix(o, "name=userns") })
	p.unset = l.weigh(ctx, p.name)
	if p.unset != nil {
		l.engine.Log.Warn("sandboxes weigh as much as everything else", "error", p.unset)
	}
	return p.name, nil
}

// Remaps reports whether the engine gives containers other users than the machine's.
func (l *Limiter) Remaps() bool {
	p := &l.parent
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.remap
}

// Unweighed returns why the group has no weight; nil when it has one.
func (l *Limiter) Unweighed() error {
	l.parent.mu.Lock()
	defer l.parent.mu.Unlock()
	return l.parent.unset
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

// Reweigh puts the weight back, in case that somebody removed the group while it was empty.
func (l *Limiter) Reweigh(ctx context.Context) {
	p := &l.parent
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.name == "" || strings.HasSuffix(p.name, ".slice") && p.unset == nil { // systemd remembers, and asking it is a process
		return
	}
	p.unset = l.weigh(ctx, p.name)
}

// weigh makes the group and gives it its weight.
func (l *Limiter) weigh(ctx context.Context, name string) error {
	switch {
	case !l.engine.Local:
		return errors.New("the engine is not on this host")
	case strings.HasSuffix(name, ".slice"):
		cctx, cancel := l.engine.Call(ctx)
		defer cancel()
		return l.command(cctx, "systemctl", "set-property", "--runtime", name, "CPUWeight="+strconv.Itoa(parentWeight))
	case os.Geteuid() != 0:
		return errors.New("bothyd is not root")
	}
	groups, err := cgroup.Hierarchies()
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
		// Without it the root's children have no weights. Hosts with cgroup v2 usually have it on.
		_ = os.WriteFile(filepath.Join(at, "cgroup.subtree_control"), []byte("+cpu"), 0)
	}
	dir := filepath.Join(at, name)
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) { //nolint:gosec // as all control groups are
		return err
	}
	return os.WriteFile(filepath.Join(dir, file), []byte(strconv.Itoa(value)), 0)
}

// Dissolve removes the group once nothing is in it.
func (l *Limiter) Dissolve() error {
	p := &l.parent
	p.mu.Lock()
	defer p.mu.Unlock()
	if !l.engine.Local || os.Geteuid() != 0 {
		return nil
	}
	// One of systemd's ends by itself. The name is known without the engine: an earlier process may have made it.
	name := parentName(l.engine.Instance, system.Info{})
	groups, err := cgroup.Hierarchies()
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
