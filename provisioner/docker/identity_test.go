package docker_test

import (
	"bytes"
	"context"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/etcdir"
)

// asRoot runs a script inside as root, which must succeed.
func (e *engine) asRoot(id, script string) string {
	e.t.Helper()
	var out bytes.Buffer
	code, err := e.Exec(e.t.Context(), id, provisioner.ExecRequest{Command: []string{"sh", "-c", script}, User: "root"},
		provisioner.Streams{Stdout: &out, Stderr: &out})
	if err != nil || code != 0 {
		e.t.Fatalf("%q as root: code %d, %v: %s", script, code, err, out.String())
	}
	return out.String()
}

// TestPromiseNumbersOfTheImage: as whom a command runs is not for the sandbox's own files to say, also for a daemon that
// was started after they were changed.
func TestPromiseNumbersOfTheImage(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	restarted := newEngine(t, func(c *docker.Config) { c.Instance = e.instance })
	for name, script := range map[string]string{
		"dev is mapped to root": `printf 'root:x:0:0::/root:/bin/sh\ndev:x:0:0::/etc:/bin/sh\n' >/etc/passwd; printf 'root:x:0:\ndev:x:0:\n' >/etc/group`,
		"the files are gone":    `rm -f /etc/passwd /etc/group`,
		"root is another":       `printf 'root:x:1000:1000::/root:/bin/sh\ndev:x:0:0::/home/dev:/bin/sh\n' >/etc/passwd`,
	} {
		e.asRoot(id, script)
		for which, r := range map[string]*engine{"the same process": e, "another process": restarted} {
			for user, want := range map[string]string{"dev": "1000 1000 1000 /home/dev", "": "1000 1000 1000 /home/dev", "root": "0 0 0 /root", "1000": "1000 1000 1000 /home/dev", "dev:root": "1000 0 0 /home/dev"} {
				var out bytes.Buffer
				code, err := r.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"sh", "-c", "echo $(id -u) $(id -g) $(id -G) $HOME"}, User: user},
					provisioner.Streams{Stdout: &out, Stderr: &out})
				if err != nil || code != 0 || strings.TrimSpace(out.String()) != want {
					t.Errorf("%s, %s: user %q runs as %q, %d, %v; want %s", name, which, user, out.String(), code, err, want)
				}
			}
			stage, err := r.Stage(t.Context(), id, "dev")
			if err != nil {
				t.Errorf("%s, %s: stage: %v", name, which, err)
				continue
			}
			if err := stage.Deliver(t.Context(), []provisioner.File{{Name: "f", Mode: 0o400, Data: []byte("x")}}); err != nil {
				t.Errorf("%s, %s: deliver: %v", name, which, err)
			}
			if got, _, _ := e.run(id, "stat -c %u /run/bothy/f; rm -f /run/bothy/f"); strings.TrimSpace(got) != "1000" {
				t.Errorf("%s, %s: the file is uid %s's", name, which, got)
			}
		}
	}
	left, err := e.api.ContainerList(t.Context(), container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", "bothy.users"),
		filters.Arg("label", provisioner.LabelInstance+"="+e.instance))})
	if err != nil || len(left) != 0 {
		t.Errorf("containers that read users are left: %v, %v", left, err)
	}
}

// TestLeftReaders: what a killed process, or an engine that was away, left of reading an image's users goes with a Reconcile. One
// that only looks like it stays.
func TestLeftReaders(t *testing.T) {
	e := newEngine(t)
	labels := testKey.Labels(provisioner.Owner{Instance: e.instance, Blueprint: "users@0", User: "bothyd", Created: time.Now()})
	labels["bothy.users"] = "true"
	made := map[string]string{}
	for _, what := range []string{"left", "foreign"} {
		c, err := e.api.ContainerCreate(t.Context(), &container.Config{Image: testImage(t, e.api), Entrypoint: []string{"/never"}, Labels: labels}, nil, nil, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		made[what] = c.ID
		t.Cleanup(func() {
			_ = e.api.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true}) // it may be gone
		})
		labels = maps.Clone(labels)
		labels[provisioner.LabelMAC] = strings.Repeat("0", 32)
	}
	there := func(what string) bool {
		_, err := e.api.ContainerInspect(t.Context(), made[what])
		if err != nil && !errdefs.IsNotFound(err) {
			t.Fatal(err)
		}
		return err == nil
	}
	if err := e.Reconcile(t.Context(), nil); err != nil || !there("left") {
		t.Errorf("a young one was removed, or: %v", err)
	}
	e.SetReadersLeft(0)
	if err := e.Reconcile(t.Context(), nil); err != nil || there("left") || !there("foreign") {
		t.Errorf("left is there: %v, foreign is there: %v, %v", there("left"), there("foreign"), err)
	}
}

