package fake_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
	"github.com/bothy-env/bothy/provisioner/provisionertest"
)

const instance = "1a2b3c4d"

var key = provisioner.Key("a key for tests")

func TestConformance(t *testing.T) {
	like := map[string]struct {
		fake.Personality
		can provisioner.Capabilities
	}{
		"docker": {fake.DockerLike, provisioner.Capabilities{
			SandboxKind: "container",
			TTY:         true, Networks: true, Stage: true, Pause: true, Traffic: true, Counters: true, Usage: true, Pressure: true,
			Marks: true, Kill: true, Restart: true, Watch: true, Ports: true,
		}},
		"cluster": {fake.ClusterLike, provisioner.Capabilities{
			SandboxKind: "pod", ListLag: 20 * time.Millisecond,
			TTY: true, Stage: true, Usage: true, Marks: true, Watch: true, Ports: true,
		}},
	}
	for name, l := range like {
		t.Run(name, func(t *testing.T) {
			t.Run("memory", func(t *testing.T) { conform(t, l.Personality, l.can, func(*testing.T) string { return "" }) })
			t.Run("folder", func(t *testing.T) { conform(t, l.Personality, l.can, func(t *testing.T) string { return t.TempDir() }) })
		})
	}
}

func conform(t *testing.T, like fake.Personality, can provisioner.Capabilities, dir func(t *testing.T) string) {
	provisionertest.Run(t, func(t *testing.T) provisionertest.Harness {
		w := world(t, fake.Options{Dir: dir(t), Spare: 2, Like: like})
		runtime := w.Runtime()
		return provisionertest.Harness{
			Driver: w.Driver(), Runtime: runtime, Key: key, Instance: instance, Image: "bothy/build",
			NewSpec: func(t *testing.T) provisioner.Spec {
				if !can.Networks {
					return spec()
				}
				return specWithNetwork(t, runtime)
			},
			BadBlueprint: func(*testing.T) provisioner.Blueprint {
				return provisioner.Blueprint{Name: "bad", Version: "1.0.0", Digest: "none"}
			},
			Forget: func(t *testing.T, environment string) { must(t, w.Forget(environment)) },
			Unavailable: func(t *testing.T) (provisioner.Driver, provisioner.Runtime) {
				away := world(t, fake.Options{Like: like})
				must(t, away.SetAvailable(false))
				return away.Driver(), away.Runtime()
			},
			Restart: func(*testing.T) provisioner.Runtime { return w.Runtime() },
			Processes: func(_ context.Context, id string) (string, error) {
				return strings.Join(w.Processes(id), "\n"), nil
			},
			Say:          func(_ context.Context, id, line string, stderr bool) error { return w.Say(id, line, stderr) },
			Echo:         func(port int) []string { return []string{"tcp-echo", fmt.Sprint(port)} },
			Connect:      func(port int) []string { return []string{"tcp-connect", fmt.Sprint(port)} },
			Capabilities: can,
		}
	})
}

func world(t *testing.T, opts fake.Options) *fake.World {
	t.Helper()
	opts.Key, opts.Instance = key, instance
	w := fake.New(opts)
	t.Cleanup(func() {
		for _, b := range w.Breaches() {
			t.Error(b)
		}
	})
	return w
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var environments atomic.Int64

// spec is a fresh environment's, without a network.
func spec() provisioner.Spec {
	n := environments.Add(1)
	owner := provisioner.Owner{
		Instance: instance, Environment: fmt.Sprintf("e%07d", n), Generation: 1,
		Blueprint: "build@1.0.0", User: "ada", Created: time.Unix(1_800_000_000+n, 0),
		Size: "small", Tenant: "acme", Team: "core", Project: "a \"quoted\" ${shop}", PullRequest: "17",
	}
	return provisioner.Spec{
		Blueprint: blueprint, Owner: owner, Labels: key.Labels(owner),
		Sandbox: provisioner.Sandbox{Size: "small", CPUs: 1, MemoryMiB: 512, Pids: 128, Image: fake.ImageID("bothy/build")},
	}
}

var blueprint = provisioner.Blueprint{Name: "build", Version: "1.0.0", Digest: "sha256:" + strings.Repeat("ab", 32)}

func specWithNetwork(t *testing.T, keeper provisioner.NetworkKeeper) provisioner.Spec {
	t.Helper()
	s := spec()
	name, err := keeper.Reserve(t.Context(), s.Owner)
	must(t, err)
	s.Sandbox.Network = name
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if err := keeper.Release(context.Background(), name); err != nil {
			t.Errorf("release network: %v", err)
		}
	})
	return s
}
