package confine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// The test binary plays the program in the box as well: CONFINE_PROBE names what it tries, its arguments what on.
func TestMain(m *testing.M) {
	name, ok := os.LookupEnv("CONFINE_PROBE")
	if !ok {
		os.Exit(m.Run())
	}
	// Without a box it runs a moment before it is bound; what tries its bounds waits for that.
	for group := os.Getenv("CONFINE_AWAIT"); group != ""; time.Sleep(time.Millisecond) { // between two looks
		now, err := os.ReadFile("/proc/self/cgroup")
		one := regexp.MustCompile("(?m)^0::.*" + regexp.QuoteMeta(group)) // version 2: one group for both
		if err != nil || strings.Count(string(now), group) == 2 || one.Match(now) {
			break
		}
	}
	try, ok := probes[name]
	if !ok {
		fmt.Println("no such probe:", name)
		os.Exit(3)
	}
	if err := try(os.Args[1:]); err != nil {
		fmt.Println("refused:", err)
		os.Exit(1)
	}
	fmt.Println("reached")
}

// probes by name: nil means that it got there.
var probes = map[string]func(args []string) error{
	"read": func(args []string) error { _, err := os.ReadFile(args[0]); return err },
	"list": func(args []string) error {
		entries, err := os.ReadDir(args[0])
		if err == nil && len(entries) == 0 {
			err = errors.New("it is empty")
		}
		return err
	},
	"write": func(args []string) error {
		return os.WriteFile(filepath.Join(args[0], "bothy-written"), []byte("x"), 0o600)
	},
	"dial": func(args []string) error {
		conn, err := net.DialTimeout(args[0], args[1], 5*time.Second)
		if err != nil {
			return err
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("hello")); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
			return err
		}
		_, err = conn.Read(make([]byte, 1))
		return err
	},
	"listen": func(args []string) error { _, err := net.Listen("tcp", args[0]); return err },
	"signal": func(args []string) error { return syscall.Kill(number(args[0]), 0) },
	"ptrace": func(args []string) error {
		_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(number(args[0])), 0, 0, 0, 0)
		if errno != 0 {
			return errno
		}
		return nil
	},
	"process": func(args []string) error {
		found, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return err
		}
		for _, path := range found {
			data, err := os.ReadFile(path)
			if err == nil && strings.Contains(string(data), args[0]) && !strings.Contains(path, "/"+strconv.Itoa(os.Getpid())+"/") {
				return nil
			}
		}
		return fmt.Errorf("not among %d processes", len(found))
	},
	"environment": func(args []string) error {
		if os.Getenv(args[0]) == "" {
			return errors.New("not set")
		}
		return nil
	},
	"mount":  func(args []string) error { return unix.Mount("none", args[0], "tmpfs", 0, "") },
	"setuid": func([]string) error { return syscall.Setuid(4711) },
	"mknod": func(args []string) error {
		return unix.Mknod(filepath.Join(args[0], "device"), unix.S_IFBLK|0o600, 8<<8)
	},
	"hostname": func([]string) error { return unix.Sethostname([]byte("box")) },
	"chroot":   func(args []string) error { return unix.Chroot(args[0]) },
	"namespace": func([]string) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.Command(self)
		cmd.Env = []string{"CONFINE_PROBE=nothing"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS}
		return cmd.Run()
	},
	"capabilities": func([]string) error {
		data, err := os.ReadFile("/proc/self/status")
		if err != nil {
			return err
		}
		for line := range bytes.Lines(data) {
			if value, ok := bytes.CutPrefix(line, []byte("CapEff:")); ok && strings.Trim(string(value), "\t\n 0") != "" {
				return nil
			}
		}
		return errors.New("it has none")
	},
	"privileges": func([]string) error { // those of a setuid program, if it executed one
		on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
		if err == nil && on == 1 {
			err = errors.New("no new privileges")
		}
		return err
	},
	"descriptors": func([]string) error { // any that was not meant for it
		for fd := 3; fd < 64; fd++ {
			kind, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
			if err == nil && !strings.HasPrefix(kind, "anon_inode:") {
				fmt.Println(fd, kind)
				return nil
			}
		}
		return errors.New("none")
	},
	"nothing": func([]string) error { return nil },

	// What is bounded.
	"memory": func(args []string) error {
		debug.SetGCPercent(-1) // no thread of the collector's, whose start fails for lack of memory, too
		var kept [][]byte
		for range number(args[0]) { // MiB
			block := make([]byte, 1<<20)
			for i := 0; i < len(block); i += 4096 {
				block[i] = 1
			}
			kept = append(kept, block)
		}
		fmt.Println(len(kept), "MiB")
		return nil
	},
	"spin": func(args []string) error {
		for until := time.Now().Add(time.Duration(number(args[0])) * time.Second); time.Now().Before(until); {
		}
		return nil
	},
	"file": func(args []string) error {
		f, err := os.Create(filepath.Join(args[0], "large"))
		for block := make([]byte, 1<<20); err == nil; {
			_, err = f.Write(block)
		}
		fmt.Fprintln(os.Stderr, err)
		return err
	},
	"tasks": func(args []string) error {
		there := make(chan struct{})
		for range number(args[0]) {
			go func() { // ends with the process
				runtime.LockOSThread() // a thread of its own
				there <- struct{}{}
				select {}
			}()
		}
		for range number(args[0]) {
			<-there
		}
		return nil
	},
	"recursion": func([]string) error { fmt.Fprintln(os.Stderr, deep(1)); return nil },
	"print": func([]string) error {
		line := bytes.Repeat([]byte("x"), 4095)
		for {
			if _, err := fmt.Printf("%s\n", line); err != nil {
				return err
			}
		}
	},
	// graceful says when it is there, and on an interrupt leaves a mark in its folder.
	"graceful": func(args []string) error {
		interrupted := make(chan os.Signal, 1)
		signal.Notify(interrupted, os.Interrupt)
		fmt.Println("waiting")
		<-interrupted
		return os.WriteFile(filepath.Join(args[0], "graceful"), []byte("x"), 0o600)
	},
	// stubborn does not end, nor does its child, which holds a lock on a file for as long as it lives.
	"stubborn": func(args []string) error {
		signal.Ignore(os.Interrupt)
		if len(args) > 1 {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			child := exec.Command(self, args[0])
			child.Env = os.Environ()
			child.Stdout = os.Stdout
			child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := child.Start(); err != nil {
				return err
			}
		} else {
			f, err := os.Create(filepath.Join(args[0], "lock"))
			if err != nil {
				return err
			}
			if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
				return err
			}
			fmt.Println("waiting")
		}
		select {}
	},
}

func init() {
	// daemon runs a box in a mode, whose program does not end. (Here, since it runs probes itself.)
	probes["daemon"] = func(args []string) error {
		cfg := confine.Config{Name: "daemon"}
		switch confine.Mode(args[0]) {
		case confine.None:
			cfg.Policy = confine.Off
		case confine.Landlock:
			cfg.Skip = []confine.Mode{confine.Bubblewrap}
		}
		self, err := os.Executable()
		if err != nil {
			return err
		}
		return confine.New(cfg).Run(context.Background(), confine.Box{ // Background: it ends by a kill
			Path: self, Args: args[1:], Dir: args[1], Env: []string{"CONFINE_PROBE=stubborn"}, Write: []string{args[1]}, Stdout: os.Stdout,
		}, time.Second)
	}
}

// deep ends by what bounds it.
func deep(n int) int {
	if n < 0 {
		return 0
	}
	return deep(n+1) + deep(n+2)
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}
