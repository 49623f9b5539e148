package terraform

import (
	"bytes"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"
)

// canWarm: warm processes need the means below to be sure of their end.
const canWarm = true

// endMarked kills every process that carries the driver's mark, or only those
// of one run, once they had grace to end by themselves. It returns after they
// are gone and tells how many it killed. A process inherits its marks, so
// what Terraform started (a provider) and left behind is found as well.
func endMarked(workDir, run string, grace time.Duration) int {
	killed := map[int]bool{}
	for begun := time.Now(); ; time.Sleep(5 * time.Millisecond) { // of a process that is not our child, only looking tells that it is gone
		found := 0
		eachMarked(workDir, run, func(p *os.Process) {
			found++
			if time.Since(begun) >= grace && p.Kill() == nil {
				killed[p.Pid] = true
			}
		})
		// A killed process that stays is stuck in the kernel; nothing more can be done about it.
		if found == 0 || time.Since(begun) > grace+5*time.Second {
			return len(killed)
		}
	}
}

// eachMarked calls visit with every process of the driver's mark. The process
// is pinned (by a pidfd) before its environment is read, so its number cannot
// have passed to another one. A zombie has no environment and is not visited.
func eachMarked(workDir, run string, visit func(*os.Process)) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return
	}
	driverMark := []byte("\x00" + markDriver + "=" + workDir + "\x00")
	runMark := []byte("\x00" + markRun + "=" + run + "\x00")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			continue
		}
		if environ, err := os.ReadFile("/proc/" + entry.Name() + "/environ"); err == nil {
			environ = append([]byte{0}, environ...)
			if bytes.Contains(environ, driverMark) && (run == "" || bytes.Contains(environ, runMark)) {
				visit(p)
			}
		}
		_ = p.Release() // closes the pidfd; there is nothing to learn from it
	}
}

func stampFrom(info fs.FileInfo) stamp {
	s := stamp{Size: info.Size()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.Device, s.Inode, s.Changed = uint64(sys.Dev), sys.Ino, sys.Ctim.Nano()
	}
	return s
}

func ownedByUs(info fs.FileInfo) bool {
	sys, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Getuid()
}
