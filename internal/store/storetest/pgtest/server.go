package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// Options of a server.
type Options struct {
	// Durable waits for the disk at each commit, as a real server does. Without it tests are quicker, and what
	// was acknowledged still survives a kill of the server, though not a loss of power.
	Durable bool
	// Settings are more parameters of postgres, by name.
	Settings map[string]string
}

// Server is a running PostgreSQL. It listens on a socket in its own folder only.
type Server struct {
	dir      string
	bin      string
	password string
	options  Options
	as       *syscall.Credential

	databases atomic.Int64
	mu        sync.Mutex
	templated bool
	process   *os.Process
	ended     chan struct{}
}

// startLimit is how long a server may take to answer.
const startLimit = 30 * time.Second

// Start makes a database cluster in a new temporary folder and starts a server on it.
func Start(ctx context.Context, o Options) (_ *Server, err error) {
	removeStale()
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, options: o, password: "not a secret"}
	if s.as, err = unprivileged(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid())); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Stop())
		}
	}()
	if err := s.initialise(ctx); err != nil {
		return nil, err
	}
	if err := s.Restart(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// binaries gives the folder of initdb and postgres: that of what is on PATH, else the newest of Debian's.
func binaries() (string, error) {
	debian, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is right
	if found, err := exec.LookPath("initdb"); err == nil {
		// What is on PATH may be a link; the programs look for each other beside themselves.
		if real, err := filepath.EvalSymlinks(found); err == nil {
			debian = append(debian, real)
		}
	}
	for i := len(debian) - 1; i >= 0; i-- {
		dir := filepath.Dir(debian[i])
		if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("there is no initdb and postgres here: run make setup, or set " + offVariable + "=off")
}

// unprivileged gives whom to run as: PostgreSQL refuses to run as root. Nil: as we are.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
}

func (s *Server) initialise(ctx context.Context) error {
	password := filepath.Join(s.dir, "password")
	if err := os.WriteFile(password, []byte(s.password), 0o600); err != nil {
		return err
	}
	if s.as != nil {
		for _, path := range []string{s.dir, password} {
			if err := os.Chown(path, int(s.as.Uid), int(s.as.Gid)); err != nil {
				return err
			}
		}
	}
	init := s.command(ctx, "initdb", "--pgdata", s.data(), "--username", "bothy", "--pwfile", password,
		"--auth", "password", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return cmd
}

// Restart starts the server again after Kill, and waits until it answers.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if err := s.run(); err != nil {
		return err
	}
	for {
		conn, err := pgx.Connect(ctx, s.DSN("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.ended:
			log, _ := os.ReadFile(s.log())
			return fmt.Errorf("postgres ended by itself:\n%s", log)
		case <-ctx.Done():
			return fmt.Errorf("postgres does not answer: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (s *Server) log() string { return filepath.Join(s.dir, "log") }

// run starts postgres so that it ends at once when this process dies, however it dies.
func (s *Server) run() error {
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // postgres has its own
	args := []string{"-D", s.data()}
	for name, value := range s.settings() {
		args = append(args, "-c", name+"="+value)
	}
	cmd := s.command(context.Background(), "postgres", args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr.Setpgid = true // an interrupt of the terminal is for the tests, which then stop it
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	started, ended := make(chan error), make(chan struct{})
	go func() {
		// The signal comes when the thread ends that started it: this one is kept until then. It goes on after that, as what others
		// started on it before would end with it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	s.process, s.ended = cmd.Process, ended
	return nil
}

func (s *Server) settings() map[string]string {
	settings := map[string]string{
		"listen_addresses": "", "unix_socket_directories": s.dir, "port": port,
		"max_connections": "300", "shared_buffers": "64MB", "timezone": "UTC",
		"autovacuum_naptime": "1h", "deadlock_timeout": "100ms", "max_wal_size": "256MB", "restart_after_crash": "off",
		// Not the machine's memory for shared state: a killed test would leave some there.
		"dynamic_shared_memory_type": "mmap",
	}
	if !s.options.Durable {
		settings["fsync"], settings["full_page_writes"] = "off", "off"
	}
	for name, value := range s.options.Settings {
		settings[name] = value
	}
	return settings
}

// port is part of the socket's name.
const port = "5432"

// DSN gives the address of one of the server's databases.
func (s *Server) DSN(database string) string {
	return s.dsn(database, url.Values{"host": {s.dir}, "port": {port}})
}

// DSNAt is DSN through something that listens at a TCP address in the server's place.
func (s *Server) DSNAt(address, database string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	return s.dsn(database, url.Values{"host": {host}, "port": {port}}), err
}

func (s *Server) dsn(database string, query url.Values) string {
	query.Set("sslmode", "disable")
	address := url.URL{Scheme: "postgres", User: url.UserPassword("bothy", s.password), Path: "/" + database, RawQuery: query.Encode()}
	return address.String()
}

// Programs is the folder of the server's programs, pg_dump and pg_restore among them.
func (s *Server) Programs() string { return s.bin }

// Socket is where the server listens.
func (s *Server) Socket() string { return filepath.Join(s.dir, ".s.PGSQL."+port) }

// Running reports whether the server has not ended.
func (s *Server) Running() bool {
	if s.process == nil {
		return false
	}
	select {
	case <-s.ended:
		return false
	default:
		return true
	}
}

// Kill ends the server with SIGKILL, as a crash of its machine would, and waits until all of it is gone.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := s.end(syscall.SIGKILL); err != nil {
		t.Fatalf("kill PostgreSQL: %v", err)
	}
}

// end ends the server and waits until all of its processes are gone.
func (s *Server) end(how syscall.Signal) error {
	if !s.Running() {
		return nil
	}
	children, err := s.children()
	if err != nil {
		return err
	}
	if err := s.process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.ended
	deadline := time.Now().Add(startLimit)
	for _, pid := range children {
		for !gone(pid) {
			if time.Now().After(deadline) {
				return fmt.Errorf("its process %d does not end", pid)
			}
			if how == syscall.SIGKILL {
				_ = syscall.Kill(pid, how) // when it has just gone, that is what is wanted
			}
			time.Sleep(time.Millisecond)
		}
	}
	return nil
}

// children gives the ids of the server's own processes.
func (s *Server) children() ([]int, error) {
	id := strconv.Itoa(s.process.Pid)
	text, err := os.ReadFile(filepath.Join("/proc", id, "task", id, "children"))
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, field := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			return nil, err
		}
		pids = append(pids, pid)
	}
	return pids, nil
}

// gone reports whether a process has ended, be it that nobody has asked how.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err != nil || strings.HasPrefix(state, "Z")
}

// Stop ends the server and removes its files.
func (s *Server) Stop() error {
	return errors.Join(s.end(syscall.SIGQUIT), s.removeMemory(), os.RemoveAll(s.dir))
}

// removeMemory removes the segment of shared memory that a killed server leaves.
func (s *Server) removeMemory() error {
	text, err := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
	if errors.Is(err, os.ErrNotExist) {
		return nil // it ended properly, or never started
	}
	lines := strings.Split(string(text), "\n")
	if err != nil || len(lines) < 7 {
		return err
	}
	var key, id int
	if _, err := fmt.Sscan(lines[6], &key, &id); err != nil {
		return fmt.Errorf("read the id of its shared memory: %w", err)
	}
	if _, err := unix.SysvShmCtl(id, unix.IPC_RMID, nil); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("remove its shared memory: %w", err)
	}
	return nil
}

// folderPrefix and the process id of its test binary begin the name of a server's folder.
const folderPrefix = "bothy-pgtest-"

// removeStale removes what test binaries left that were killed. Their servers died with them.
func removeStale() {
	folders, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*")) // the pattern is right
	for _, folder := range folders {
		id, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(folder), folderPrefix), "-")
		if pid, err := strconv.Atoi(id); err == nil && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			_ = os.RemoveAll(folder) // somebody else's, then; it harms nobody
		}
	}
}
