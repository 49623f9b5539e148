package confine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

func TestAnInterruptReachesTheProgram(t *testing.T) {
	for _, mode := range []confine.Mode{confine.Bubblewrap, confine.Landlock} {
		t.Run(string(mode), func(t *testing.T) {
			c, s := inMode(t, mode), newSite(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			b := s.box("graceful", s.mine)
			b.Stdout = onWrite(func() { cancel(errors.New("enough")) })
			err := c.Run(ctx, b, time.Minute)
			if err == nil || err.Error() != "enough" {
				t.Errorf("%v, want the cause alone", err)
			}
			if _, err := os.Stat(filepath.Join(s.mine, "graceful")); err != nil {
				t.Errorf("it did not end by itself: %v", err)
			}
		})
	}
}

func TestNothingOutlivesItsBox(t *testing.T) {
	c, s := inMode(t, confine.Bubblewrap), newSite(t)
	ctx, cancel := context.WithCancel(t.Context())
	b := s.box("stubborn", s.mine, "with a child")
	b.Stdout = onWrite(cancel)
	if err := c.Run(ctx, b, 50*time.Millisecond); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	f, err := os.Open(filepath.Join(s.mine, "lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Errorf("a process of the box still lives: %v", err)
	}
}

// A daemon that is killed takes its boxes along: this test binary plays one, whose box holds a lock for as long as it lives.
func TestNothingOutlivesTheDaemon(t *testing.T) {
	for _, mode := range []confine.Mode{confine.Bubblewrap, confine.Landlock, confine.None} {
		t.Run(string(mode), func(t *testing.T) {
			if mode != confine.None {
				inMode(t, mode)
			}
			s := newSite(t)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			daemon := exec.CommandContext(t.Context(), self, string(mode), s.mine)
			daemon.Env = []string{"CONFINE_PROBE=daemon", "PATH=" + os.Getenv("PATH")}
			out, err := daemon.StdoutPipe()
			if err == nil {
				err = daemon.Start()
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAtLeast(out, make([]byte, 7), 7); err != nil {
				t.Fatal(err)
			}
			f, err := os.Open(filepath.Join(s.mine, "lock"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
				t.Fatal("it proves nothing: the box holds no lock")
			}
			if err := daemon.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = daemon.Wait()                                                                                                                              // by our kill
			for deadline := time.Now().Add(2 * time.Minute); unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil; time.Sleep(5 * time.Millisecond) { // between two looks
				if time.Now().After(deadline) {
					t.Fatal("the box outlives the daemon")
				}
			}
		})
	}
}

func onWrite(call func()) io.Writer {
	var once sync.Once
	return writer(func(p []byte) (int, error) { once.Do(call); return len(p), nil })
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// Issue 17, F22: each bound ends a program, and its name is told.
func TestABoundIsHeldAndTold(t *testing.T) {
	bounds := confine.Bounds{Memory: 256 << 20, CPU: 2 * time.Second, Tasks: 60, FileSize: 8 << 20, OpenFiles: 64, Output: 1 << 20}
	for _, mode := range []confine.Mode{confine.Bubblewrap, confine.Landlock, confine.None} {
		for _, cgroups := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, cgroups %v", mode, cgroups), func(t *testing.T) {
				c := confine.New(confine.Config{Policy: confine.Off, Name: "test-bare"})
				if mode != confine.None {
					c = inMode(t, mode)
				}
				if cgroups && !c.HasGroups() {
					t.Skip("no cgroups can be made here")
				}
				if !cgroups {
					c.WithoutGroups()
				}
				s := newSite(t)
				for bound, b := range map[string]confine.Box{
					"memory":    s.box("memory", "2000"),
					"stack":     s.box("recursion"),
					"cpu":       s.box("spin", "60"),
					"file size": s.box("file", s.mine),
					"tasks":     s.box("tasks", "200"),
					"output":    s.box("print"),
				} {
					t.Run(bound, func(t *testing.T) {
						if bound == "tasks" && !cgroups && (os.Getuid() == 0 || mode != confine.Bubblewrap) {
							t.Skip("the kernel counts no tasks of root's but in a cgroup, and a user's not by box")
						}
						if b.Bounds = bounds; bound != "cpu" {
							b.Bounds.CPU = time.Minute // a busy machine needs more of it to come to another bound
						}
						if bound == "stack" {
							b.Bounds.Memory = 4 << 30 // a Go program's stack ends at 1 GB by itself
						}
						if mode != confine.Bubblewrap && cgroups {
							b.Read = append(b.Read, "/proc")
							b.Env = append(b.Env, "CONFINE_AWAIT=/bothy-test-") // one for memory, one for tasks
						}
						var kept bytes.Buffer
						b.Stdout = &kept
						b.Stderr = &bytes.Buffer{}
						err := c.Run(t.Context(), b, time.Second)
						var exceeded *confine.BoundError
						if !errors.As(err, &exceeded) || exceeded.Bound != bound {
							t.Fatalf("%v, want the bound %s: %.2000s", err, bound, b.Stderr)
						}
						if kept.Len() > int(bounds.Output) {
							t.Errorf("%d bytes were let through", kept.Len())
						}
					})
				}
				b := s.box("memory", "64")
				b.Bounds = bounds
				if ok, said := run(t, c, b); !ok {
					t.Errorf("within its bounds: %s", said)
				}
			})
		}
	}
}
