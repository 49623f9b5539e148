package docker

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// cgroupDepth bounds how deep a container's control group is looked for below a hierarchy.
	cgroupDepth = 8
	// freezeFor bounds the wait until a control group is frozen. Killing goes on without: the passes repeat.
	freezeFor = 500 * time.Millisecond
	// killPasses bounds how often one kill looks again for what was forked meanwhile.
	killPasses = 20
)

// engineTools are the programs that an engine starts inside containers by, as the first word of their command line.
var engineTools = []string{"runc", "crun"}

// hostMeans reports what is missing to kill from the host; nil when nothing is.
func hostMeans() error {
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

// killOnHost freezes and kills what runs in a container's control groups and in its pid namespace, and the engine's
// helpers outside that wait for one of those. It gives how many processes it killed.
func killOnHost(id string) (killed int, err error) {
	if !isID(id) {
		return 0, fmt.Errorf("%q is no container's id", id)
	}
	groups := cgroupsOf(id)
	for _, g := range groups {
		freeze(g, true)
	}
	defer func() {
		for _, g := range groups {
			freeze(g, false)
		}
	}()
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return 0, fmt.Errorf("read own namespace: %w", err)
	}
	seen := map[int]bool{}
	// The namespace is read from a member of the control groups, which are the kernel's word; it may be told only once.
	inside := ""
	for range killPasses {
		found := 0
		for _, g := range groups {
			for _, pid := range membersOf(g) {
				p := hold(pid)
				if p == nil {
					continue
				}
				if p.in(id) {
					if ns := p.namespace(); ns != "" && ns != own {
						inside = ns
					}
					found += p.kill(seen)
				}
				p.release()
			}
		}
		helpers := map[int]bool{}
		all := processes()
		for _, pid := range all {
			p := hold(pid)
			if p == nil {
				continue
			}
			switch ns := p.namespace(); {
			case inside != "" && ns == inside:
				found += p.kill(seen)
			case ns == own && p.helps(id):
				helpers[pid] = true
				found += p.kill(seen)
			}
			p.release()
		}
		// What a helper has started and is not in the container yet is called by the engine's own tool, too.
		for _, pid := range all {
			p := hold(pid)
			if p == nil {
				continue
			}
			if helpers[p.parent()] && p.tool() {
				found += p.kill(seen)
			}
			p.release()
		}
		for _, g := range groups {
			freeze(g, false) // a frozen process of version 1 does not end
		}
		if found == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond) // of a process that is not our child, only looking tells that it is gone
	}
	return len(seen), nil
}

// freeze stops a control group's processes, or lets them go on. What has no freezer is left: a kill repeats instead.
func freeze(group string, on bool) {
	name, value := "freezer.state", "THAWED"
	if on {
		value = "FROZEN"
	}
	if _, err := os.Stat(filepath.Join(group, name)); err != nil {
		name, value = "cgroup.freeze", "0"
		if on {
			value = "1"
		}
	}
	at := filepath.Join(group, name)
	for until := time.Now().Add(freezeFor); ; time.Sleep(5 * time.Millisecond) {
		if err := os.WriteFile(at, []byte(value), 0); err != nil || frozen(group, name, value) || time.Now().After(until) {
			return
		}
	}
}

// isFrozen reports whether a control group was frozen by its own file.
func isFrozen(group string) bool {
	for _, file := range []string{"freezer.self_freezing", "cgroup.freeze"} {
		if n, ok := readCount(filepath.Join(group, file)); ok {
			return n != 0
		}
	}
	return false
}

// frozen reports whether a control group's processes are as the value of its freezer says, or that cannot be told.
func frozen(group, name, value string) bool {
	if name == "freezer.state" {
		state, err := os.ReadFile(filepath.Join(group, name))
		return err != nil || strings.TrimSpace(string(state)) == value
	}
	is, ok := field(filepath.Join(group, "cgroup.events"), "frozen")
	return !ok || strconv.FormatInt(is, 10) == value
}

// enteredBy reports whether a process of a container is one that the engine is starting there: the child of one of its
// tools, which runs outside. What was started is a child of the container's shim. known are the parents that were looked at.
func enteredBy(pid int, id string, known map[int]bool) bool {
	p := hold(pid)
	if p == nil {
		return false
	}
	at := p.parent()
	p.release()
	if is, ok := known[at]; ok {
		return is
	}
	parent := hold(at)
	if parent == nil {
		return false
	}
	defer parent.release()
	own, err := os.Readlink("/proc/self/ns/pid")
	known[at] = err == nil && parent.namespace() == own && parent.helps(id)
	return known[at]
}

