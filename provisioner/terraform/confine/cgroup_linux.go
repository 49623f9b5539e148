package confine

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// groups makes cgroups below the daemon's own, one per box.
type groups struct {
	name string
	next atomic.Int64
	// parents is where a group is made for a controller; one folder may serve both (version 2).
	parents map[string]parent
}

type parent struct {
	dir string
	v2  bool
}

// group is one box's; nil is none.
type group struct {
	dirs map[string]parent
}

// openGroups finds where cgroups may be made, by making one, and removes what an earlier daemon left.
func openGroups(name string) *groups {
	g := &groups{name: name, parents: map[string]parent{}}
	for _, controller := range []string{"memory", "pids"} {
		for _, at := range candidates(controller) {
			if g.works(controller, at) {
				g.parents[controller] = at
				break
			}
		}
	}
	return g
}

// works removes what was left in a place and makes a group there to see that it can be.
func (g *groups) works(controller string, at parent) bool {
	leftovers, err := filepath.Glob(filepath.Join(at.dir, g.prefix()+"*"))
	if err != nil {
		return false // a name with magic in it: not one of ours
	}
	for _, dir := range leftovers {
		// Its processes were killed with their daemon, and may need a moment. One that stays is in nobody's way.
		_ = (&group{dirs: map[string]parent{controller: {dir: dir}}}).remove()
	}
	probe := filepath.Join(at.dir, g.prefix()+"probe")
	if os.Mkdir(probe, 0o755) != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(probe, limitFile(controller, at.v2)))
	return unix.Rmdir(probe) == nil && err == nil
}

func (g *groups) prefix() string { return "bothy-" + g.name + "-" }

func limitFile(controller string, v2 bool) string {
	switch {
	case controller == "pids":
		return "pids.max"
	case v2:
		return "memory.max"
	default:
		return "memory.limit_in_bytes"
	}
}

// candidates are where a group for a controller may be made (cgroups(7)): below the daemon's own, and, with version 2, where a group
// that has processes hands nothing on, below the root, as container engines do.
func candidates(controller string) []parent {
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	var unified string
	for line := range strings.Lines(string(self)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		if part[0] == "0" {
			unified = part[2]
		}
		for _, name := range strings.Split(part[1], ",") {
			if name == controller {
				if dir, ok := mounted("cgroup", controller, part[2]); ok {
					return []parent{{dir: dir}}
				}
				return nil
			}
		}
	}
	var found []parent
	for _, path := range []string{unified, "/"} {
		dir, ok := mounted("cgroup2", "", path)
		if !ok || path == "" {
			continue
		}
		if handed := filepath.Join(dir, "cgroup.subtree_control"); !hasWord(handed, controller) {
			_ = os.WriteFile(handed, []byte("+"+controller), 0) // where that may not be, the probe tells
		}
		found = append(found, parent{dir: dir, v2: true})
	}
	return found
}

func hasWord(path, word string) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for _, w := range strings.Fields(string(data)) {
		if w == word {
			return true
		}
	}
	return false
}

// mounted finds where a cgroup of a hierarchy is in the file system.
func mounted(kind, controller, path string) (string, bool) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", false
	}
	defer f.Close() //nolint:errcheck // read only
	for scan := bufio.NewScanner(f); scan.Scan(); {
		// ID parent major:minor ROOT POINT options... - KIND source SUPER-OPTIONS
		before, after, ok := strings.Cut(scan.Text(), " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 || right[0] != kind {
			continue
		}
		if controller != "" && !strings.Contains(","+right[2]+",", ","+controller+",") {
			continue
		}
		rel, err := filepath.Rel(left[3], path)
		if err != nil || strings.HasPrefix(rel, "..") {
			continue // another part of the tree is mounted here
		}
		return filepath.Join(left[4], rel), true
	}
	return "", false
}

// make makes a group with its limits; nil without an error where none can be had.
func (g *groups) make(b Bounds) (*group, error) {
	made := &group{dirs: map[string]parent{}}
	name := g.prefix() + strconv.Itoa(os.Getpid()) + "-" + strconv.FormatInt(g.next.Add(1), 10)
	for controller, at := range g.parents {
		limit := map[string]int64{"memory": b.Memory, "pids": b.Tasks}[controller]
		if limit <= 0 {
			continue
		}
		dir := filepath.Join(at.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, errors.Join(err, made.remove())
		}
		made.dirs[controller] = parent{dir: dir, v2: at.v2}
		if err := os.WriteFile(filepath.Join(dir, limitFile(controller, at.v2)), fmt.Append(nil, limit), 0); err != nil {
			return nil, errors.Join(err, made.remove())
		}
		if controller == "memory" {
			noSwap(dir, at.v2, limit)
		}
	}
	return made, nil
}

// noSwap keeps a group from going on in swap, where there is any to account.
func noSwap(dir string, v2 bool, limit int64) {
	file, value := "memory.memsw.limit_in_bytes", fmt.Append(nil, limit)
	if v2 {
		file, value = "memory.swap.max", []byte("0")
	}
	_ = os.WriteFile(filepath.Join(dir, file), value, 0) // no such file: no swap accounting
}

func (g *group) bounds(controller string) bool {
	if g == nil {
		return false
	}
	_, ok := g.dirs[controller]
	return ok
}

func (g *group) add(pid int) error {
	if g == nil {
		return nil
	}
	for _, at := range g.dirs {
		if err := ended(os.WriteFile(filepath.Join(at.dir, "cgroup.procs"), fmt.Append(nil, pid), 0)); err != nil {
			return err
		}
	}
	return nil
}

// exceeded names the bound that the kernel had to hold a box back at; "" for none.
func (g *group) exceeded() string {
	if g == nil {
		return ""
	}
	if at, ok := g.dirs["memory"]; ok {
		file := "memory.oom_control"
		if at.v2 {
			file = "memory.events"
		}
		if counted(filepath.Join(at.dir, file), "oom_kill") {
			return "memory"
		}
	}
	if at, ok := g.dirs["pids"]; ok && counted(filepath.Join(at.dir, "pids.events"), "max") {
		return "tasks"
	}
	return ""
}

// counted reports whether a file of "name value" lines has a value above 0 for name.
func counted(path, name string) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	for line := range bytes.Lines(data) {
		word := strings.Fields(string(line))
		if len(word) == 2 && word[0] == name {
			n, err := strconv.ParseInt(word[1], 10, 64)
			return err == nil && n > 0
		}
	}
	return false
}

// remove removes the group of a box that has ended. Its last processes may need a moment to disappear.
func (g *group) remove() error {
	if g == nil {
		return nil
	}
	var errs []error
	for _, at := range g.dirs {
		err := unix.Rmdir(at.dir)
		for tries := 0; errors.Is(err, unix.EBUSY) && tries < 200; tries++ {
			time.Sleep(5 * time.Millisecond) // of processes that are not our children, only looking tells that they are gone
			err = unix.Rmdir(at.dir)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("remove %s: %w", at.dir, err))
		}
	}
	return errors.Join(errs...)
}
