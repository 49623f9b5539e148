package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// childVariable tells the test binary to start a server and wait to be killed.
const childVariable = "BOTHY_PGTEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		s, err := Start(context.Background(), Options{})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(s.dir, s.process.Pid)
		select {}
	}
	os.Exit(Main(m))
}

// TestKilledTests: a test binary that is killed leaves no server, and the next one removes its files.
func TestKilledTests(t *testing.T) {
	skipWhenOff(t)
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childVariable+"=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := bufio.NewScanner(out)
	line.Scan()
	var dir string
	var pid int
	if _, err := fmt.Sscan(line.Text(), &dir, &pid); err != nil {
		t.Fatalf("the child says %q: %v", line.Text(), err)
	}
	// A handle on the process, which its end makes readable: its number may be another's by then.
	server, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(server) }()
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	if n, err := unix.Poll([]unix.PollFd{{Fd: int32(server), Events: unix.POLLIN}}, int((10 * time.Second).Milliseconds())); n != 1 {
		t.Fatalf("the server outlives the tests: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("the killed one's folder: %v", err)
	}
	removeStale()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Fatalf("the killed one's folder is still there: %v", err)
	}
}

// TestKillAndRestart: what was written is there again, and no process or file is left at the end.
func TestKillAndRestart(t *testing.T) {
	skipWhenOff(t)
	s, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	defer func() {
		if !stopped {
			_ = s.Stop()
		}
	}()
	if err := s.Exec(t.Context(), "CREATE TABLE kept AS SELECT 1"); err != nil {
		t.Fatal(err)
	}
	s.Kill(t)
	if s.Exec(t.Context(), "SELECT 1") == nil {
		t.Fatal("it answers after it was killed")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Exec(t.Context(), "SELECT * FROM kept"); err != nil {
		t.Fatal(err)
	}
	s.Kill(t) // and not started again
	stopped = true
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Fatalf("its folder is still there: %v", err)
	}
}
