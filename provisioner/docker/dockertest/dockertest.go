// Package dockertest gives tests of provisioner/docker and its rooms a Runtime on a real engine, an image and sandboxes, and removes what
// they leave.
package dockertest

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/network"
	"github.com/docker/docker/api/types/volume"
	"github.com/docker/docker/client"
	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
)

// LabelTest is on everything that these tests make, its value being one test process.
const LabelTest = "bothy.test.docker"

var (
	// TestRun is the value of LabelTest in this process.
	TestRun = RandomHex(4)
	// Key authenticates the labels of these tests.
	Key = provisioner.Key("a key of the tests")
)

// Main runs a package's tests, for its TestMain, and cleans up after them.
func Main(m *testing.M) {
	code := m.Run()
	if err := sweep(); err != nil {
		fmt.Fprintln(os.Stderr, "clean up:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// Pool returns a range of its own for every installation: 16 networks, away from the default pool.
func Pool() netip.Prefix {
	var b [1]byte
	_, _ = rand.Read(b[:]) // never fails
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 29, b[0] &^ 0x80, 0}), 24)
}

// RandomHex returns n random bytes in hex.
func RandomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// sweep removes the image, what a failed test of this process left, and what runs that were killed left long ago.
func sweep() error {
	if !engineUsed {
		return nil
	}
	api, err := client.NewClientWithOpts(client.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	mine := filters.NewArgs(filters.Arg("label", LabelTest+"="+TestRun))
	// What is older than any run is of one that was killed.
	old := time.Now().Add(-2 * time.Hour).Unix()
	ofTests := filters.NewArgs(filters.Arg("label", LabelTest))
	cs, err := api.ContainerList(ctx, container.ListOptions{All: true, Filters: ofTests})
	if err != nil {
		return err
	}
	for _, c := range cs {
		if c.Labels[LabelTest] != TestRun && c.Created > old {
			continue
		}
		fmt.Fprintln(os.Stderr, "left by a test: container", c.Names)
		if err := api.ContainerRemove(ctx, c.ID, container.RemoveOptions{Force: true}); err != nil {
			return err
		}
	}
	ns, err := api.NetworkList(ctx, network.ListOptions{})
	if err != nil {
		return err
	}
	for _, n := range ns {
		if strings.HasPrefix(n.Labels[provisioner.LabelInstance], "t"+TestRun) {
			fmt.Fprintln(os.Stderr, "left by a test: network", n.Name)
			if err := api.NetworkRemove(ctx, n.ID); err != nil {
				return err
			}
		}
	}
	vs, err := api.VolumeList(ctx, volume.ListOptions{Filters: mine})
	if err != nil {
		return err
	}
	for _, v := range vs.Volumes {
		fmt.Fprintln(os.Stderr, "left by a test: volume", v.Name)
		if err := api.VolumeRemove(ctx, v.Name, true); err != nil {
			return err
		}
	}
	images, err := api.ImageList(ctx, image.ListOptions{Filters: ofTests})
	if err != nil {
		return err
	}
	for _, i := range images {
		if i.Labels[LabelTest] != TestRun && i.Created > old {
			continue
		}
		if _, err := api.ImageRemove(ctx, i.ID, image.RemoveOptions{Force: true, PruneChildren: true}); err != nil {
			return err
		}
	}
	return nil
}

// Engine is what a test that needs Docker works with: a Runtime of an installation of its own.
type Engine struct {
	*docker.Runtime
	T        testing.TB
	API      *client.Client
	Instance string
}

var engineUsed bool

// NoSandbox has the form of a sandbox's id, and is of none.
var NoSandbox = strings.Repeat("0123456789abcdef", 4)

// New skips the test under -short.
func New(t testing.TB, change ...func(*docker.Config)) *Engine {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the Docker engine; left out by -short")
	}
	engineUsed = true
	api, err := client.NewClientWithOpts(client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	cfg := docker.Config{
		Instance: "t" + TestRun + RandomHex(2), Key: Key,
		Network: docker.NetworkConfig{Spare: -1, Pool: Pool(), Holder: Image(t, api)},
		Logger:  slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	r, err := docker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{Runtime: r, T: t, API: api, Instance: cfg.Instance}
	t.Cleanup(func() {
		for range 2 {
			if err := e.Reconcile(context.Background(), nil); err != nil {
				t.Log("last reconcile:", err)
			}
		}
		if err := e.Close(context.Background()); err != nil {
			t.Error("close:", err)
		}
		_ = api.Close()
	})
	return e
}

// Owner is a fresh environment of the engine's instance.
func (e *Engine) Owner() provisioner.Owner {
	return provisioner.Owner{
		Instance: e.Instance, Environment: RandomHex(4), Generation: 1, Blueprint: "test@1", User: "tester", Created: time.Now(),
		Size: "small", Tenant: "acme", Team: "core", Project: "a \"quoted\" ${shop}", PullRequest: "17",
	}
}

// Labels are an owner's, with the mark of this test process.
func (e *Engine) Labels(o provisioner.Owner) map[string]string {
	l := Key.Labels(o)
	l[LabelTest] = TestRun
	return l
}

// Sandbox starts a container, hardened as blueprints' are, and removes it after the test.
func (e *Engine) Sandbox(change ...func(*container.Config, *container.HostConfig)) string {
	e.T.Helper()
	o := e.Owner()
	yes, pids := true, int64(128)
	cfg := &container.Config{Image: Image(e.T, e.API), Cmd: []string{"sleep", "3600"}, Labels: e.Labels(o), User: "dev", WorkingDir: "/workspace"}
	host := &container.HostConfig{
		CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges"}, Init: &yes, NetworkMode: "none",
		Resources: container.Resources{PidsLimit: &pids, Memory: 512 << 20},
		Tmpfs: map[string]string{
			"/run/secret":          "size=1m,mode=0700,uid=1000,gid=1000",
			provisioner.SecretsDir: "rw,nosuid,nodev,noexec,size=1m,mode=0700,uid=1000,gid=1000",
		},
	}
	for _, c := range change {
		c(cfg, host)
	}
	ctx := context.Background()
	made, err := e.API.ContainerCreate(ctx, cfg, host, nil, nil, o.ResourceName())
	if err != nil {
		e.T.Fatal(err)
	}
	e.T.Cleanup(func() {
		err := e.API.ContainerRemove(ctx, made.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !strings.Contains(err.Error(), "No such container") && !strings.Contains(err.Error(), "already in progress") {
			e.T.Error("remove sandbox:", err)
		}
	})
	if err := e.API.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		e.T.Fatal(err)
	}
	return made.ID
}

// Run runs a shell script inside as dev and gives what it printed.
func (e *Engine) Run(id, script string) (stdout, stderr string, code int) {
	e.T.Helper()
	var out, errs bytes.Buffer
	code, err := e.Exec(context.Background(), id, provisioner.ExecRequest{Command: []string{"sh", "-c", script}, User: "dev"},
		provisioner.Streams{Stdout: &out, Stderr: &errs})
	if err != nil {
		e.T.Fatalf("run %q: %v", script, err)
	}
	return out.String(), errs.String(), code
}

// WantClass checks an error's class.
func WantClass(t testing.TB, err error, want provisioner.Class) {
	t.Helper()
	if got := provisioner.ClassOf(err); got != want {
		t.Fatalf("class of %v: got %q, want %q", err, got, want)
	}
}

// WantEqual checks a value.
func WantEqual(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// Until polls a condition; the tests have no other way to see inside a sandbox.
func Until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

var (
	imageOnce sync.Once
	imageID   string
	imageErr  error
)

// Image makes a small image from the shell, tar and a few tools of this host, so that no registry and no
// image of others is needed.
func Image(t testing.TB, api *client.Client) string {
	t.Helper()
	imageOnce.Do(func() { imageID, imageErr = makeImage(t.Context(), api, t.TempDir()) })
	if imageErr != nil {
		t.Fatal("make the test image:", imageErr)
	}
	return imageID
}

func makeImage(ctx context.Context, api *client.Client, tmp string) (string, error) {
	probe := filepath.Join(tmp, "probe")
	source := "./dockertest/testdata/probe" // below provisioner/docker
	if _, err := os.Stat(source); err != nil {
		source = "../dockertest/testdata/probe" // below one of its rooms
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", probe, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the probe: %w: %s", err, out)
	}
	files := map[string]string{"bin/probe": probe}
	for _, tool := range []string{"sh", "tar", "cat", "sleep", "env", "id", "true", "false", "stat", "ls", "mkdir", "ln", "rm", "head", "stty", "chmod", "setsid", "wc", "touch", "tr", "mv"} {
		at, err := exec.LookPath(tool)
		if err != nil {
			return "", err
		}
		files["bin/"+tool] = at
		libs, err := exec.CommandContext(ctx, "ldd", at).Output()
		if err != nil {
			return "", fmt.Errorf("ldd %s: %w", at, err)
		}
		for _, word := range strings.Fields(string(libs)) {
			if strings.HasPrefix(word, "/") {
				files[strings.TrimPrefix(word, "/")] = word
			}
		}
	}
	var root bytes.Buffer
	w := tar.NewWriter(&root)
	var errs []error
	dir := func(name string, mode int64, uid int) {
		errs = append(errs, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode, Uid: uid, Gid: uid}))
	}
	put := func(name string, mode int64, data []byte) {
		errs = append(errs, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data))}))
		_, err := w.Write(data)
		errs = append(errs, err)
	}
	dir("workspace/", 0o755, 1000)
	dir("home/dev/", 0o755, 1000)
	dir("root/", 0o700, 0)
	dir("tmp/", 0o1777, 0)
	put("etc/passwd", 0o644, []byte("root:x:0:0::/root:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/sh\nops:x:1001:1001::/home/dev:/bin/sh\ntwin:x:1001:1001::/:/bin/sh\n"))
	put("etc/group", 0o644, []byte("root:x:0:\ndev:x:1000:\nops:x:1001:\nvideo:x:44:ops\ntools:x:2000:twin,ops\n"))
	for name, from := range files {
		data, err := os.ReadFile(from)
		errs = append(errs, err)
		put(name, 0o755, data)
	}
	errs = append(errs, w.Close())
	for _, err := range errs {
		if err != nil {
			return "", err
		}
	}
	ref := "bothy-test/docker:" + TestRun
	body, err := api.ImageImport(ctx, image.ImportSource{Source: &root, SourceName: "-"}, ref,
		image.ImportOptions{Changes: []string{"ENV PATH=/bin", "LABEL " + LabelTest + "=" + TestRun}})
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(io.Discard, body); err != nil {
		return "", err
	}
	_ = body.Close()
	img, err := api.ImageInspect(ctx, ref)
	return img.ID, err
}
