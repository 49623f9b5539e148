package ports

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/hostproc"
)

const (
	threadNet = "/proc/thread-self/ns/net"
	// backlog is how many connections wait for Accept; the kernel drops what comes beyond.
	backlog = 128
)

var (
	// setns is the system call; a variable for tests.
	setns = unix.Setns
	// longAgo is a deadline that has passed.
	longAgo = time.Unix(1, 0)
)

// portMeans reports what is missing to enter network namespaces; nil when nothing is.
func portMeans() error {
	if os.Geteuid() != 0 {
		return errors.New("bothyd does not run as root")
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("read own capabilities: %w", err)
	}
	for number, name := range map[int]string{unix.CAP_SYS_ADMIN: "SYS_ADMIN", unix.CAP_SYS_PTRACE: "SYS_PTRACE"} {
		if sets[number/32].Effective&(1<<(number%32)) == 0 {
			return fmt.Errorf("bothyd lacks the capability %s", name)
		}
	}
	return nil
}

// enter makes a TCP socket in the network namespace of a container's main process, which it pins and gives with the moment that it
// started. errOther: the process is gone, or is not that one. main.started may be 0, when it is not known.
func enter(id string, main mainProcess) (fd int, p *hostproc.Process, started uint64, err error) {
	held := hostproc.Hold(main.pid)
	if held == nil {
		return 0, nil, 0, errOther
	}
	defer func() {
		if err != nil {
			held.Release()
		}
	}()
	started = held.Started()
	if !held.MainOf(id) || started == 0 || main.started != 0 && started != main.started {
		return 0, nil, 0, errOther
	}
	ns, err := unix.Open("/proc/"+strconv.Itoa(held.PID)+"/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, nil, 0, missing(err)
	}
	defer func() { _ = unix.Close(ns) }() // was only entered
	// The number was this process's all the time, if the process still has it: all that was read is its own.
	if unix.PidfdSendSignal(held.FD, 0, nil, 0) != nil {
		return 0, nil, 0, errOther
	}
	if isMachines(ns) {
		return 0, nil, 0, errHostNetwork
	}
	fd, err = socketAt(ns)
	return fd, held, started, err
}

// missing tells a process that has ended from other errors.
func missing(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ESRCH) {
		return errOther
	}
	return os.NewSyscallError("open", err)
}

// machines are the namespaces that are no sandbox's: this process's own, and that of the machine's first process.
var machines = sync.OnceValue(func() (all []unix.Stat_t) {
	for _, name := range []string{threadNet, "/proc/1/ns/net"} {
		var st unix.Stat_t
		if unix.Stat(name, &st) == nil {
			all = append(all, st)
		}
	}
	return all
})

// isMachines reports whether a namespace is one of those, or that is unknown.
func isMachines(ns int) bool {
	var st unix.Stat_t
	if unix.Fstat(ns, &st) != nil || len(machines()) == 0 {
		return true
	}
	for _, m := range machines() {
		if m.Dev == st.Dev && m.Ino == st.Ino {
			return true
		}
	}
	return false
}

// socketAt makes a TCP socket in a network namespace.
func socketAt(ns int) (fd int, err error) {
	done := make(chan struct{})
	go func() { // a goroutine of its own, since it must end when its thread cannot go back
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			// The main thread never ends, so it never enters: while it is held here, the goroutine of another call runs elsewhere.
			fd, err = socketAt(ns)
			runtime.UnlockOSThread()
			return
		}
		var back bool
		if fd, back, err = socketOnThread(ns); back {
			runtime.UnlockOSThread()
		}
		// Otherwise it stays locked, so the thread ends with the goroutine and runs nothing else in the sandbox. A process that was
		// started on it with Pdeathsig would end, too; this goroutine starts none.
	}()
	<-done
	return fd, err
}

// socketOnThread makes a TCP socket on the goroutine's own thread, and reports whether the thread is in its own namespace afterwards.
func socketOnThread(ns int) (fd int, back bool, err error) {
	own, err := unix.Open(threadNet, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, true, err
	}
	defer func() { _ = unix.Close(own) }() // was only entered
	if err := setns(ns, unix.CLONE_NEWNET); err != nil {
		return 0, true, err
	}
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if stays := setns(own, unix.CLONE_NEWNET); stays != nil {
		if err == nil {
			_ = unix.Close(fd) // was not used
		}
		return 0, false, fmt.Errorf("go back to the own network namespace: %w", stays)
	}
	return fd, true, err
}

