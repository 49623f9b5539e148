//go:build linux

package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

func init() {
	attempts["call"] = call
	attempts["past"] = past
	attempts["clone"] = func(a []string) (string, error) { return clone(a[0]) }
	attempts["setns"] = func(a []string) (string, error) { return setns(a[0]) }
	attempts["clock"] = func([]string) (string, error) { return setClock() }
	attempts["hostname"] = func([]string) (string, error) { return setHostname() }
}

// calls are the system calls that attempts name.
var calls = map[string]uintptr{
	"acct": unix.SYS_ACCT, "add_key": unix.SYS_ADD_KEY, "bpf": unix.SYS_BPF, "chroot": unix.SYS_CHROOT, "clone3": unix.SYS_CLONE3,
	"delete_module": unix.SYS_DELETE_MODULE, "fanotify_init": unix.SYS_FANOTIFY_INIT, "finit_module": unix.SYS_FINIT_MODULE,
	"fsopen": unix.SYS_FSOPEN, "fspick": unix.SYS_FSPICK, "init_module": unix.SYS_INIT_MODULE, "io_uring_setup": unix.SYS_IO_URING_SETUP,
	"kcmp": unix.SYS_KCMP, "kexec_load": unix.SYS_KEXEC_LOAD, "keyctl": unix.SYS_KEYCTL, "mount": unix.SYS_MOUNT,
	"mount_setattr": unix.SYS_MOUNT_SETATTR, "move_mount": unix.SYS_MOVE_MOUNT, "move_pages": unix.SYS_MOVE_PAGES,
	"open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT, "open_tree": unix.SYS_OPEN_TREE, "perf_event_open": unix.SYS_PERF_EVENT_OPEN,
	"personality": unix.SYS_PERSONALITY, "pivot_root": unix.SYS_PIVOT_ROOT, "process_vm_readv": unix.SYS_PROCESS_VM_READV,
	"quotactl": unix.SYS_QUOTACTL, "reboot": unix.SYS_REBOOT, "request_key": unix.SYS_REQUEST_KEY,
	"setdomainname": unix.SYS_SETDOMAINNAME, "swapoff": unix.SYS_SWAPOFF, "swapon": unix.SYS_SWAPON, "syslog": unix.SYS_SYSLOG,
	"umount2": unix.SYS_UMOUNT2, "unshare": unix.SYS_UNSHARE, "userfaultfd": unix.SYS_USERFAULTFD,
}

// call makes a system call: its name, and up to six arguments, each a number, nil, s:TEXT, b:LENGTH (zeros) or x:BYTES in hex.
func call(words []string) (string, error) {
	nr, ok := calls[words[0]]
	if !ok {
		return "", brokenf("unknown call %q", words[0])
	}
	var args [6]uintptr
	for i, word := range words[1:] {
		kind, rest, named := strings.Cut(word, ":")
		var data []byte
		switch {
		case word == "nil":
			continue
		case !named:
			n, err := strconv.ParseInt(word, 0, 64)
			if err != nil {
				return "", brokenf("argument %d: %v", i+1, err)
			}
			args[i] = uintptr(n) //nolint:gosec // -1 and -100 are arguments of system calls, too
			continue
		case kind == "s":
			data = append([]byte(rest), 0)
		case kind == "b":
			n, err := strconv.Atoi(rest)
			if err != nil || n < 1 {
				return "", brokenf("argument %d: %q is no length", i+1, rest)
			}
			data = make([]byte, n)
		case kind == "x":
			var err error
			if data, err = hex.DecodeString(rest); err != nil {
				return "", brokenf("argument %d: %v", i+1, err)
			}
		default:
			return "", brokenf("argument %d: %q is none", i+1, word)
		}
		args[i] = pointer(data)
	}
	r, _, errno := unix.Syscall6(nr, args[0], args[1], args[2], args[3], args[4], args[5])
	if errno != 0 {
		return "", fmt.Errorf("%s: %w", words[0], errno)
	}
	return fmt.Sprintf("%s gave %d", words[0], r), nil
}

// past makes a call with arguments that cannot succeed: what matters is whether the kernel got as far as checking them.
func past(words []string) (string, error) {
	said, err := call(words)
	for _, closed := range []error{errBroken, unix.EPERM, unix.EACCES, unix.ENOSYS} {
		if errors.Is(err, closed) {
			return said, err
		}
	}
	if err != nil {
		return "allowed, but for its arguments: " + err.Error(), nil
	}
	return said, nil
}

// namespaces are the kinds of namespaces.
var namespaces = map[string]uintptr{
	"user": unix.CLONE_NEWUSER, "mount": unix.CLONE_NEWNS, "net": unix.CLONE_NEWNET, "pid": unix.CLONE_NEWPID,
	"ipc": unix.CLONE_NEWIPC, "uts": unix.CLONE_NEWUTS, "cgroup": unix.CLONE_NEWCGROUP,
}

// clone starts a process in a new namespace: unshare cannot make a user namespace in a process with several threads.
func clone(name string) (string, error) {
	flag, ok := namespaces[name]
	if !ok {
		return "", brokenf("unknown namespace %q", name)
	}
	cmd := exec.Command("/proc/self/exe", "noop")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flag}
	if name == "user" {
		id := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		gid := []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = id, gid
	}
	return "a process in a new " + name + " namespace", cmd.Run()
}

// setns joins a namespace by its file.
func setns(path string) (string, error) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer release(fd)
	if strings.HasSuffix(path, "/mnt") { // a thread that shares its working directory with others may not
		if err := unix.Unshare(unix.CLONE_FS); err != nil {
			return "", err
		}
	}
	return "joined " + path, unix.Setns(fd, 0)
}

// setClock sets the clock to an invalid time, which the kernel detects only after it has checked the permission.
func setClock() (string, error) {
	_, err := unix.Adjtimex(&unix.Timex{Modes: unix.ADJ_SETOFFSET, Time: unix.Timeval{Usec: -1}})
	if errors.Is(err, unix.EINVAL) {
		return "allowed, but for its arguments", nil
	}
	return "the clock is set", err
}

// setHostname sets the host name to its current value.
func setHostname() (string, error) {
	name, err := os.Hostname()
	if err != nil {
		return "", err
	}
	return "set to " + name, unix.Sethostname([]byte(name))
}
