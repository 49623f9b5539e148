package terraform_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/provisionertest"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

// Terraform and Docker together, as the daemon uses them, keep every promise of package provisioner.
func TestConformance(t *testing.T) {
	// Ranges of their own, apart from those of that package's tests.
	for warm, networks := range map[bool]string{true: "172.29.224.0/21", false: "172.29.232.0/21"} {
		t.Run(fmt.Sprintf("warm=%v", warm), func(t *testing.T) {
			t.Parallel() // most of it is waiting
			provisionertest.Run(t, func(t *testing.T) provisionertest.Harness {
				return newHarness(t, warm, netip.MustParsePrefix(networks))
			})
		})
	}
}

// asEngine takes the image's user where none is named, as the engine takes a blueprint's first:
// the container of a blueprint that allows root is not the image's user's own.
type asEngine struct{ *docker.Runtime }

func (r asEngine) Exec(ctx context.Context, id string, req provisioner.ExecRequest, streams provisioner.Streams) (int, error) {
	if req.User == "" {
		req.User = "dev"
	}
	return r.Runtime.Exec(ctx, id, req, streams)
}

func newHarness(t *testing.T, warm bool, networks netip.Prefix) provisionertest.Harness {
	t.Helper()
	s := newSite(t, func(c *terraform.Config) { c.Warm = warm })
	key := provisioner.Key("test")
	newRuntime := func(t *testing.T, host string) *docker.Runtime {
		t.Helper()
		r, err := docker.New(docker.Config{
			Host: host, Instance: s.instance, Key: key, Logger: testLogger(t),
			// Firewall rules are that package's own matter.
			Network: docker.NetworkConfig{Isolation: docker.IsolationOff, Pool: networks, Spare: -1},
		})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	runtime := newRuntime(t, "")
	t.Cleanup(func() {
		ctx, stop := context.WithTimeout(context.Background(), time.Minute) // the test's own has ended
		defer stop()
		if err := runtime.Reconcile(ctx, nil); err != nil {
			t.Error(err)
		}
		if err := runtime.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return provisionertest.Harness{
		Driver: s.driver, Runtime: asEngine{runtime}, Key: key, Instance: s.instance, Image: sandboxImage,
		NewSpec: func(t *testing.T) provisioner.Spec {
			t.Helper()
			spec := s.spec(t)
			network, err := runtime.Reserve(t.Context(), spec.Owner)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := runtime.Release(context.Background(), network); err != nil { // the test's context has ended
					t.Error(err)
				}
			})
			spec.Sandbox.Network = network
			return spec
		},
		BadBlueprint: func(t *testing.T) provisioner.Blueprint {
			return module(t, map[string]string{"main.tf": `
terraform {
  required_providers {
    docker = { source = "kreuzwerker/docker" }
  }
}
resource "docker_nonsense" "x" {}
`})
		},
		Forget: func(t *testing.T, environment string) {
			if err := os.RemoveAll(filepath.Join(s.cfg.WorkDir, "work", environment)); err != nil {
				t.Fatal(err)
			}
		},
		Unavailable: func(t *testing.T) (provisioner.Driver, provisioner.Runtime) {
			cfg := s.cfg
			cfg.WorkDir, cfg.EngineHost = t.TempDir(), "unix:///nonexistent/docker.sock"
			return open(t, cfg), newRuntime(t, cfg.EngineHost)
		},
		Restart: func(t *testing.T) provisioner.Runtime { return newRuntime(t, "") },
		Capabilities: provisioner.Capabilities{
			SandboxKind: "container",
			TTY:         true, Networks: true, Stage: true, Pause: true, Traffic: true, Counters: true, Usage: true, Pressure: true,
			Marks: true, Kill: true, Restart: true, Watch: true, Ports: true, Pids: true, Files: true,
		},
		NoKill: runtime.CanKill() != nil, NoPorts: runtime.CanDial() != nil,
	}
}
