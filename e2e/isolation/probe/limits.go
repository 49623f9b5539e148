//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func init() { attempts["take"] = func(a []string) (string, error) { return take(a[0], a[1]) } }

// takers take one more of a resource that the kernel shares between all, or that a size limits. They hold what they take until this
// process ends.
var takers = map[string]func(i int) error{
	"ptys": func(int) error {
		_, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
		return err
	},
	"files": func(int) error {
		_, err := unix.Open("/dev/null", unix.O_RDONLY, 0)
		return err
	},
	"inotify": func(int) error {
		_, err := unix.InotifyInit1(0)
		return err
	},
	"signals":  func(int) error { return queueSignal() },
	"messages": makeQueue,
	"aio": func(int) error {
		var ctx uintptr
		_, _, errno := unix.Syscall(unix.SYS_IO_SETUP, 64, uintptr(unsafe.Pointer(&ctx)), 0) //nolint:gosec // a system call takes addresses
		return ok(errno)
	},
	"keys": func(i int) error {
		name, payload := append(fmt.Appendf(nil, "probe-%d", i), 0), []byte{1}
		const process = -2 // KEY_SPEC_PROCESS_KEYRING: it ends with this process
		ring := process
		_, _, errno := unix.Syscall6(unix.SYS_ADD_KEY, pointer([]byte("user\x00")), pointer(name), pointer(payload), 1, uintptr(ring), 0)
		return ok(errno)
	},
	"threads": func(int) error {
		started := make(chan struct{})
		go func() {
			runtime.LockOSThread() // a permanent thread of its own
			close(started)
			time.Sleep(most)
		}()
		<-started
		return nil
	},
	"mebibytes": func(i int) error {
		if i == 0 { // before any other process in here
			if err := os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0); err != nil {
				return err
			}
		}
		b, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		for at := 0; at < len(b); at += os.Getpagesize() {
			b[at] = 1
		}
		return nil
	},
}

// take succeeds if it gets the requested number.
func take(what, count string) (string, error) {
	t, known := takers[what]
	n, err := strconv.Atoi(count)
	if err != nil || !known {
		return "", brokenf("%q cannot be taken, or %q is not a number", what, count)
	}
	if what == "ptys" || what == "inotify" || what == "files" { // as many as the hard limit allows
		var l unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			return "", err
		}
		l.Cur = l.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
			return "", err
		}
	}
	for i := range n {
		if err := t(i); err != nil {
			return "", fmt.Errorf("stopped at %d of %d: %v", i, n, err) //nolint:errorlint // an end by ENOENT is an end, too
		}
	}
	return fmt.Sprintf("took %d %s", n, what), nil
}

func ok(errno unix.Errno) error {
	if errno != 0 {
		return errno
	}
	return nil
}

// blocked keeps the signals of queueSignal waiting.
var blocked = sync.OnceValue(func() error {
	var set unix.Sigset_t
	set.Val[0] = 1 << (queued - 1)
	return unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil)
})

// queued is a real-time signal: each pending one counts.
const queued = 50

func queueSignal() error {
	if err := blocked(); err != nil {
		return err
	}
	info := make([]byte, 128)
	*(*int32)(unsafe.Pointer(&info[0])) = queued
	*(*int32)(unsafe.Pointer(&info[8])) = -1 // SI_QUEUE
	_, _, errno := unix.Syscall6(unix.SYS_RT_TGSIGQUEUEINFO, uintptr(unix.Getpid()), uintptr(unix.Gettid()), queued, pointer(info), 0, 0)
	return ok(errno)
}

// makeQueue makes a POSIX message queue of the usual size, and unlinks its name.
func makeQueue(i int) error {
	name := append(fmt.Appendf(nil, "bothy-probe-%d-%d", os.Getpid(), i), 0)
	_, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, pointer(name), unix.O_CREAT|unix.O_EXCL|unix.O_RDWR, 0o600, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	_, _, errno = unix.Syscall(unix.SYS_MQ_UNLINK, pointer(name), 0, 0)
	return ok(errno)
}
