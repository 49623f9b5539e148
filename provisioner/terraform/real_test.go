package terraform_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

const (
	engineSocket = "/var/run/docker.sock"
	sandboxImage = "bothy/build"
)

// cache is where setup puts what it makes: providers in mirror, a Terraform in bin.
func cache(folder string) string {
	dir := os.Getenv("BOTHY_CACHE")
	if dir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(base, "bothy")
	}
	return filepath.Join(dir, folder)
}

// mirror is where setup keeps the providers that it built.
func mirror() string { return cache("mirror") }

// engine is just enough of a Docker client, so that what the driver made is
// seen with other eyes than its own.
type engine struct{ http.Client }

func realEngine(t *testing.T) *engine {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the Docker engine and Terraform; left out by -short")
	}
	e := &engine{http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", engineSocket)
	}}}}
	if _, err := os.Stat(mirror()); err != nil {
		t.Skipf("no provider mirror: run make setup (%v)", err)
	}
	if status, body := e.call(t, http.MethodGet, "/images/"+sandboxImage+"/json", nil); status != http.StatusOK {
		t.Skipf("image %s is not there: run make setup (%s)", sandboxImage, body)
	}
	return e
}

func (e *engine) call(t *testing.T, method, path string, body any) (int, string) {
	t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), method, "http://engine"+path, bytes.NewReader(data)) // Background: clean-ups use it too
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := e.Do(req)
	if err != nil {
		t.Skipf("the Docker engine does not answer: %v", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (e *engine) imageID(t *testing.T) string {
	t.Helper()
	_, body := e.call(t, http.MethodGet, "/images/"+sandboxImage+"/json", nil)
	var image struct{ ID string }
	if err := json.Unmarshal([]byte(body), &image); err != nil {
		t.Fatal(err)
	}
	return image.ID
}

// containers of an instance, by label.
func (e *engine) containers(t *testing.T, instance string) []string {
	t.Helper()
	filter := url.QueryEscape(fmt.Sprintf(`{"label":[%q]}`, provisioner.LabelInstance+"="+instance))
	_, body := e.call(t, http.MethodGet, "/containers/json?all=1&filters="+filter, nil)
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		t.Fatalf("list containers: %v: %s", err, body)
	}
	ids := []string{}
	for _, c := range list {
		ids = append(ids, c.ID)
	}
	return ids
}

func (e *engine) remove(t *testing.T, id string) {
	t.Helper()
	if status, body := e.call(t, http.MethodDelete, "/containers/"+id+"?force=1", nil); status >= 300 && status != http.StatusNotFound {
		t.Errorf("remove container %s: %s", id, body)
	}
}

// site is a driver with real Terraform, and an instance of its own.
type site struct {
	*engine
	driver   *terraform.Driver
	cfg      terraform.Config
	instance string
	made     int
}

func newSite(t *testing.T, change func(*terraform.Config)) *site {
	t.Helper()
	s := &site{engine: realEngine(t), instance: fmt.Sprintf("tft%d", time.Now().UnixNano()%1e9)} // an instance of the test's own
	s.cfg = terraform.Config{WorkDir: driverDir(t), Mirror: mirror(), BinDir: cache("bin"), Logger: testLogger(t)}
	if change != nil {
		change(&s.cfg)
	}
	s.driver = open(t, s.cfg)
	t.Cleanup(func() {
		for _, id := range s.containers(t, s.instance) {
			s.remove(t, id)
		}
	})
	return s
}

// driverDir is a temporary folder for a driver: its templates are read-only, which stands in the way of a plain user's TempDir.
func driverDir(t *testing.T) string {
	dir := t.TempDir()
	t.Cleanup(func() {
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(path, 0o700) //nolint:gosec // a folder
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
	return dir
}

func (s *site) spec(t *testing.T) provisioner.Spec {
	t.Helper()
	s.made++
	owner := provisioner.Owner{
		Instance: s.instance, Environment: fmt.Sprintf("e%d", s.made), Generation: 1,
		Blueprint: "build@1.0.0", User: "dev", Created: time.Now(),
		Size: "small", Tenant: "acme", Team: "core", Project: "a \"quoted\" ${shop}", PullRequest: "17",
	}
	return provisioner.Spec{
		Blueprint: blueprint(t, "../../modules/build"),
		Owner:     owner,
		Labels:    provisioner.Key("test").Labels(owner),
		Sandbox: provisioner.Sandbox{
			Size: "small", CPUs: 0.5, MemoryMiB: 128, Pids: 128, Image: s.imageID(t), Network: "bridge", Root: true,
		},
		Inputs: map[string]any{"shm_mib": int64(64)},
	}
}
