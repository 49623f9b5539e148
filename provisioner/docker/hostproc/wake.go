package hostproc

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/provisioner/docker/cgroup"
)

// accountFiles are what an engine reads in a sandbox, as root and with no bound, before it starts a command.
var accountFiles = []string{"etc/passwd", "etc/group"}

// Wake ends the reading of pipes that a sandbox has in place of its account files: each reader is a thread of the
// engine's. A pipe that the sandbox has put elsewhere meanwhile is not found.
func Wake(id string) {
	for _, g := range cgroupsOf(id) {
		for _, pid := range cgroup.Members(g) {
			p := Hold(pid)
			if p == nil {
				continue
			}
			woken := p.in(id) && p.wake()
			p.Release()
			if woken {
				return
			}
		}
	}
}

// wake opens the pipes in the process's root for writing, and closes them; false when its root cannot be entered.
func (p *Process) wake() bool {
	root, err := unix.Open("/proc/"+strconv.Itoa(p.PID)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
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
