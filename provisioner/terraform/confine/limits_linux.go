package confine

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// dieWithUs makes a command's process group its own, away from the terminal's
// interrupts, and has the kernel kill it when the thread that starts it ends.
func dieWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// setLimits sets what the kernel bounds by process. Memory and tasks are bounded so only where no cgroup bounds them: a cgroup counts what
// it refused, whereas of a process that a program started, and that ran into its own limit, nothing may be heard. apart says
// that it has a user namespace of its own.
func setLimits(pid int, b Bounds, g *group, apart bool) error {
	limits := map[int]uint64{unix.RLIMIT_CORE: 0}
	set := func(resource int, value int64) {
		if value > 0 {
			limits[resource] = uint64(value)
		}
	}
	if !g.bounds("memory") {
		set(unix.RLIMIT_DATA, b.Memory)
	}
	set(unix.RLIMIT_FSIZE, b.FileSize)
	set(unix.RLIMIT_NOFILE, b.OpenFiles)
	set(unix.RLIMIT_CPU, int64((b.CPU+time.Second-1)/time.Second))
	if !g.bounds("pids") && os.Getuid() != 0 && apart {
		// Counted by user and namespace. In the machine's own it counts all that the user runs, sandboxes included: no bound of one box.
		set(unix.RLIMIT_NPROC, b.Tasks)
	}
	for resource, value := range limits {
		limit := unix.Rlimit{Cur: value, Max: value}
		var now unix.Rlimit
		if err := unix.Prlimit(pid, resource, nil, &now); err != nil {
			return ended(err)
		}
		limit.Max = min(limit.Max, now.Max)
		limit.Cur = min(limit.Cur, limit.Max)
		if err := unix.Prlimit(pid, resource, &limit, nil); err != nil {
			return ended(err)
		}
	}
	return nil
}

// ended lets pass that there is no such process any more: whoever waits for it reports how it ended.
func ended(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// closeOnExec keeps open files from programs that are started; those that are meant for one are handed on by name. Go opens its own so.
func closeOnExec() {
	// An error: a kernel before 5.11, and an inherited file stays visible.
	_ = unix.CloseRange(3, 1<<32-1, unix.CLOSE_RANGE_CLOEXEC)
}
