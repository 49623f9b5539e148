// Package hostproc finds, pins and kills the processes of sandboxes and of the engine on this host.
package hostproc

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
)

// engineTools are the programs that an engine starts inside containers by, as the first word of their command line.
var engineTools = []string{"runc", "crun"}

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

// Process is pinned by a pidfd before anything of it is read, so that its number cannot have passed to another one
// by the time it is killed.
type Process struct{ PID, FD int }

// Hold pins a process; nil when it is gone.
func Hold(pid int) *Process {
	if pid <= 1 || pid == os.Getpid() {
		return nil
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil
	}
	return &Process{PID: pid, FD: fd}
}

// Release lets go of the process.
func (p *Process) Release() { _ = unix.Close(p.FD) } // was only read from

// read returns a file of the process; empty when it has ended.
func (p *Process) read(name string) []byte {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/" + name)
	if err != nil {
		return nil
	}
	return text
}

// in reports whether the process is in a control group of a container.
func (p *Process) in(id string) bool { return bytes.Contains(p.read("cgroup"), []byte(id)) }

func (p *Process) namespace() string {
	ns, err := os.Readlink("/proc/" + strconv.Itoa(p.PID) + "/ns/pid")
	if err != nil {
		return ""
	}
	return ns
}

// tool reports whether the process was started as one of the engine's tools.
func (p *Process) tool() bool {
	name, _, _ := bytes.Cut(p.read("cmdline"), []byte{0})
	return slices.Contains(engineTools, filepath.Base(string(name)))
}

// helps reports whether the process is an engine's tool, root's, that runs a command in the container. Whoever asks has
// made sure that it is in this process's own pid namespace: in a sandbox anything could call itself so. The container's
// shim, which names the id too, is no such tool, and one that starts or deletes a container is left to its work.
func (p *Process) helps(id string) bool {
	if !p.tool() {
		return false
	}
	words := strings.Split(strings.TrimRight(string(p.read("cmdline")), "\x00"), "\x00")
	if len(words) < 3 || words[len(words)-1] != id || !slices.Contains(words, "exec") {
		return false
	}
	var st unix.Stat_t
	return unix.Stat("/proc/"+strconv.Itoa(p.PID), &st) == nil && st.Uid == 0
}

func (p *Process) parent() int {
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
func (p *Process) kill(seen map[int]bool) int {
	stat := p.read("stat")
	if i := bytes.LastIndexByte(stat, ')'); i < 0 || i+2 >= len(stat) || stat[i+2] == 'Z' || stat[i+2] == 'X' {
		return 0
	}
	if unix.PidfdSendSignal(p.FD, unix.SIGKILL, nil, 0) != nil {
		return 0
	}
	seen[p.PID] = true
	return 1
}

// startedField is the place of the start time in /proc/PID/stat, counted behind the name from 0.
const startedField = 19

// MainOf reports whether a process is in a container's own control groups, by the kernel's word.
func (p *Process) MainOf(id string) bool {
	for line := range strings.Lines(string(p.read("cgroup"))) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 && cgroup.Is(cgroup.Own(f[2]), id) {
			return true
		}
	}
	return false
}

// Started returns when the process started; 0 when it is gone.
func (p *Process) Started() uint64 {
	stat := p.read("stat")
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the name may hold anything
	if len(fields) <= startedField {
		return 0
	}
	n, err := strconv.ParseUint(string(fields[startedField]), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
