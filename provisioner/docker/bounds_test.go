package docker_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/limits"
)

// root returns a sandbox root, with the capabilities of the built-in blueprint.
func root(c *container.Config, h *container.HostConfig) {
	c.User, h.CapAdd = "0:0", []string{"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"}
}

// asRoot runs a script inside as root and gives what it printed.
func asRoot(id, script string) (string, error) {
	out, err := exec.Command("docker", "exec", "-u", "0:0", id, "sh", "-c", script).CombinedOutput()
	return string(out), err
}

// needsRoot skips a test that looks at the engine's own files or at control groups.
func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

// TestNetworkFilesReadOnly: root in a sandbox writes none of the files that the engine reads when the network goes;
// names go on being resolved by them. Without the binds it writes them, so the probe proves something.
func TestNetworkFilesReadOnly(t *testing.T) {
	e := newEngine(t)
	name := e.ReserveNetwork()
	binds, err := e.NetworkFiles(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	open := e.sandbox(on(name), root)
	held := e.sandbox(on(name), root, func(_ *container.Config, h *container.HostConfig) { h.Binds = binds })
	for _, file := range []string{"/etc/hosts", "/etc/resolv.conf", "/etc/hostname"} {
		write := "cat " + file + " > /tmp/was && cat /tmp/was >> " + file
		if out, err := asRoot(open, write); err != nil {
			t.Errorf("without the binds %s cannot be written either: %v: %s", file, err, out)
		}
		for _, how := range []string{write, ": > " + file, "rm " + file, "chmod 666 " + file, "ln -sf /tmp/was " + file} {
			if out, err := asRoot(held, how); err == nil {
				t.Errorf("%s was done: %s", how, out)
			}
		}
		if out, err := asRoot(held, "cat "+file); err != nil || out == "" {
			t.Errorf("%s cannot be read: %v", file, err)
		}
	}
	e.all(held, "lookup", "localhost", "bothy")
	_, err = e.NetworkFiles(t.Context(), "bothy-none")
	if err == nil {
		t.Error("files of a network that is not there")
	}
}

// TestNetworkFilesCut: what a sandbox wrote into the engine's files all the same is cut before the engine reads it.
func TestNetworkFilesCut(t *testing.T) {
	needsRoot(t)
	e := newEngine(t)
	name := e.ReserveNetwork()
	id := e.sandbox(on(name), root)
	c, err := e.api.ContainerInspect(t.Context(), docker.SlotOf(name))
	if err != nil {
		t.Fatal(err)
	}
	const longest = 64 << 10
	if out, err := asRoot(id, "head -c 1000000 /dev/zero | tr '\\0' '\\n' > /etc/hosts"); err != nil {
		t.Fatal(err, out)
	}
	size := func() int64 {
		t.Helper()
		info, err := os.Stat(c.HostsPath)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	wantEqual(t, "what the sandbox wrote", size(), int64(1000000))
	if err := e.TrimNetFiles(c); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "what the engine reads", size(), int64(longest))
	// The whole way: the network goes, and so does the file.
	if err := e.api.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if err := e.release(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// queue makes connections of a sandbox with itself hold as much as they can, and says how many bytes.
func (e *engine) queue(id string) int64 {
	e.t.Helper()
	out, err := asRoot(id, "exec probe queue 40")
	n, perr := strconv.ParseInt(strings.TrimPrefix(strings.Split(out, "\n")[0], "queued "), 10, 64)
	if err != nil || perr != nil {
		e.t.Fatalf("probe queue: %v: %s", err, out)
	}
	return n
}

// TestSocketsBounded: what a sandbox's connections hold in the kernel is bounded, beside its memory (cgroup v1) or in
// it (v2). Where v1 is not told to, it is not, so the probe proves something.
func TestSocketsBounded(t *testing.T) {
	needsRoot(t)
	e := newEngine(t)
	id := e.sandbox(root)
	memory := int64(512 << 20) // as sandbox() says
	bound := limits.SocketMemory(memory)
	if docker.CgroupV1() {
		if n := e.queue(id); n < 2*bound {
			t.Errorf("without the bound only %d MiB were queued, the bound is %d MiB: the probe proves nothing", n>>20, bound>>20)
		}
	}
	if err := e.LimitPids(t.Context(), id, 128); err != nil {
		t.Fatal(err)
	}
	if n := e.queue(id); n > bound+bound/4 {
		t.Errorf("%d MiB are queued, the bound is %d MiB", n>>20, bound>>20)
	}
	if err := e.BoundSockets(t.Context(), "none"); err == nil {
		t.Error("a sandbox that is not there was bounded")
	}
}

// TestCgroupParent: sandboxes and holders are in the installation's own control group, which weighs less than what
// everybody else has, gets its weight back, and is gone after Close.
func TestCgroupParent(t *testing.T) {
	needsRoot(t)
	e := newEngine(t)
	name := e.ReserveNetwork()
	parent, err := e.CgroupParent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.HasSuffix(parent, ".slice") {
		t.Skip("systemd keeps the engine's control groups")
	}
	wantEqual(t, "parent", parent, "/bothy-"+e.instance)
	id := e.sandbox(on(name), func(_ *container.Config, h *container.HostConfig) { h.CgroupParent = parent })
	for _, c := range []string{id, docker.SlotOf(name)} {
		in, err := e.api.ContainerInspect(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, controller := range []string{"cpu", "memory", "pids"} {
			if _, err := os.Stat(filepath.Join(docker.GroupRoot(controller), parent, in.ID)); err != nil {
				t.Errorf("%s is not in the group: %v", c, err)
			}
		}
	}
	weight := docker.WeightFile(parent)
	low, err := os.ReadFile(weight)
	if err != nil {
		t.Fatal(err)
	}
	usual, err := os.ReadFile(filepath.Join(filepath.Dir(weight), id, filepath.Base(weight)))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := strconv.Atoi(string(bytes.TrimSpace(low)))
	b, _ := strconv.Atoi(string(bytes.TrimSpace(usual)))
	if a <= 0 || a*2 > b {
		t.Errorf("weight %d of the group, %d of others: want half at most", a, b)
	}
	if err := os.WriteFile(weight, bytes.TrimSpace(usual), 0); err != nil {
		t.Fatal(err)
	}
	e.reconcile(name)
	again, err := os.ReadFile(weight)
	if err != nil || !bytes.Equal(again, low) {
		t.Errorf("weight %q (%v) after somebody changed it, want %q", again, err, low)
	}
	if err := e.api.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if err := e.release(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, controller := range []string{"cpu", "memory", "pids"} {
		if _, err := os.Stat(filepath.Join(docker.GroupRoot(controller), parent)); !os.IsNotExist(err) {
			t.Errorf("the group is there after Close: %v", err)
		}
	}
}

// limited returns a sandbox the limits on its processes.
func limited(_ *container.Config, h *container.HostConfig) {
	for _, l := range docker.Ulimits() {
		h.Ulimits = append(h.Ulimits, &container.Ulimit{Name: l.Name, Soft: l.Soft, Hard: l.Hard})
	}
}

// TestUlimits: the engine takes the limits, and a process inside has them.
func TestUlimits(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox(limited)
	out, errs, code := e.run(id, "cat /proc/self/limits")
	if code != 0 {
		t.Fatal(errs)
	}
	names := map[string]string{
		"nofile": "Max open files", "core": "Max core file size", "sigpending": "Max pending signals", "msgqueue": "Max msgqueue size",
		"memlock": "Max locked memory", "locks": "Max file locks",
	}
	for _, l := range docker.Ulimits() {
		found := false
		for line := range strings.Lines(out) {
			if rest, ok := strings.CutPrefix(line, names[l.Name]); ok {
				f := strings.Fields(rest)
				// runc before 1.1.13 now and then leaves the soft limit of files where Go's runtime in it has put it, at
				// the hard one: opencontainers/runc#4195.
				soft := f[0] == strconv.FormatInt(l.Soft, 10) || l.Name == "nofile" && f[0] == f[1]
				found = soft && f[1] == strconv.FormatInt(l.Hard, 10)
			}
		}
		if !found {
			t.Errorf("%s is not %d, %d in:\n%s", l.Name, l.Soft, l.Hard, out)
		}
	}
}

// TestTerminalsBounded: a sandbox opens so many terminals and no more; commands with one go on, and its file system of
// them goes with it. Without the mount it opens more, so the probe proves something.
func TestTerminalsBounded(t *testing.T) {
	e := newEngine(t)
	free := e.sandbox(root)
	id := e.sandbox(root, func(_ *container.Config, h *container.HostConfig) {
		h.Mounts = []mount.Mount{docker.Terminals(e.labels(e.owner()))}
	})
	open := func(id string) int {
		t.Helper()
		out, err := asRoot(id, "exec probe terminals "+strconv.Itoa(docker.MaxTerminals+10))
		n, perr := strconv.Atoi(strings.Split(out, "\n")[0])
		if err != nil || perr != nil {
			t.Fatalf("probe terminals: %v: %s", err, out)
		}
		return n
	}
	wantEqual(t, "terminals where they are not bounded", open(free), docker.MaxTerminals+10)
	wantEqual(t, "terminals", open(id), docker.MaxTerminals)
	if out, err := exec.Command("docker", "exec", "-t", id, "sh", "-c", "test -t 0 && echo yes").CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "yes" {
		t.Errorf("a command with a terminal: %v: %s", err, out)
	}
	before := e.volumes()
	wantEqual(t, "volumes", before, 1)
	if err := e.api.ContainerRemove(t.Context(), id, container.RemoveOptions{Force: true, RemoveVolumes: true}); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "volumes after it", e.volumes(), 0)
}

// volumes counts the installation's.
func (e *engine) volumes() (n int) {
	e.t.Helper()
	found, err := e.inventory(context.Background(), e.instance)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, f := range found {
		if f.Kind == "volume" {
			n++
		}
	}
	return n
}

// TestHogIsNamed: when the machine runs short of what it has for all, the environment that has most of it is named,
// with what to do; while there is enough, nobody is.
func TestHogIsNamed(t *testing.T) {
	needsRoot(t)
	e := newEngine(t)
	name := e.ReserveNetwork()
	id := e.listening("hog 100", on(name), func(c *container.Config, _ *container.HostConfig) { c.User = "4321:4321" })
	e.all(id, "flows", "198.51.100.1-100")
	c, err := e.api.ContainerInspect(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	env := c.Config.Labels[provisioner.LabelEnvironment]
	said := func() string {
		t.Helper()
		found, err := e.Shortages(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, s := range found {
			b.WriteString(s.Message + " -> " + s.Hint + "\n")
		}
		return b.String()
	}
	if quiet := said(); strings.Contains(quiet, env) {
		t.Errorf("named while there is enough:\n%s", quiet)
	}
	e.SetEnough(0)
	short := said()
	wanted := []string{
		"terminals are in use; environment " + env + " has 100 of them",
		"connections are in use; environment " + env + " has 10", // the odd other one
		"that user 4321 may have are in use, by all sandboxes together; environment " + env + " has 20 of them", "bothy down " + env, "sysctl -w fs.inotify",
		"asynchronous requests are in use",
	}
	if _, err := os.Stat("/proc/sys/net/ipv4/tcp_mem"); err == nil {
		wanted = append(wanted, "pages of TCP memory are in use")
	} else {
		t.Logf("the machine's pages of TCP memory are not shown in a network namespace: %v", err)
	}
	for _, want := range wanted {
		if !strings.Contains(short, want) {
			t.Errorf("%q is not in:\n%s", want, short)
		}
	}
}
