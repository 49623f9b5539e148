package api_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// listenAt makes a server at a path, listens and lets go again.
func listenAt(t *testing.T, path string) error {
	t.Helper()
	s, err := api.New(api.Config{Socket: path}, newDouble().services())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s.Listen()
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func TestTheSocketIsClosedToOthers(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0)) // A careless mask must not open it.
	r := start(t, newDouble())
	if m := mode(t, r.socket); m != os.ModeSocket|0o600 {
		t.Errorf("socket has mode %v", m)
	}
	if m := mode(t, filepath.Dir(r.socket)); m != os.ModeDir|0o700 {
		t.Errorf("its folder has mode %v", m)
	}
}

func TestALeftOverSocketIsReplaced(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	if err := listenAt(t, path); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotOursToReplaceStays(t *testing.T) {
	t.Run("a socket that somebody answers at", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "s")
		ln, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		if err := listenAt(t, path); err == nil || !strings.Contains(err.Error(), "another process is listening") {
			t.Errorf("listen: %v", err)
		}
		if m := mode(t, path); m.Type() != os.ModeSocket {
			t.Errorf("the socket is now %v", m)
		}
	})
	t.Run("a socket whose owner is too busy to answer", func(t *testing.T) {
		path := filepath.Join(shortDir(t), "s")
		fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer syscall.Close(fd)
		if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
			t.Fatal(err)
		}
		for range 2 { // fills its queue
			if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
				t.Cleanup(func() { _ = conn.Close() })
			}
		}
		if err := listenAt(t, path); err == nil || !strings.Contains(err.Error(), "cannot check socket") {
			t.Errorf("listen: %v", err)
		}
		if m := mode(t, path); m.Type() != os.ModeSocket {
			t.Errorf("the socket is now %v", m)
		}
	})
	t.Run("another bothyd's", func(t *testing.T) {
		r := start(t, newDouble())
		if err := listenAt(t, r.socket); err == nil || !strings.Contains(err.Error(), "another bothyd") || strings.Contains(err.Error(), "temporarily") {
			t.Errorf("listen: %v", err)
		}
		if _, err := r.client().Version(limited(t)); err != nil {
			t.Errorf("the first one: %v", err)
		}
	})
	t.Run("a file", func(t *testing.T) {
		path := put(t, shortDir(t), "s", "precious")
		if err := listenAt(t, path); err == nil || !strings.Contains(err.Error(), "not a socket") {
			t.Errorf("listen: %v", err)
		}
		if data, err := os.ReadFile(path); err != nil || string(data) != "precious" {
			t.Errorf("the file holds %q, %v", data, err)
		}
	})
	t.Run("a link", func(t *testing.T) {
		dir := shortDir(t)
		if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "s")); err != nil {
			t.Fatal(err)
		}
		if err := listenAt(t, filepath.Join(dir, "s")); err == nil {
			t.Error("listened through a link")
		}
	})
}

func TestAFolderThatOthersMayWriteInIsRefused(t *testing.T) {
	dir := shortDir(t)
	for m, ok := range map[os.FileMode]bool{0o700: true, 0o755: true, 0o770: false, 0o777: false, 0o777 | os.ModeSticky: false} {
		if err := os.Chmod(dir, m); err != nil {
			t.Fatal(err)
		}
		if err := listenAt(t, filepath.Join(dir, m.String())); (err == nil) != ok {
			t.Errorf("folder of mode %v: %v", m, err)
		}
	}
	if err := listenAt(t, filepath.Join(dir, strings.Repeat("x", 120))); err == nil || !strings.Contains(err.Error(), "107") {
		t.Errorf("a path too long: %v", err)
	}
}

