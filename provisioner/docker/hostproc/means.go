package hostproc

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// errNoCgroups: see Means.
var errNoCgroups = fmt.Errorf("its control groups are not seen here: bothyd runs in a container, or /sys/fs/cgroup is not mounted")

const (
	cgroupRoot = "/sys/fs/cgroup"
	// cgroupDepth bounds how deep a container's control group is looked for below a hierarchy.
	cgroupDepth = 8
)

// Means reports what is missing to kill from the host; nil when nothing is.
func Means() error {
	if os.Getuid() != 0 {
		return errors.New("bothyd does not run as root")
	}
	if len(groupRoots()) == 0 {
		return errNoCgroups
	}
	return nil
}

// groupRoots are the places where a container's control groups are: the unified one, and those of version 1 that
// every engine uses.
func groupRoots() []string {
	var all []string
	for _, h := range []string{".", "unified", "freezer", "pids", "memory", "devices"} {
		at := filepath.Join(cgroupRoot, h)
		if _, err := os.Stat(filepath.Join(at, "cgroup.procs")); err == nil {
			all = append(all, at)
		}
	}
	return all
}

// cgroupsOf finds the control groups of a container: folders whose name holds its whole id, and those below them. Which
// parent they are under is the engine's setting.
func cgroupsOf(id string) []string {
	var found []string
	for _, root := range groupRoots() {
		// What vanishes while it is looked at has ended.
		_ = filepath.WalkDir(root, func(at string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil //nolint:nilerr // see above
			}
			below := strings.TrimPrefix(strings.TrimPrefix(at, root), "/")
			if strings.Contains(below, id) {
				found = append(found, at)
				return nil
			}
			if root == cgroupRoot && at != root && slices.Contains(groupRoots(), at) || strings.Count(below, "/") >= cgroupDepth {
				return fs.SkipDir
			}
			return nil
		})
	}
	return found
}
