package worker

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/engine/clock"
	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// ajar is a broker that gives away its grants.
type ajar struct {
	provisioner.Broker
	grant provisioner.Grant
}

func (a *ajar) Harden(*provisioner.Sandbox) {}

func (a *ajar) Open(_ context.Context, g provisioner.Grant) (provisioner.Door, error) {
	a.grant = g
	return shut{}, nil
}

type shut struct{ provisioner.Door }

func (shut) Endpoint() string              { return "unix:///door" }
func (shut) Close()                        {}
func (shut) Refusal() *provisioner.Refusal { return nil }

// stuck is a driver that fails as Terraform does when its provider is refused something: for good, by the words.
type stuck struct {
	provisioner.Driver
	does func()
}

func (s stuck) Create(context.Context, provisioner.Spec, provisioner.Observer) (provisioner.Handle, error) {
	s.does()
	return provisioner.Handle{}, provisioner.Errorf(provisioner.Permanent, "apply blueprint", "Error response from daemon: no")
}

// What keeps a request from passing though the blueprint is right is no reason to give the environment up.
func TestWhatTheBlueprintIsNotAtFaultForIsTriedAgain(t *testing.T) {
	t.Parallel()
	db, err := store.Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "bothy.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	env := fleet.Environment{ID: "e1", Work: fleet.Work{Generation: 1}}
	try := func(does func(*Worker, provisioner.Grant)) error {
		w := &Worker{store: db, clock: clock.New(nil, nil)}
		w.running.jobs = map[string]*job{env.ID: {trust: clock.NewTrust(clock.SinceBoot(), time.Hour, func() {})}}
		defer w.running.jobs[env.ID].trust.End()
		broker := &ajar{}
		h := &target.Host{Broker: broker, Driver: stuck{does: func() { does(w, broker.grant) }}}
		_, err := maker{w}.make(t.Context(), h, env, provisioner.Spec{}, &progress{})
		return err
	}
	err = try(func(*Worker, provisioner.Grant) {})
	if !provisioner.Is(err, provisioner.Permanent) {
		t.Errorf("a failure of the blueprint is %v", err)
	}
	err = try(func(w *Worker, g provisioner.Grant) {
		w.running.jobs[env.ID].trust.End()
		if g.Trusted() {
			t.Error("it is trusted after its time")
		}
	})
	if !provisioner.Is(err, provisioner.Transient) || !errors.Is(err, errUntrusted) {
		t.Errorf("a lease that was not renewed in time is %v, want that it is tried again", err)
	}
	err = try(func(_ *Worker, g provisioner.Grant) {
		if err := g.Intend(t.Context(), provisioner.Object{Kind: "container", Name: "c"}); err == nil {
			t.Error("what is made for nobody is recorded")
		}
	})
	if fleet.CodeOf(err) != fleet.CodeNotFound || !strings.Contains(err.Error(), "record container c before it is made") {
		t.Errorf("a record that refuses is %v", err)
	}
}
