// Package cgroup reads and writes control groups, of both versions, and finds those of containers.
package cgroup

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const mountinfo = "/proc/self/mountinfo"

// Hierarchies returns where control groups are mounted, by controller; "" is cgroup v2's.
func Hierarchies() (map[string]string, error) {
	f, err := os.Open(mountinfo)
	if err != nil {
		return nil, fmt.Errorf("find control groups: %w", err)
	}
	defer func() { _ = f.Close() }() // was only read from
	return readMounts(bufio.NewScanner(f))
}

// mounts reads /proc/self/mountinfo: "ID PARENT DEV ROOT POINT OPTIONS [TAGS] - TYPE SOURCE SUPEROPTIONS".
func readMounts(lines *bufio.Scanner) (map[string]string, error) {
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

// Of returns where a container's control group of a controller is, by one of its processes. It takes root, and the engine's machine.
func Of(pid int, controller string) (string, error) {
	groups, err := Hierarchies()
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
	return in(groups[controller], string(text), controller)
}

// in finds a controller's line in /proc/PID/cgroup: "ID:CONTROLLERS:PATH", with none for cgroup v2's.
func in(at, text, controller string) (string, error) {
	for line := range strings.Lines(text) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && strings.Contains(","+f[1]+",", ","+controller+",") {
			return Own(filepath.Join(at, f[2])), nil
		}
	}
	return "", fs.ErrNotExist
}

// All finds a container's control groups that are read here, by controller; with cgroup v2 all are one.
func All(id string, pid int) map[string]string {
	found := map[string]string{}
	for _, controller := range []string{"memory", "pids", "cpu", "cpuacct", "freezer"} {
		at, err := Of(pid, controller)
		if err != nil {
			at, err = Of(pid, "")
		}
		// The process may have ended, and its number be another's.
		if err == nil && Is(at, id) {
			found[controller] = at
		}
	}
	return found
}

// Is reports whether a control group is a container's, as the engine's drivers name them.
func Is(at, id string) bool {
	return Container(at) == id
}

// Container returns the container that a control group may be of.
func Container(at string) string {
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(at), "docker-"), ".scope")
}

// StillPrefix begins the name of the control group below a container's that holds its processes still; what follows is
// the container's own bound of processes, for whoever has to put that back after this process was killed.
const StillPrefix = "bothy-still."

// Own returns a container's control group for the one that a process of it is in.
func Own(at string) string {
	if strings.HasPrefix(filepath.Base(at), StillPrefix) {
		return filepath.Dir(at)
	}
	return at
}
