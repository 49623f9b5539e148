package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/cli/clitest"
)

// buffer may be written while it is read.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func startServer(t *testing.T) *clitest.Server {
	t.Helper()
	server, err := clitest.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server
}

// bothy is the real command with its own process, not started yet, in an empty folder.
func bothy(t *testing.T, server *clitest.Server, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), asMain+"=1", "BOTHY_HOST=unix://"+server.Socket, "TERM=xterm", "NO_COLOR=")
	return cmd
}

func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

// finish waits for the command and gives its exit code.
func finish(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	err := cmd.Wait()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func awaitText(t *testing.T, b *buffer, text string) {
	t.Helper()
	if err := until(func() bool { return strings.Contains(b.String(), text) }); err != nil {
		t.Fatalf("await %q: %v; there is:\n%s", text, err, b)
	}
}

// terminal gives cmd a pseudo-terminal of its own as all three streams. What the command writes collects in the buffer; what
// is written to the file is typed. check fails the test when the terminal is not as it was.
func terminal(t *testing.T, cmd *exec.Cmd) (typed *os.File, shown *buffer, check func()) {
	t.Helper()
	master, slave, err := clitest.OpenPTY()
	if err != nil {
		t.Skipf("there are no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { _ = slave.Close(); _ = master.Close() })
	if err := clitest.SetSize(master, 30, 100); err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	shown = new(buffer)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			_, _ = shown.Write(buf[:n])
			if err != nil {
				return
			}
		}
	}()
	before := settings(t, slave)
	return master, shown, func() {
		t.Helper()
		if after := settings(t, slave); after != before {
			t.Errorf("the terminal was left changed: %+v, was %+v", after, before)
		}
	}
}

func settings(t *testing.T, tty *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func typeLine(t *testing.T, typed *os.File, line string) {
	t.Helper()
	if _, err := typed.WriteString(line); err != nil {
		t.Fatal(err)
	}
}