// loopback is a port of 127.0.0.1.
func loopback(port int) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}
}

// connect connects a socket, which it takes over. errNobody: nothing listens at the port.
func connect(ctx context.Context, fd, port int) (net.Conn, error) {
	begun := unix.Connect(fd, loopback(port))
	f := os.NewFile(uintptr(fd), "socket") //nolint:gosec // a descriptor is never negative
	defer engine.CloseQuietly(f)
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	if begun != nil && !errors.Is(begun, unix.EINPROGRESS) && !errors.Is(begun, unix.EINTR) {
		return nil, refused(begun)
	}
	// A file's deadline that has passed wakes whoever waits for it.
	defer context.AfterFunc(ctx, func() { _ = f.SetWriteDeadline(longAgo) })()
	var result error
	if err := raw.Write(func(fd uintptr) bool {
		var done bool
		done, result = connected(int(fd), port) //nolint:gosec // see above
		return done
	}); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	if result != nil {
		return nil, refused(result)
	}
	return net.FileConn(f)
}

// connected reports whether a connect has come to an end, and which.
func connected(fd, port int) (done bool, err error) {
	code, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && code != 0 {
		err = unix.Errno(code) //nolint:gosec // an errno
	}
	if err != nil {
		return true, err
	}
	if _, err := unix.Getpeername(fd); err != nil {
		return !errors.Is(err, unix.ENOTCONN), err
	}
	// Where nothing listens, the kernel may choose the same port for this end, and then the socket is connected to itself.
	own, err := unix.Getsockname(fd)
	if at, ok := own.(*unix.SockaddrInet4); err == nil && ok && at.Port == port {
		return true, errNobody
	}
	return true, err
}

// refused tells that nobody listens from other errors.
func refused(err error) error {
	if errors.Is(err, unix.ECONNREFUSED) {
		return errNobody
	}
	return os.NewSyscallError("connect", err)
}

// listener ends with the sandbox's main process.
type listener struct {
	net.Listener
	main  *os.File // a pidfd
	ended chan struct{}
	stop  func()
}

// listen listens with a socket and watches a process; it takes over both. ErrPortTaken: the port is.
func listen(fd int, main *hostproc.Process, port int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "socket") //nolint:gosec // a descriptor is never negative
	defer engine.CloseQuietly(f)
	inner, err := listenAt(f, fd, port)
	if err != nil {
		main.Release()
		return nil, err
	}
	l := &listener{Listener: inner, ended: make(chan struct{})}
	l.stop = sync.OnceFunc(func() { _ = inner.Close() }) // nobody can do anything about it
	// Go's poller waits for it only when it does not block; it then may be read when the process has ended.
	if err := unix.SetNonblock(main.FD, true); err != nil {
		l.stop()
		main.Release()
		return nil, os.NewSyscallError("fcntl", err)
	}
	l.main = os.NewFile(uintptr(main.FD), "pidfd") //nolint:gosec // see above
	raw, err := l.main.SyscallConn()
	if err != nil {
		l.stop()
		engine.CloseQuietly(l.main)
		return nil, err
	}
	go func() {
		defer close(l.ended)
		// Either way it is over: the process has ended, or Close has closed the file.
		_ = raw.Read(func(fd uintptr) bool { return hasEnded(int(fd)) }) //nolint:gosec // see above
		l.stop()
	}()
	return l, nil
}

func listenAt(f *os.File, fd, port int) (net.Listener, error) {
	// So that a port is free at once after Close, while the kernel remembers connections of it.
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	err := unix.Bind(fd, loopback(port))
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return nil, provisioner.ErrPortTaken
	case err != nil:
		return nil, os.NewSyscallError("listen", err)
	}
	return net.FileListener(f)
}

// hasEnded reports whether a process has ended, by its pidfd.
func hasEnded(fd int) bool {
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0) //nolint:gosec // a descriptor is small
	return err == nil && n > 0
}

// Close ends the listener and what watches the sandbox.
func (l *listener) Close() error {
	l.stop()
	engine.CloseQuietly(l.main)
	<-l.ended
	return nil
}
