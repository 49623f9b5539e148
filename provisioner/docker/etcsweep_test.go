package docker_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/etcdir"
)

// TestAnEtcThatIsMountedIsKept: whatever a store says of an environment, the folder that a process has as its /etc stays, and a young one
// as well. Afterwards it goes, also without the engine.
func TestAnEtcThatIsMountedIsKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("folders for sandboxes are root's")
	}
	dir := t.TempDir()
	e := newEngine(t, func(c *docker.Config) { c.Etcs = dir })
	image, err := e.ResolveImage(t.Context(), "bothy/build")
	if err != nil {
		t.Fatal(err)
	}
	environment := ""
	id := e.sandbox(root, func(c *container.Config, h *container.HostConfig) {
		c.Image, environment = image, c.Labels[provisioner.LabelEnvironment]
		m, err := e.Etc(t.Context(), image, c.Labels)
		if err != nil {
			t.Fatal(err)
		}
		h.Mounts = []mount.Mount{m}
	})
	e.CopiedAhead()
	of := func(k provisioner.Keeper) string {
		t.Helper()
		kept, err := k.Kept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(kept, " ")
	}
	discard := func(k provisioner.Keeper) {
		t.Helper()
		if err := k.Discard(t.Context(), environment); err != nil {
			t.Fatal(err)
		}
	}
	wantEqual(t, "kept", of(e), environment)
	young := filepath.Join(dir, "live", "young.X")
	if err := os.Mkdir(young, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := e.Discard(t.Context(), "young"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(young); err != nil {
		t.Errorf("the folder of a create under way is gone: %v", err)
	}
	e.SetEtcLeft(0)
	discard(e)
	if got := e.asRoot(id, "cat /etc/passwd"); !strings.Contains(got, "dev:x:1000") {
		t.Errorf("an /etc that is in use was removed: %s", got)
	}
	if err := e.remove(t.Context(), e.found(id)); err != nil {
		t.Fatal(err)
	}
	alone := etcdir.Left{Dir: dir}
	discard(alone)
	if err := alone.Discard(t.Context(), "young"); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "kept afterwards", of(alone), "")
}

// TestAnImagesEtcGoesUnused: what is kept of an image that nothing is made from goes, and is read again when it is.
func TestAnImagesEtcGoesUnused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("folders for sandboxes are root's")
	}
	dir := t.TempDir()
	e := newEngine(t, func(c *docker.Config) { c.Etcs = dir })
	image, err := e.ResolveImage(t.Context(), "bothy/build")
	if err != nil {
		t.Fatal(err)
	}
	take := func() {
		t.Helper()
		if _, err := e.Etc(t.Context(), image, e.labels(e.owner())); err != nil {
			t.Fatal(err)
		}
		e.CopiedAhead()
	}
	reconcile := func() {
		t.Helper()
		if err := e.Reconcile(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	take()
	folder := filepath.Join(dir, "images", strings.TrimPrefix(image, "sha256:"))
	reconcile()
	info, err := os.Lstat(folder)
	if err != nil {
		t.Fatalf("what was used just now is gone: %v", err)
	}
	if err := os.Chtimes(folder, time.Now().Add(-48*time.Hour), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	reconcile()
	spare, err := os.ReadDir(filepath.Join(dir, "spare"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(folder); !errors.Is(err, fs.ErrNotExist) || len(spare) > 0 {
		t.Errorf("what nothing is made from is kept: %v, spare %v", err, spare)
	}
	take()
}
