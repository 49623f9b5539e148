package main

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// calls are system calls by what they ask for. Each is made so that a kernel that looks at it at all does something
// else than refuse: it works, or says what is wrong with its arguments.
var calls = map[string]func() error{
	"socket vsock":     socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0),
	"socket packet":    socket(unix.AF_PACKET, unix.SOCK_RAW, 0),
	"socket unix":      socket(unix.AF_UNIX, unix.SOCK_STREAM, 0),
	"socket inet":      socket(unix.AF_INET, unix.SOCK_STREAM, 0),
	"socket inet6":     socket(unix.AF_INET6, unix.SOCK_DGRAM, 0),
	"socket netlink":   socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE),
	"socketpair unix":  func() error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err },
	"io_uring_setup":   raw(unix.SYS_IO_URING_SETUP, 1, 0),
	"io_setup":         raw(unix.SYS_IO_SETUP, 0, 0),
	"keyctl":           raw(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(0)-3, 1),
	"add_key":          raw(unix.SYS_ADD_KEY, 0, 0),
	"request_key":      raw(unix.SYS_REQUEST_KEY, 0, 0),
	"unshare user":     unshare(unix.CLONE_NEWUSER),
	"unshare net":      unshare(unix.CLONE_NEWNET),
	"unshare files":    unshare(unix.CLONE_FILES),
	"setns":            raw(unix.SYS_SETNS, ^uintptr(0), 0),
	"clone3":           raw(unix.SYS_CLONE3, 0, 0),
	"clone user":       clone(unix.CLONE_NEWUSER),
	"clone net":        clone(unix.CLONE_NEWNET),
	"clone":            clone(0),
	"mount":            raw(unix.SYS_MOUNT, 0, 0),
	"umount":           raw(unix.SYS_UMOUNT2, 0, 0),
	"pivot_root":       raw(unix.SYS_PIVOT_ROOT, 0, 0),
	"chroot":           raw(unix.SYS_CHROOT, 0),
	"fsopen":           raw(unix.SYS_FSOPEN, 0),
	"open_tree":        raw(unix.SYS_OPEN_TREE, ^uintptr(0), 0),
	"bpf":              raw(unix.SYS_BPF, 99, 0, 0),
	"perf_event_open":  raw(unix.SYS_PERF_EVENT_OPEN, 0),
	"userfaultfd":      raw(unix.SYS_USERFAULTFD, ^uintptr(0)>>33<<1),
	"open_by_handle":   raw(unix.SYS_OPEN_BY_HANDLE_AT, ^uintptr(0), 0),
	"pidfd_getfd":      raw(unix.SYS_PIDFD_GETFD, ^uintptr(0), 0),
	"kcmp":             raw(unix.SYS_KCMP, 1, 1, 99),
	"quotactl":         raw(unix.SYS_QUOTACTL, 0x7fffff00, 0),
	"syslog":           raw(unix.SYS_SYSLOG, 10),
	"ptrace":           raw(unix.SYS_PTRACE, 99, 0),
	"process_vm_readv": raw(unix.SYS_PROCESS_VM_READV, 1<<30),
}

// raw makes a call with some arguments, the others 0.
func raw(nr uintptr, args ...uintptr) func() error {
	return func() error {
		var a [6]uintptr
		copy(a[:], args)
		if _, _, errno := syscall.Syscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
			return errno
		}
		return nil
	}
}

func socket(family, kind, protocol int) func() error {
	return func() error { _, err := unix.Socket(family, kind, protocol); return err }
}

// unshare does so on a thread of its own, which ends with it.
func unshare(flags int) func() error {
	return func() error {
		done := make(chan error)
		go func() {
			runtime.LockOSThread()
			// A process of several threads gets no user namespace (EINVAL); it was looked at all the same.
			done <- unix.Unshare(flags)
		}()
		return <-done
	}
}

// clone makes a process, which ends at once.
func clone(flags uintptr) func() error {
	return func() error {
		pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		if pid == 0 && errno == 0 {
			for {
				_, _, _ = syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
		}
		if errno != 0 {
			return errno
		}
		var status unix.WaitStatus
		_, err := unix.Wait4(int(pid), &status, 0, nil)
		return err
	}
}

// call makes a system call and says whether the kernel refused to look at it.
func call(name string) error {
	made, ok := calls[name]
	if !ok {
		return fmt.Errorf("unknown call %q", name)
	}
	err := made()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EACCES) {
		return err
	}
	return nil
}
