package docker_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner/docker"
)

// TestPromiseEngineReadsTheImagesAccounts: which files the engine reads before it starts a command is not for a sandbox to
// say, as it reads them with no bound. Where the engine looks a name up tells which it read; root inside can neither change
// nor replace them. Without the mount it can, so the test proves something.
func TestPromiseEngineReadsTheImagesAccounts(t *testing.T) {
	e := newEngine(t)
	confined, err := e.Additions(t.Context(), e.ReserveNetwork(), e.labels(e.owner()))
	if err != nil {
		t.Fatal(err)
	}
	id := e.sandbox(root, func(_ *container.Config, h *container.HostConfig) { h.Mounts = confined.Mounts })
	free := e.sandbox(root)
	const script = `mv /etc /etc2 && mkdir /etc; rm -f /etc/passwd /etc/group
printf 'root:x:0:0::/root:/bin/sh\ndev:x:4321:4321::/:/bin/sh\n' >/etc/passwd; printf 'dev:x:4321:\n' >/etc/group; cat /etc/passwd`
	for which, want := range map[string]string{id: "1000", free: "4321"} {
		if said := e.asRoot(which, script); !strings.Contains(said, "dev:x:4321") {
			t.Fatalf("the sandbox's own file was not written: %s", said)
		}
		out, err := exec.Command("docker", "exec", "-u", "dev:dev", which, "id", "-u").CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("by the engine dev is %s, %v; want %s", out, err, want)
		}
	}
	wantEqual(t, "volumes", e.volumes(), 2)
	if err := e.remove(t.Context(), e.found(id)); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "volumes after it", e.volumes(), 0)
}

// TestAnEtcIsCopiedAhead: where bothyd is root on the engine's machine a sandbox's /etc is a folder, the same as the image's to the
// owner and the mode, another one for each sandbox, gone with it, and what a cut-off create left goes by a sweep.
func TestAnEtcIsCopiedAhead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("folders for sandboxes are root's")
	}
	dir := t.TempDir()
	e := newEngine(t, func(c *docker.Config) { c.Etcs = dir })
	image, err := e.ResolveImage(t.Context(), "bothy/build")
	if err != nil {
		t.Fatal(err)
	}
	const list = `cd /etc && find . -mindepth 1 ! -name hosts ! -name hostname ! -name resolv.conf ! -name mtab -exec ls -ldn {} + | awk '{print $1, $3, $4, $9, $10, $11}' | sort; cat passwd group`
	build := func(c *container.Config, _ *container.HostConfig) { c.Image = image }
	plain := e.asRoot(e.sandbox(root, build), list)
	if strings.Count(plain, "\n") < 100 {
		t.Fatalf("the image's /etc is %s", plain)
	}
	devices := map[string]bool{}
	for range 3 { // extracted, copied ahead, copied ahead
		m, err := e.Etc(t.Context(), image, e.labels(e.owner()))
		if err != nil {
			t.Fatal(err)
		}
		device := m.Source
		if devices[device] || filepath.Dir(device) != filepath.Join(dir, "live") {
			t.Fatalf("a sandbox's /etc is %s", device)
		}
		devices[device] = true
		id := e.sandbox(root, build, func(_ *container.Config, h *container.HostConfig) { h.Mounts = []mount.Mount{m} })
		if got := e.asRoot(id, list); got != plain {
			t.Errorf("its /etc is\n%s\nwant the image's\n%s", got, plain)
		}
		e.asRoot(id, "echo mine >/etc/mine && rm /etc/passwd && echo 'dev:x:4321:4321::/:/bin/sh' >/etc/passwd")
		out, err := exec.Command("docker", "exec", "-u", "dev", id, "id", "-u").CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "1000" {
			t.Errorf("by the engine dev is %s, %v; want the image's 1000", out, err)
		}
		c, err := e.api.ContainerInspect(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.remove(t.Context(), e.found(id)); err != nil {
			t.Fatal(err)
		}
		e.DropEtc(c)
		if _, err := os.Lstat(device); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", device, err)
		}
		e.CopiedAhead()
	}
	wantEqual(t, "volumes after them", e.volumes(), 0)

	left, err := e.Etc(t.Context(), image, e.labels(e.owner())) // its create never came
	if err != nil {
		t.Fatal(err)
	}
	e.CopiedAhead()
	live := e.sandbox(root, build, func(c *container.Config, h *container.HostConfig) {
		m, err := e.Etc(t.Context(), image, c.Labels)
		if err != nil {
			t.Fatal(err)
		}
		h.Mounts = []mount.Mount{m}
	})
	part := filepath.Join(dir, "part-cut")
	if err := os.Mkdir(part, 0o700); err != nil {
		t.Fatal(err)
	}
	e.SetEtcLeft(0)
	if err := e.Reconcile(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadDir(filepath.Join(dir, "live"))
	if err != nil || len(all) != 1 {
		t.Errorf("left are %v, %v; want the one in use, and not %s", all, err, left.Source)
	}
	if _, err := os.Lstat(part); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a copy that was cut off is left: %v", err)
	}
	if got := e.asRoot(live, "cat /etc/passwd"); !strings.Contains(got, "dev:x:1000") {
		t.Errorf("the sweep took an /etc that is in use: %s", got)
	}
}
