//go:build linux

package isolation_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/e2e/rig"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/terraform"
	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// wall is what stands between a blueprint and the machine.
type wall interface {
	// take carries a blueprint as far as it gets, looks at what it reached, and takes everything away again.
	take(c *trial) taken
}

// taken is how far a blueprint got.
type taken struct {
	// made says that a sandbox was handed over.
	made bool
	// said is the refusal, or the failure.
	said string
	// attribute is what the refusal names, where it travels typed.
	attribute string
	// reached is what the oracle saw that is not the blueprint's.
	reached []string
}

// driverWall takes blueprints past the loader: straight to the driver.
type driverWall struct {
	t       *testing.T
	driver  *terraform.Driver
	runtime *docker.Runtime
	// broker opens the doors; without one the blueprint gets the engine itself, which is the control of the corpus.
	broker   provisioner.Broker
	key      provisioner.Key
	image    string
	networks chan provisioner.Attachment
	dir      string
	instance string
}

// newDriverWall sets up driver and runtime as the daemon does. Without a broker, nor a box around Terraform, it is no wall at all.
func newDriverWall(t *testing.T, brokered bool) *driverWall {
	t.Helper()
	// A unix socket's path has a short limit; t.TempDir may be too long.
	dir, err := os.MkdirTemp("", "bothy-iso-")
	if err != nil {
		t.Fatal(err)
	}
	w := &driverWall{t: t, dir: dir, instance: "iso" + token()[:10], key: provisioner.Key(token()), networks: make(chan provisioner.Attachment, atOnce)}
	t.Cleanup(w.close)
	sockets := filepath.Join(dir, "s")
	w.runtime, err = docker.New(docker.Config{Instance: w.instance, Key: w.key, Sockets: sockets, Network: docker.NetworkConfig{Spare: -1}})
	if err != nil {
		t.Fatal(err)
	}
	policy := confine.Prefer
	if !brokered {
		policy = confine.Off
	}
	w.driver, err = terraform.New(terraform.Config{
		Confinement: policy,
		WorkDir:     filepath.Join(dir, "terraform"), Mirror: filepath.Join(rig.CacheDir(), "mirror"), BinDir: filepath.Join(rig.CacheDir(), "bin"),
		EngineSockets: sockets, Warm: true, Timeout: patience,
	})
	if err != nil {
		t.Fatal(err)
	}
	if brokered {
		w.broker = w.runtime.Broker()
	}
	if w.image, err = w.runtime.ResolveImage(t.Context(), image); err != nil {
		t.Fatal(err)
	}
	for i := range atOnce {
		network, err := w.runtime.Reserve(t.Context(), provisioner.Owner{Instance: w.instance, Environment: fmt.Sprintf("network-%d", i), Created: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		w.networks <- network
	}
	return w
}

// atOnce is how many blueprints are taken at the same time.
const atOnce = 3

func (w *driverWall) close() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var errs []error
	if w.driver != nil {
		errs = append(errs, w.driver.Close(ctx))
	}
	for _, id := range labelled(w.t, "container", "bothy.instance="+w.instance) {
		if must(w.t, "docker", "inspect", "-f", `{{index .Config.Labels "bothy.slot"}}`, id) == "" {
			w.t.Errorf("the container %s was left", id)
			remove(w.t, "container", id)
		}
	}
	for len(w.networks) > 0 {
		errs = append(errs, w.runtime.Release(ctx, <-w.networks))
	}
	if w.runtime != nil {
		errs = append(errs, w.runtime.Close(ctx))
	}
	for _, kind := range []string{"container", "network", "volume"} {
		for _, name := range labelled(w.t, kind, "bothy.instance="+w.instance) {
			w.t.Errorf("the %s %s was left", kind, name)
			remove(w.t, kind, name)
		}
	}
	if err := errors.Join(append(errs, os.RemoveAll(w.dir))...); err != nil {
		w.t.Errorf("clean up: %v", err)
	}
}

// spec says what an environment of a blueprint is to be, as the engine of bothyd does.
func (w *driverWall) spec(c *trial, network provisioner.Attachment) (provisioner.Spec, error) {
	dir := filepath.Join(w.dir, "blueprints", c.name)
	if err := writeFiles(dir, c.files); err != nil {
		return provisioner.Spec{}, err
	}
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		fmt.Fprintf(sum, "%q %q\n", name, c.files[name])
	}
	owner := provisioner.Owner{
		Instance: w.instance, Environment: token()[:12], Generation: 1, Blueprint: c.name + "@1.0.0", User: "test", Created: time.Now(), Size: "small",
	}
	return provisioner.Spec{
		Blueprint: provisioner.Blueprint{Name: c.name, Version: "1.0.0", Digest: "sha256:" + hex.EncodeToString(sum.Sum(nil)), Dir: dir},
		Owner:     owner, Labels: w.key.Labels(owner), Inputs: map[string]any{"shm_mib": int64(64)},
		Sandbox: provisioner.Sandbox{Size: "small", CPUs: 1, MemoryMiB: 1024, Pids: 512, Image: w.image, Network: network, Root: true},
	}, nil
}