func TestShutdownTellsStreamsAndWaitsForRequests(t *testing.T) {
	d := newDouble()
	d.add(leased("otter"))
	finding, watching, release := make(chan struct{}), make(chan struct{}), make(chan struct{})
	d.find = func(context.Context, string) (fleet.Environment, error) {
		close(finding)
		<-release
		return leased("otter"), nil
	}
	d.watch = func(ctx context.Context, _ string, _ int64, update func(fleet.Environment, []fleet.Event) error) error {
		_ = update(leased("otter"), nil)
		close(watching)
		<-ctx.Done()
		return ctx.Err()
	}
	d.exec = func(ctx context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		_, _ = s.Stdout.Write([]byte("up"))
		<-ctx.Done()
		return 0, ctx.Err()
	}
	socket := filepath.Join(shortDir(t), "s")
	s, err := api.New(api.Config{Socket: socket}, d.services())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background()) }()
	c, err := client.New(client.Options{Host: "unix://" + socket})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)

	// A watch resumes by itself, so the word of why is read by hand.
	watched, got, execed := make(chan string, 1), make(chan error, 1), make(chan error, 1)
	begun := make(chan string, 2)
	r := &rig{t: t, socket: socket}
	go func() {
		_, body := r.raw("GET", "/v1/environments/otter/watch", nil)
		watched <- body
	}()
	go func() {
		_, err := c.Exec(limited(t), "otter", wire.ExecStart{Command: []string{"x"}}, client.ExecStreams{Stdout: sending(begun)})
		execed <- err
	}()
	go func() {
		_, err := c.Get(limited(t), "otter")
		got <- err
	}()
	receive(t, "exec", begun)
	receive(t, "get", finding)
	receive(t, "watch", watching)

	down := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		down <- s.Shutdown(ctx)
	}()
	contains(t, receive(t, "end of the watch", watched), `{"problem":{"title":"Service Unavailable","status":503,"detail":"bothyd is stopping","code":"unavailable"`)
	var e *client.Error
	if err := receive(t, "end of the exec", execed); !errors.As(err, &e) || e.Code != wire.CodeUnavailable || e.Sentence != "bothyd is stopping" {
		t.Errorf("exec: %v", err)
	}
	until(t, "nobody new gets in", func() bool {
		_, err := net.Dial("unix", socket)
		return err != nil
	})
	select {
	case err := <-down:
		t.Fatalf("it did not wait for the request under way: %v", err)
	default:
	}
	close(release)
	if err := receive(t, "answer", got); err != nil {
		t.Errorf("the request under way: %v", err)
	}
	if err := receive(t, "end of shutdown", down); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if err := receive(t, "end of serve", served); err != nil {
		t.Errorf("serve: %v", err)
	}
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestShutdownCutsOffWhatDoesNotEnd(t *testing.T) {
	d, stuck := newDouble(), make(chan struct{})
	defer close(stuck)
	d.exec = func(_ context.Context, _ provisioner.ExecRequest, s provisioner.Streams) (int, error) {
		_, _ = s.Stdout.Write([]byte("up"))
		<-stuck // deaf to its context
		return 0, nil
	}
	socket := filepath.Join(shortDir(t), "s")
	s, err := api.New(api.Config{Socket: socket}, d.services())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background()) }()
	c, err := client.New(client.Options{Host: "unix://" + socket})
	if err != nil {
		t.Fatal(err)
	}
	begun, ended := make(chan string, 1), make(chan error, 1)
	go func() {
		_, err := c.Exec(limited(t), "otter", wire.ExecStart{Command: []string{"x"}}, client.ExecStreams{Stdout: sending(begun)})
		ended <- err
	}()
	receive(t, "exec", begun)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutdown: %v", err)
	}
	var u *client.Unreachable
	if err := receive(t, "end of the exec", ended); !errors.As(err, &u) || u.Cause != client.CutOff {
		t.Errorf("exec: %v", err)
	}
	if err := receive(t, "end of serve", served); err != nil {
		t.Errorf("serve: %v", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	s, err := api.New(api.Config{Socket: filepath.Join(shortDir(t), "s")}, newDouble().services())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx) }()
	cancel()
	if err := receive(t, "end of serve", served); !errors.Is(err, context.Canceled) {
		t.Errorf("serve: %v", err)
	}
}

// someGroup is a group of this machine that this process is not in.
func someGroup(t *testing.T) (name string, gid int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may give a socket to any group")
	}
	own, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for gid := 1; gid < 100; gid++ {
		if g, err := user.LookupGroupId(strconv.Itoa(gid)); err == nil && !slices.Contains(own, gid) {
			return g.Name, gid
		}
	}
	t.Skip("there is no group to try it with")
	return "", 0
}

// connectAs connects to a socket with the rights of nobody in a group.
func connectAs(t *testing.T, gid int, path string) error {
	t.Helper()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never let go: the thread ends with the goroutine, and its rights with it
		result <- func() error {
			if _, err := unix.SetfsgidRetGid(gid); err != nil {
				return err
			}
			if _, err := unix.SetfsuidRetUid(65534); err != nil {
				return err
			}
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			return errors.Join(unix.Connect(fd, &unix.SockaddrUnix{Name: path}), unix.Close(fd))
		}()
	}()
	return <-result
}

func TestTheSocketIsOpenToItsGroup(t *testing.T) {
	name, gid := someGroup(t)
	defer syscall.Umask(syscall.Umask(0o077)) // A strict mask must not close it.
	r := start(t, newDouble(), func(c *api.Config) {
		c.SocketGroup = name
		if err := os.Chmod(filepath.Dir(filepath.Dir(c.Socket)), 0o711); err != nil {
			t.Fatal(err)
		}
	})
	if m := mode(t, r.socket); m != os.ModeSocket|0o660 {
		t.Errorf("socket has mode %v", m)
	}
	if m := mode(t, filepath.Dir(r.socket)); m != os.ModeDir|0o710 {
		t.Errorf("its folder has mode %v", m)
	}
	if err := connectAs(t, gid, r.socket); err != nil {
		t.Errorf("a member of the group: %v", err)
	}
	if err := connectAs(t, 65534, r.socket); !errors.Is(err, unix.EACCES) {
		t.Errorf("somebody else: %v", err)
	}
	// A folder that was made by an earlier start is taken again.
	if err := listenAt(t, filepath.Join(filepath.Dir(r.socket), "second")); err != nil {
		t.Error(err)
	}
}

func TestAGroupThatCannotUseTheSocketIsToldAtTheStart(t *testing.T) {
	name, _ := someGroup(t)
	if _, err := api.New(api.Config{Socket: "/x", SocketGroup: "no-such-group"}, newDouble().services()); err == nil ||
		!strings.Contains(err.Error(), `listen.unix_group: there is no group "no-such-group"`) {
		t.Errorf("a group that is not there: %v", err)
	}
	dir := shortDir(t) // 0700
	s, err := api.New(api.Config{Socket: filepath.Join(dir, "run", "s"), SocketGroup: name}, newDouble().services())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err == nil || !strings.Contains(err.Error(), "directory "+dir+" has mode 0700") || !strings.Contains(err.Error(), "listen.unix_group") {
		t.Errorf("below a folder that is closed to it: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "run", "s")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a socket was left: %v", err)
	}
}
