package api_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api"
	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/engine/worker"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// servicesOf are a daemon as the routes call it.
func servicesOf(d *daemon.Daemon, blueprints api.Blueprints) api.Services {
	return api.Services{
		Requests: d, Environments: d, Sandboxes: d, Records: d, Blueprints: blueprints, Pools: d.Pools, Quotas: d.Quotas, Costs: d.Costs,
		Orphans: d.Orphans, Hosts: d.Hosts, Brake: d.Brake, Doctor: d.Doctor, Instance: "test0001", Now: d.Now,
	}
}

// shelf is a catalogue of the double's blueprint, in dir.
type shelf struct{ dir string }

func (s shelf) List() []fleet.Blueprint {
	all := newDouble().blueprints()
	all[0].Ref.Digest, all[0].Dir = "sha256:"+strings.Repeat("0", 64), s.dir
	return all
}

func (s shelf) Get(name string) (fleet.Blueprint, error) {
	if b := s.List()[0]; name == b.Ref.Name || name == b.Ref.String() {
		return b, nil
	}
	return fleet.Blueprint{}, fleet.Errorf(fleet.CodeNotFound, "no blueprint %q", name)
}

func (s shelf) Dir(string) (string, error) { return s.dir, nil }

// realEngine runs the engine itself on a fake provider.
func realEngine(t *testing.T) (*daemon.Daemon, *store.Store) {
	t.Helper()
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "bothy.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	secret := []byte("0123456789abcdef0123456789abcdef")
	key, err := vault.LabelKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	world := fake.New(fake.Options{Now: time.Now, Key: key, Instance: "test0001"})
	runtime := world.Runtime()
	e, err := daemon.New(daemon.Config{
		Store: db, Blueprints: shelf{t.TempDir()}, Hosts: []daemon.Host{{Target: provisioner.Target{Name: "local"}, Driver: world.Driver(), Runtime: runtime, Networks: runtime}},
		Instance: "test0001", Worker: "d.a", Secret: secret, Clock: time.Now, Times: worker.Times{Tick: 20 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx, patience) }()
	t.Cleanup(func() {
		cancel()
		if err := receive(t, "the engine's end", done); err != nil {
			t.Error(err)
		}
	})
	return e, db
}
