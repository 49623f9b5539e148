package api

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// socketListener is a unix socket that only its owner, and a group that was named, may use, held under a lock so that no other
// daemon takes it over. Its file may be removed by others (cleaners of /tmp and /run): it is made again.
type socketListener struct {
	path    string
	members *group
	log     *slog.Logger
	done    chan struct{}

	mu     sync.Mutex
	ln     *net.UnixListener
	lock   *os.File
	file   os.FileInfo
	closed bool
	// told is the last logged state of the file, so that each state is logged once.
	told string
}

// listenUnix makes the socket, for its owner and, when there is one, a group. Its folder is made when it is not there, for
// the same to pass through.
// It replaces an old socket, but not one with a listening process, and checks the file regularly.
func listenUnix(path string, members *group, every time.Duration, log *slog.Logger) (net.Listener, error) {
	if len(path) > 107 {
		return nil, fmt.Errorf("listen on socket: path %s has %d bytes, and 107 are the most", path, len(path))
	}
	l := &socketListener{path: path, members: members, log: log, done: make(chan struct{})}
	if err := l.bind(); err != nil {
		return nil, err
	}
	go l.keep(every)
	return l, nil
}

// bind makes the socket and takes its lock. l.mu is held, or nobody else knows l yet.
func (l *socketListener) bind() error {
	if err := secureFolder(filepath.Dir(l.path), l.members); err != nil {
		return fmt.Errorf("cannot listen on socket: %w", err)
	}
	lock, err := os.OpenFile(l.path+".lock", os.O_CREATE|os.O_RDWR|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("lock socket: %w", err)
	}
	// The lock that is held already is another open file of the same: it would be in the way.
	if same(l.lock, lock) {
		_ = lock.Close() // It was only looked at.
		lock = l.lock
	}
	ln, err := bindUnix(l.path, lock, l.members)
	if err == nil {
		l.file, err = os.Lstat(l.path)
	}
	if err != nil {
		if lock != l.lock {
			err = errors.Join(err, lock.Close())
		}
		return err
	}
	if l.lock != nil && l.lock != lock {
		_ = l.lock.Close() // Its file is gone; the new one holds.
	}
	l.ln, l.lock = ln, lock
	return nil
}

// same reports whether two open files are one file.
func same(a, b *os.File) bool {
	if a == nil || b == nil {
		return false
	}
	x, err1 := a.Stat()
	y, err2 := b.Stat()
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// keep looks at the socket's file until the listener is closed.
func (l *socketListener) keep(every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-l.done:
			return
		case <-tick.C:
			l.look()
		}
	}
}

// look makes the socket again when its file is gone. One that somebody else put in its place is left alone.
func (l *socketListener) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	switch info, err := os.Lstat(l.path); {
	case err == nil && os.SameFile(info, l.file):
		l.told = ""
		return
	case err == nil:
		l.tell("the socket was replaced by another process: this daemon is not reached at it", nil)
		return
	case !errors.Is(err, fs.ErrNotExist):
		l.tell("the socket cannot be looked at", err)
		return
	}
	old := l.ln
	if err := l.bind(); err != nil {
		l.tell("the socket was removed, and cannot be made again yet", err)
		return
	}
	// Its file is the new one's now.
	old.SetUnlinkOnClose(false)
	_ = old.Close() // Nobody can reach it any more.
	l.told = ""
	l.log.Warn("the socket was removed, and made again", "socket", l.path)
}

// tell logs a state once.
func (l *socketListener) tell(what string, err error) {
	if l.told == what {
		return
	}
	l.told = what
	l.log.Error(what, "socket", l.path, "error", err)
}

func (l *socketListener) current() (*net.UnixListener, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ln, l.closed
}

// Accept waits for a connection, at whatever socket is there then.
func (l *socketListener) Accept() (net.Conn, error) {
	for {
		ln, _ := l.current()
		conn, err := ln.Accept()
		if err == nil || !errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		if now, closed := l.current(); closed || now == ln {
			return nil, err
		}
	}
}

// Addr is the socket's address.
func (l *socketListener) Addr() net.Addr {
	ln, _ := l.current()
	return ln.Addr()
}

// Close removes the socket, if it is still this one's, and lets the lock go. Only the first call does.
func (l *socketListener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return net.ErrClosed
	}
	l.closed = true
	close(l.done)
	if info, err := os.Lstat(l.path); err != nil || !os.SameFile(info, l.file) {
		l.ln.SetUnlinkOnClose(false)
	}
	return errors.Join(l.ln.Close(), l.lock.Close())
}
