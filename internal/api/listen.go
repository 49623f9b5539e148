package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/auth"
	"github.com/bothy-env/bothy/internal/fleet"
)

func bindUnix(path string, lock *os.File, members *group) (*net.UnixListener, error) {
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("cannot listen on %s: another bothyd uses the socket, stop it or choose another one with --listen-unix", path)
		}
		return nil, fmt.Errorf("cannot lock socket %s: %w", path, err)
	}
	if err := clearStale(path); err != nil {
		return nil, err
	}
	// On Linux the file gets the mode that the socket has at bind, so it is never open to other users.
	private := func(_, _ string, c syscall.RawConn) error {
		var err error
		if ctlErr := c.Control(func(fd uintptr) { err = syscall.Fchmod(int(fd), 0o600) }); ctlErr != nil {
			return ctlErr
		}
		return err
	}
	ln, err := (&net.ListenConfig{Control: private}).Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("cannot set the mode of the socket: %w", err), ln.Close())
	}
	if members != nil {
		if err := members.letIn(path); err != nil {
			return nil, errors.Join(err, ln.Close())
		}
	}
	socket, ok := ln.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("cannot listen on socket: got a %T", ln), ln.Close())
	}
	return socket, nil
}

// secureFolder refuses a folder in which somebody else could put a socket in place of ours, or where members cannot come.
func secureFolder(dir string, members *group) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	mkdir := func(dir string) error { return os.Mkdir(dir, 0o700) }
	if members != nil {
		mkdir = members.makeFolder
	}
	if err := mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	if mode := info.Mode().Perm(); mode&0o022 != 0 {
		return fmt.Errorf("directory %s has mode %04o, so others may write there: chmod 700 or choose another one", dir, mode)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() && st.Uid != 0 {
		return fmt.Errorf("directory %s belongs to uid %d", dir, st.Uid)
	}
	if members != nil {
		return members.reaches(dir)
	}
	return nil
}

// clearStale removes a socket without a listening process, and nothing else.
func clearStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("cannot listen on %s: the file exists and is not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(fmt.Errorf("cannot listen on %s: another process is listening", path), conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("cannot check socket %s: %w", path, err)
	}
	return os.Remove(path)
}

// peer is who is at the other end of a connection.
type peer struct {
	name string
	// uid is auth.NoUID where the kernel does not know it.
	uid int
}

// peerKey holds what the kernel says of the other end of a unix connection.
type peerKey struct{}

type peerFound struct {
	peer peer
	err  error
}

// withPeer puts the kernel's word on who connected into the connection's context.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	p, err := peerOf(c)
	return context.WithValue(ctx, peerKey{}, peerFound{p, err})
}

func peerOf(c net.Conn) (peer, error) {
	uc, ok := c.(*net.UnixConn)
	if !ok {
		return peer{}, fmt.Errorf("read peer of a %T", c)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return peer{}, fmt.Errorf("read peer: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return peer{}, fmt.Errorf("read peer: %w", err)
	}
	if credErr != nil {
		return peer{}, fmt.Errorf("read peer: %w", credErr)
	}
	p := peer{uid: int(cred.Uid)}
	uid := strconv.Itoa(p.uid)
	p.name = "uid-" + uid
	if u, err := user.LookupId(uid); err == nil {
		p.name = u.Username
	}
	return p, nil
}

// identifyPeer gives the user at the other end of a unix connection.
func identifyPeer(r *http.Request) (peer, error) {
	p, ok := r.Context().Value(peerKey{}).(peerFound)
	if !ok || p.err != nil || p.peer.name == "" {
		requestOf(r.Context()).log.Warn("peer unknown", "error", p.err)
		return peer{}, problem(fleet.CodeUnauthenticated, "", "the system does not report your user id")
	}
	return p.peer, nil
}

// identifyToken gives whose token a request carries.
func (s *Server) identifyToken(r *http.Request) (peer, error) {
	scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if secret = strings.TrimSpace(secret); !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return peer{}, problem(fleet.CodeUnauthenticated, "set it with BOTHY_TOKEN or --token-file", "a token is required")
	}
	name, err := s.tokens.Name(secret)
	if fleet.CodeOf(err) == fleet.CodeUnavailable {
		requestOf(r.Context()).log.Error("cannot read token file", "file", s.tokens.Path(), "error", errors.Unwrap(err))
	}
	return peer{name, auth.NoUID}, err
}
