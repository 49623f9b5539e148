package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/broker"
)

var key = provisioner.Key("a key of the tests")

// bench is a broker on an engine in memory, with one door open.
type bench struct {
	*testing.T
	engine *engine
	broker *broker.Broker
	door   provisioner.Door
	grant  provisioner.Grant
	http   *http.Client

	mu       sync.Mutex
	intended []provisioner.Object
	answered []provisioner.Object
	// refuseIntent makes the record refuse.
	refuseIntent error
	// bounded were started. unbound is what that comes to.
	bounded []string
	unbound error
	// unused is how many additions were given back.
	unused int
	// removed were removed.
	removed []string
	trusted atomic.Bool
}

func owner(environment string) provisioner.Owner {
	return provisioner.Owner{
		Instance: "inst", Environment: environment, Generation: 1, Blueprint: "build@1.0.0", User: "ada", Created: time.Unix(1_800_000_000, 0),
	}
}

func setup(t *testing.T, change ...func(*provisioner.Grant)) *bench {
	t.Helper()
	return setupWith(t, func(*broker.Config) {}, change...)
}

// setupWith opens a door of a broker that is made otherwise.
func setupWith(t *testing.T, configure func(*broker.Config), change ...func(*provisioner.Grant)) *bench {
	t.Helper()
	b := &bench{T: t, engine: newEngine(t)}
	b.trusted.Store(true)
	cfg := broker.Config{
		Engine: b.engine, Key: key, Dir: filepath.Join(shortDir(t), "s"),
		SecurityOpts: []string{"no-new-privileges:true"},
		Ulimits:      []provisioner.Ulimit{{Name: "core"}, {Name: "nofile", Soft: 4096, Hard: 16384}},
		Additions: func(_ context.Context, spec *provisioner.Spec, network string) (broker.Additions, error) {
			if network == "none" {
				return broker.Additions{CgroupParent: "/bothy"}, nil
			}
			return broker.Additions{
				CgroupParent: "/bothy", Binds: []string{"/engine/hosts:/etc/hosts:ro"},
				Mounts: []mount.Mount{{Type: mount.TypeVolume, Target: "/dev/pts", VolumeOptions: &mount.VolumeOptions{Labels: spec.Labels}}},
			}, nil
		},
		Removed: func(c container.InspectResponse) { b.removed = append(b.removed, c.ID) },
		Unused:  func(broker.Additions) { b.unused++ },
		Started: func(_ context.Context, id string) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.bounded = append(b.bounded, id)
			return b.unbound
		},
	}
	configure(&cfg)
	b.broker = broker.New(cfg)
	b.engine.put(idOf(1), "bothy-inst-net-1", key.Labels(provisioner.Owner{Instance: "inst"}))
	b.engine.put(idOf(2), "bothy-inst-"+theirs, key.Labels(owner(theirs)))
	b.grant = provisioner.Grant{
		Create: true,
		Spec: provisioner.Spec{
			Owner: owner(ours), Labels: key.Labels(owner(ours)),
			Sandbox: provisioner.Sandbox{
				CPUs: 1, MemoryMiB: 256, Pids: 128, Image: "sha256:" + strings.Repeat("1", 64), Network: "container:bothy-inst-net-1", Root: true,
			},
		},
		Trusted: b.trusted.Load,
		Intend: func(_ context.Context, o provisioner.Object) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.intended = append(b.intended, o)
			return b.refuseIntent
		},
		Answered: func(o provisioner.Object) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.answered = append(b.answered, o)
		},
	}
	b.broker.Harden(&b.grant.Spec.Sandbox)
	for _, c := range change {
		c(&b.grant)
	}
	var err error
	if b.door, err = b.broker.Open(t.Context(), b.grant); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.door.Close)
	path := strings.TrimPrefix(b.door.Endpoint(), "unix://")
	b.http = &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}
	return b
}

// shortDir is a folder whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "bb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// ask sends a request as it is written and gives status and body.
func (b *bench) ask(method, uri string, body []byte) (int, string) {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), method, "http://docker/", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	req.URL.Opaque = uri
	resp, err := b.http.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// body is the create that provider 4.6.0 sends for the built-in blueprint, as it was recorded, changed.
func (b *bench) body(change func(request map[string]any, host map[string]any)) []byte {
	b.Helper()
	data, err := os.ReadFile("testdata/create.json")
	if err != nil {
		b.Fatal(err)
	}
	var request map[string]any
	if err := json.Unmarshal(data, &request); err != nil {
		b.Fatal(err)
	}
	request["Labels"] = b.grant.Spec.Labels
	if change != nil {
		change(request, request["HostConfig"].(map[string]any))
	}
	if data, err = json.Marshal(request); err != nil {
		b.Fatal(err)
	}
	return data
}

// made has the built-in sandbox made and gives its id.
func (b *bench) made() string {
	b.Helper()
	status, body := b.ask("POST", create, b.body(nil))
	var made struct{ ID string }
	if status != http.StatusCreated || json.Unmarshal([]byte(body), &made) != nil || len(made.ID) != 64 {
		b.Fatalf("create gave %d %s", status, body)
	}
	return made.ID
}

func (b *bench) wantRefused(attribute string, status int, body string) {
	b.Helper()
	if status != http.StatusForbidden || !strings.Contains(body, attribute) {
		b.Errorf("gave %d %s, want 403 that names %s", status, body, attribute)
	}
}
