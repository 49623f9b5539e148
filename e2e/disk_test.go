package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

// smallDisk is a file system of its own that a test can fill.
type smallDisk struct {
	t    *testing.T
	path string
}

func newSmallDisk(t *testing.T, size string) *smallDisk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root to mount a small disk")
	}
	// Not t.TempDir: it must be unmounted after the daemon's own clean-up, and removed after that.
	dir, err := os.MkdirTemp("", "bothy-e2e-disk-")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("bothy-e2e", dir, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		t.Skipf("cannot mount a small disk here: %v", errors.Join(err, os.Remove(dir)))
	}
	t.Cleanup(func() {
		if err := errors.Join(unix.Unmount(dir, 0), os.Remove(dir)); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return &smallDisk{t, dir}
}

// fill takes the last byte.
func (s *smallDisk) fill() {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.path, "ballast"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	piece := make([]byte, 4096)
	for err == nil {
		_, err = f.Write(piece)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
	if !errors.Is(err, unix.ENOSPC) {
		s.t.Fatalf("filling the disk ended with %v", err)
	}
}

func (s *smallDisk) free() {
	s.t.Helper()
	if err := os.Remove(filepath.Join(s.path, "ballast")); err != nil {
		s.t.Fatal(err)
	}
}

// full fills the disk until a request is refused: what is written in place of old pages may still fit.
func (d *daemon) full(disk *smallDisk) (refusal result) {
	d.t.Helper()
	d.eventually("a request is refused", func() bool {
		disk.fill()
		refusal = d.bothy("up", "--source", "none", "--detach")
		return refusal.code != 0
	})
	return refusal
}

// TestDiskFull: with no room in the state directory a request is refused in a sentence, nothing is half done, what is
// there can be looked at, and when there is room again all goes on without a restart.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	disk := newSmallDisk(t, "8m")
	d := start(t, "--driver", "fake", "--state-dir", filepath.Join(disk.path, "state"))
	d.bothy("up", "--source", "none", "--name", "before").want(t, 0)

	d.full(disk).want(t, 1, "disk")
	known, err := d.client.List(t.Context(), client.ListOptions{All: true})
	if err != nil {
		t.Fatal(err)
	}
	d.bothy("ls").want(t, 0, "before")
	d.bothy("exec", "before", "--", "echo", "alive").want(t, 0, "alive")
	refusal := d.bothy("up", "--source", "none", "--name", "refused", "--output", "json").want(t, 1, `"code":"unavailable"`)
	if n := len(refusal.out); n != 0 {
		t.Errorf("a refusal belongs on stderr, and stdout has %q", refusal.out)
	}
	d.bothy("show", "refused").want(t, 3)
	if after, err := d.client.List(t.Context(), client.ListOptions{All: true}); err != nil || len(after) != len(known) {
		t.Errorf("%d environments before the refusal and %d after, %v", len(known), len(after), err)
	}

	disk.free()
	d.bothy("up", "--source", "none", "--name", "after").want(t, 0)
	d.bothy("down", "--all", "--yes").want(t, 0)
	if d.cmd.ProcessState != nil {
		t.Errorf("the daemon ended: %s", d.cmd.ProcessState)
	}
}

// TestDiskFullDuringCreate: the disk fills while Terraform works. When there is room again, the request is fulfilled,
// with exactly one container.
func TestDiskFullDuringCreate(t *testing.T) {
	needsEngine(t)
	disk := newSmallDisk(t, "32m")
	d := start(t, "--state-dir", filepath.Join(disk.path, "state"))
	// A first one, so that the blueprint is prepared and the disk fills in the midst of the second.
	d.bothy("up", "--source", "none", "--name", "first").want(t, 0)

	env := d.create(wire.CreateRequest{Name: "second"})
	d.untilEvent(env.ID, "creating from")
	disk.fill()
	// Long enough for the try to fail, and not a wait for anything that could be seen: nothing can be written.
	until := time.Now().Add(3 * time.Second)
	d.eventually("the disk stays full for a while", func() bool {
		disk.fill()
		return time.Now().After(until)
	})
	if _, err := d.client.Version(t.Context()); err != nil {
		t.Fatalf("the daemon does not answer: %v\n%s", err, d.log)
	}
	d.bothy("exec", "first", "--", "true").want(t, 0)
	disk.free()
	freed := time.Now()
	env = d.untilState(env.ID, "leased", "destroyed")
	t.Logf("%s %.1f s after there was room again", env.State, time.Since(freed).Seconds())
	if env.State == "leased" {
		if n := len(d.containersOf(env.ID)); n != 1 {
			t.Errorf("%d containers, want 1", n)
		}
		d.bothy("exec", env.ID, "--", "true").want(t, 0)
	} else if env.Failure == nil || env.Failure.Sentence == "" {
		t.Errorf("it failed without a cause: %+v", env)
	}
	d.bothy("down", "--all", "--yes").want(t, 0)
	if left := sandboxes(t, d.instance); len(left) != 0 {
		t.Errorf("left at the engine: %+v", left)
	}
}
