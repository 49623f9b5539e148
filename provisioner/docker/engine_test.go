package docker_test

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

// labelTest is on everything that these tests make, its value being one test process.
const labelTest = "bothy.test.docker"

var (
	testRun = randomHex(4)
	testKey = provisioner.Key("a key of the tests")
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := sweep(); err != nil {
		fmt.Fprintln(os.Stderr, "clean up:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// testPool is a range of its own for every installation: 16 networks, away from the default pool.
func testPool() netip.Prefix {
	var b [1]byte
	_, _ = rand.Read(b[:]) // never fails
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 29, b[0] &^ 0x80, 0}), 24)
}

func randomHex(n int) string {
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
	mine := filters.NewArgs(filters.Arg("label", labelTest+"="+testRun))
	// What is older than any run is of one that was killed.
	old := time.Now().Add(-2 * time.Hour).Unix()
	ofTests := filters.NewArgs(filters.Arg("label", labelTest))
	cs, err := api.ContainerList(ctx, container.ListOptions{All: true, Filters: ofTests})
	if err != nil {
		return err
	}
	for _, c := range cs {
		if c.Labels[labelTest] != testRun && c.Created > old {
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
		if strings.HasPrefix(n.Labels[provisioner.LabelInstance], "t"+testRun) {
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
		if i.Labels[labelTest] != testRun && i.Created > old {
			continue
		}
		if _, err := api.ImageRemove(ctx, i.ID, image.RemoveOptions{Force: true, PruneChildren: true}); err != nil {
			return err
		}
	}
	return nil
}

// engine is what a test that needs Docker works with: a Runtime of an installation of its own.
type engine struct {
	*docker.Runtime
	t        testing.TB
	api      *client.Client
	instance string
}

var engineUsed bool

// noSandbox has the form of a sandbox's id, and is of none.
var noSandbox = strings.Repeat("0123456789abcdef", 4)

// newEngine skips the test under -short.
func newEngine(t testing.TB, change ...func(*docker.Config)) *engine {
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
		Instance: "t" + testRun + randomHex(2), Key: testKey,
		Network: docker.NetworkConfig{Spare: -1, Pool: testPool(), Holder: testImage(t, api)},
		Logger:  slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, c := range change {
		c(&cfg)
	}
	r, err := docker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{Runtime: r, t: t, api: api, instance: cfg.Instance}
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

// owner is a fresh environment of the engine's instance.
func (e *engine) owner() provisioner.Owner {
	return provisioner.Owner{
		Instance: e.instance, Environment: randomHex(4), Generation: 1, Blueprint: "test@1", User: "tester", Created: time.Now(),
		Size: "small", Tenant: "acme", Team: "core", Project: "a \"quoted\" ${shop}", PullRequest: "17",
	}
}

// labels are an owner's, with the mark of this test process.
func (e *engine) labels(o provisioner.Owner) map[string]string {
	l := testKey.Labels(o)
	l[labelTest] = testRun
	return l
}

// sandbox starts a container, hardened as blueprints' are, and removes it after the test.
func (e *engine) sandbox(change ...func(*container.Config, *container.HostConfig)) string {
	e.t.Helper()
	o := e.owner()
	yes, pids := true, int64(128)
	cfg := &container.Config{Image: testImage(e.t, e.api), Cmd: []string{"sleep", "3600"}, Labels: e.labels(o), User: "dev", WorkingDir: "/workspace"}
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
	made, err := e.api.ContainerCreate(ctx, cfg, host, nil, nil, o.ResourceName())
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		err := e.api.ContainerRemove(ctx, made.ID, container.RemoveOptions{Force: true, RemoveVolumes: true})
		if err != nil && !strings.Contains(err.Error(), "No such container") && !strings.Contains(err.Error(), "already in progress") {
			e.t.Error("remove sandbox:", err)
		}
	})
	if err := e.api.ContainerStart(ctx, made.ID, container.StartOptions{}); err != nil {
		e.t.Fatal(err)
	}
	return made.ID
}

// run runs a shell script inside as dev and gives what it printed.
func (e *engine) run(id, script string) (stdout, stderr string, code int) {
	e.t.Helper()
	var out, errs bytes.Buffer
	code, err := e.Exec(context.Background(), id, provisioner.ExecRequest{Command: []string{"sh", "-c", script}, User: "dev"},
		provisioner.Streams{Stdout: &out, Stderr: &errs})
	if err != nil {
		e.t.Fatalf("run %q: %v", script, err)
	}
	return out.String(), errs.String(), code
}

// wantClass checks an error's class.
func wantClass(t testing.TB, err error, want provisioner.Class) {
	t.Helper()
	if got := provisioner.ClassOf(err); got != want {
		t.Fatalf("class of %v: got %q, want %q", err, got, want)
	}
}

func wantEqual(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

// until polls a condition; the tests have no other way to see inside a sandbox.
func until(t testing.TB, what string, cond func() bool) {
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

// testImage makes a small image from the shell, tar and a few tools of this host, so that no registry and no
// image of others is needed.
func testImage(t testing.TB, api *client.Client) string {
	t.Helper()
	imageOnce.Do(func() { imageID, imageErr = makeImage(t.Context(), api, t.TempDir()) })
	if imageErr != nil {
		t.Fatal("make the test image:", imageErr)
	}
	return imageID
}

func makeImage(ctx context.Context, api *client.Client, tmp string) (string, error) {
	probe := filepath.Join(tmp, "probe")
	build := exec.CommandContext(ctx, "go", "build", "-o", probe, "./testdata/probe")
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
	ref := "bothy-test/docker:" + testRun
	body, err := api.ImageImport(ctx, image.ImportSource{Source: &root, SourceName: "-"}, ref,
		image.ImportOptions{Changes: []string{"ENV PATH=/bin", "LABEL " + labelTest + "=" + testRun}})
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