// membersOf lists the processes of a control group; none when it is gone.
func membersOf(group string) []int {
	text, err := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	if err != nil {
		return nil
	}
	var pids []int
	for word := range strings.FieldsSeq(string(text)) {
		if pid, err := strconv.Atoi(word); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// processes lists all that run on the host.
func processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// process is pinned by a pidfd before anything of it is read, so that its number cannot have passed to another one
// by the time it is killed.
type process struct{ pid, fd int }

// hold pins a process; nil when it is gone.
func hold(pid int) *process {
	if pid <= 1 || pid == os.Getpid() {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil
	}
	return &process{pid: pid, fd: fd}
}

func (p *process) release() { _ = unix.Close(p.fd) } // was only read from

// read gives a file of the process; empty when it has ended.
func (p *process) read(name string) []byte {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.pid) + "/" + name)
	if err != nil {
		return nil
	}
	return text
}

// in reports whether the process is in a control group of a container.
func (p *process) in(id string) bool { return bytes.Contains(p.read("cgroup"), []byte(id)) }

func (p *process) namespace() string {
	ns, err := os.Readlink("/proc/" + strconv.Itoa(p.pid) + "/ns/pid")
	if err != nil {
		return ""
	}
	return ns
}

// tool reports whether the process was started as one of the engine's tools.
func (p *process) tool() bool {
	name, _, _ := bytes.Cut(p.read("cmdline"), []byte{0})
	return slices.Contains(engineTools, filepath.Base(string(name)))
}

// helps reports whether the process is an engine's tool, root's, that runs a command in the container. Whoever asks has
// made sure that it is in this process's own pid namespace: in a sandbox anything could call itself so. The container's
// shim, which names the id too, is no such tool, and one that starts or deletes a container is left to its work.
func (p *process) helps(id string) bool {
	if !p.tool() {
		return false
	}
	words := strings.Split(strings.TrimRight(string(p.read("cmdline")), "\x00"), "\x00")
	if len(words) < 3 || words[len(words)-1] != id || !slices.Contains(words, "exec") {
		return false
	}
	var st unix.Stat_t
	return unix.Stat("/proc/"+strconv.Itoa(p.pid), &st) == nil && st.Uid == 0
}

func (p *process) parent() int {
	stat := p.read("stat")
	_, rest, ok := bytes.Cut(stat[bytes.LastIndexByte(stat, ')')+1:], []byte{' '})
	fields := bytes.Fields(rest)
	if !ok || len(fields) < 2 {
		return 0
	}
	n, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0
	}
	return n
}

// kill kills the process; 1 when it was there and no zombie.
func (p *process) kill(seen map[int]bool) int {
	stat := p.read("stat")
	if i := bytes.LastIndexByte(stat, ')'); i < 0 || i+2 >= len(stat) || stat[i+2] == 'Z' || stat[i+2] == 'X' {
		return 0
	}
	if unix.PidfdSendSignal(p.fd, unix.SIGKILL, nil, 0) != nil {
		return 0
	}
	seen[p.pid] = true
	return 1
}

// accountFiles are what an engine reads in a sandbox, as root and with no bound, before it starts a command.
var accountFiles = []string{"etc/passwd", "etc/group"}

// wakeOnHost ends the reading of pipes that a sandbox has in place of its account files: each reader is a thread of the
// engine's. A pipe that the sandbox has put elsewhere meanwhile is not found.
func wakeOnHost(id string) {
	for _, g := range cgroupsOf(id) {
		for _, pid := range membersOf(g) {
			p := hold(pid)
			if p == nil {
				continue
			}
			woken := p.in(id) && p.wake()
			p.release()
			if woken {
				return
			}
		}
	}
}

// wake opens the pipes in the process's root for writing, and closes them; false when its root cannot be entered.
func (p *process) wake() bool {
	root, err := unix.Open("/proc/"+strconv.Itoa(p.pid)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(root) }() // was only looked at
	for _, name := range accountFiles {
		// Its links lead to places in its own root, never in the host's.
		at, err := unix.Openat2(root, name, &unix.OpenHow{
			Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
		})
		if err != nil {
			continue
		}
		var st unix.Stat_t
		if unix.Fstat(at, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO {
			// This very file, which is a pipe: opened so it cannot wait, and fails when nobody reads.
			if w, err := unix.Open("/proc/self/fd/"+strconv.Itoa(at), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
				_ = unix.Close(w)
			}
		}
		_ = unix.Close(at)
	}
	return true
}