// TestReaderOfAKilledDaemon: what an earlier process of this state directory left goes at once; what this one, or one of another
// directory, is reading stays.
func TestReaderOfAKilledDaemon(t *testing.T) {
	dir := t.TempDir()
	e := newEngine(t, func(c *docker.Config) { c.Etcs = dir })
	place, _, _ := strings.Cut(e.ReaderLabel(), " ")
	if place == "" || os.Geteuid() != 0 {
		t.Skip("needs root on the engine's machine")
	}
	for label, stays := range map[string]bool{place + " EARLIER": false, e.ReaderLabel(): true, "ELSEWHERE EARLIER": true, "EARLIER": true} {
		labels := testKey.Labels(provisioner.Owner{Instance: e.instance, Blueprint: "users@0", User: "bothyd", Created: time.Now()})
		labels["bothy.users"] = label
		c, err := e.api.ContainerCreate(t.Context(), &container.Config{Image: testImage(t, e.api), Entrypoint: []string{"/never"}, Labels: labels}, nil, nil, nil, "")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_ = e.api.ContainerRemove(context.Background(), c.ID, container.RemoveOptions{Force: true}) // it may be gone
		})
		if err := e.Reconcile(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		_, err = e.api.ContainerInspect(t.Context(), c.ID)
		if err != nil && !errdefs.IsNotFound(err) {
			t.Fatal(err)
		}
		if there := err == nil; there != stays {
			t.Errorf("a reader labelled %q is there: %v, want %v", label, there, stays)
		}
	}
}

// TestExecLongGroup: a long /etc/group of the sandbox's own does not keep the engine busy. By name, runc takes 40 s for it.
func TestExecLongGroup(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	e.asRoot(id, `i=0; while [ $i -lt 40000 ]; do echo "g$i:x:$i:dev"; i=$((i+1)); done >>/etc/group`)
	for _, user := range []string{"dev", "root"} {
		began := time.Now()
		if _, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"true"}, User: user}, provisioner.Streams{}); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("a command as %s took %s", user, took)
		}
	}
}

// TestExecFolderWithOwnRights: a command's user enters its folder with its own rights alone.
func TestExecFolderWithOwnRights(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	e.asRoot(id, "mkdir -p /tmp/shut/in; chmod 700 /tmp/shut; ln -s /tmp/shut/in /tmp/way")
	for _, dir := range []string{"/tmp/shut", "/tmp/shut/in", "/tmp/way", "/root"} {
		for _, tty := range []bool{false, true} {
			_, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"ls"}, User: "dev", Dir: dir, TTY: tty}, provisioner.Streams{})
			wantClass(t, err, provisioner.Permanent)
			if !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "may not enter") {
				t.Errorf("%q does not say which folder", err)
			}
		}
	}
	if _, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"ls"}, User: "root", Dir: "/tmp/shut/in"}, provisioner.Streams{}); err != nil {
		t.Error(err)
	}
}

// TestGroupsOfTheImage: a command has the supplementary groups that its user has in the image, whatever the sandbox's own files
// say, also for a daemon that was started after they were changed; and none where the engine would read files that the sandbox writes,
// where a group was asked for, or where the engine takes the number for another user.
func TestGroupsOfTheImage(t *testing.T) {
	e := newEngine(t)
	own := e.sandbox(func(c *container.Config, h *container.HostConfig) {
		h.Mounts = append(h.Mounts, etcdir.Volume(c.Labels))
	})
	shared := e.sandbox()
	restarted := newEngine(t, func(c *docker.Config) { c.Instance = e.instance })
	groups := func(r *engine, id, user string) string {
		t.Helper()
		var out bytes.Buffer
		code, err := r.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"sh", "-c", "echo $(id -u) $(id -G)"}, User: user},
			provisioner.Streams{Stdout: &out, Stderr: &out})
		if err != nil || code != 0 {
			t.Errorf("user %q: %d, %v", user, code, err)
		}
		return strings.TrimSpace(out.String())
	}
	for _, script := range []string{
		"true",
		`printf 'root:x:0:ops\nvideo:x:0:ops\ndev:x:1000:ops\n' >/etc/group; printf 'root:x:0:0::/:/bin/sh\nops:x:0:0::/:/bin/sh\n' >/etc/passwd`,
		"rm -f /etc/passwd /etc/group",
	} {
		e.asRoot(own, script)
		for which, r := range map[string]*engine{"the same process": e, "another process": restarted} {
			for user, want := range map[string]string{"ops": "1001 1001 44 2000", "1001": "1001 1001 44 2000", "ops:dev": "1001 1000", "1001:1001": "1001 1001",
				"twin": "1001 1001", "dev": "1000 1000", "root": "0 0"} {
				if got := groups(r, own, user); got != want {
					t.Errorf("after %q, %s: user %q runs as %q, want %q", script, which, user, got, want)
				}
			}
		}
	}
	if got := groups(e, shared, "ops"); got != "1001 1001" {
		t.Errorf("in a sandbox whose files the engine reads, user ops runs as %q, want no supplementary groups", got)
	}
}