func writeFiles(dir string, files map[string]string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (w *driverWall) take(c *trial) (got taken) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	network := <-w.networks
	defer func() { w.networks <- network }()
	spec, err := w.spec(c, network)
	if err != nil {
		return taken{said: err.Error(), reached: []string{"the test failed: " + err.Error()}}
	}
	var handle provisioner.Handle
	var made []provisioner.Object
	var told events
	err = w.driver.Prepare(ctx, spec.Blueprint)
	if err == nil {
		var refusal *provisioner.Refusal
		handle, made, refusal, err = w.create(ctx, spec, told.observe)
		if refusal != nil {
			got.attribute = refusal.Attribute
		}
	}
	if got.made = err == nil; err != nil {
		got.said = err.Error()
	}
	got.reached = c.look(spec.Owner.ResourceName(), "bothy.environment="+spec.Owner.Environment, string(network), string(handle.State)+told.text()+got.said, got.made)
	for _, id := range labelled(w.t, "container", "bothy.environment="+spec.Owner.Environment) {
		if w.broker != nil && !slices.ContainsFunc(made, func(o provisioner.Object) bool { return o.ID == id }) {
			got.reached = append(got.reached, "the engine itself, past the broker, which made no container "+id)
		}
	}
	if got.made {
		whose, err := command("docker", "inspect", "-f", `{{.Id}} {{index .Config.Labels "bothy.environment"}}`, handle.Sandbox.ID)
		if err != nil || whose != handle.Sandbox.ID+" "+spec.Owner.Environment {
			got.reached = append(got.reached, fmt.Sprintf("what is handed over is %q (%v)", whose, err))
		}
	}
	if err := w.destroy(ctx, c, spec, handle, &told); err != nil {
		got.reached = append(got.reached, "it cannot be taken away: "+err.Error())
	}
	return got
}

// create makes the environment, through a door where there is a broker, and has what was made judged. It gives what the door
// says was made.
func (w *driverWall) create(ctx context.Context, spec provisioner.Spec, observe provisioner.Observer) (
	handle provisioner.Handle, made []provisioner.Object, refusal *provisioner.Refusal, err error,
) {
	w.runtime.Broker().Harden(&spec.Sandbox)
	if w.broker == nil {
		handle, err = w.driver.Create(ctx, spec, observe)
		return handle, nil, nil, err
	}
	door, err := w.open(ctx, &spec, true)
	if err != nil {
		return handle, nil, nil, err
	}
	defer door.Close()
	handle, err = w.driver.Create(ctx, spec, observe)
	if refusal = door.Refusal(); refusal != nil && err != nil {
		return handle, door.Made(), refusal, refusal
	}
	if err == nil {
		err = door.Judge(ctx, handle.Sandbox.ID)
		errors.As(err, &refusal)
	}
	return handle, door.Made(), refusal, err
}

func (w *driverWall) open(ctx context.Context, spec *provisioner.Spec, create bool) (provisioner.Door, error) {
	door, err := w.broker.Open(ctx, provisioner.Grant{
		Spec: *spec, Create: create, Trusted: func() bool { return true },
		Intend: func(context.Context, provisioner.Object) error { return nil }, Answered: func(provisioner.Object) {},
	})
	if err == nil {
		spec.Sandbox.Engine = door.Endpoint()
	}
	return door, err
}

// destroy takes an environment away as the engine of bothyd does: by the driver, and what it leaves by label.
func (w *driverWall) destroy(ctx context.Context, c *trial, spec provisioner.Spec, handle provisioner.Handle, told *events) error {
	w.runtime.Broker().Harden(&spec.Sandbox)
	if w.broker != nil {
		door, err := w.open(ctx, &spec, false)
		if err != nil {
			return err
		}
		defer door.Close()
	}
	byDriver := w.driver.Destroy(ctx, spec, handle.State, told.observe)
	found, err := provisioner.ListAll(ctx, w.runtime, provisioner.Selector{Instance: w.instance, Environment: spec.Owner.Environment})
	if err != nil {
		return errors.Join(byDriver, err)
	}
	for _, f := range found {
		if w.key.Verify(f.Labels) {
			if err := w.runtime.Remove(ctx, f.Ref, f.Environment()); err != nil {
				return errors.Join(byDriver, err)
			}
		}
	}
	return errors.Join(c.gone(spec.Owner.ResourceName()), c.robbed())
}

// events keeps what a driver tells.
type events struct {
	mu   sync.Mutex
	said strings.Builder
}

func (e *events) observe(ev provisioner.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.said.WriteString(ev.Message + "\n")
}

func (e *events) text() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.said.String()
}
