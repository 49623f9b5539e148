//go:build linux

package isolation_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/bothy-env/bothy/e2e/rig"
	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/blueprint/blueprinttest"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

// TestTheLoaderAgreesWithTheBroker takes variations of the built-in blueprint to both. What the loader takes, the broker takes,
// Terraform applies, and its next plan finds nothing to change; what the loader refuses, the broker refuses by the same name.
func TestTheLoaderAgreesWithTheBroker(t *testing.T) {
	needsEngine(t)
	all := blueprinttest.Variations()
	if !*long {
		was, nth := len(all), 0
		all = slices.DeleteFunc(all, func(v blueprinttest.Variation) bool {
			if v.Attribute != "" {
				nth++
			}
			return v.Attribute != "" && nth%3 != 0
		})
		t.Logf("%d of %d variations are left out, all of them refused ones: -long takes all", was-len(all), was)
	}
	w := newDriverWall(t, true)
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for _, v := range all {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			w.agree(v)
		})
	}
	wg.Wait()
}

// agree takes one variation to the loader, and past it to the broker.
func (w *driverWall) agree(v blueprinttest.Variation) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	fail := func(format string, args ...any) { w.t.Errorf(v.Name+": "+format, args...) }
	network := <-w.networks
	defer func() { w.networks <- network }()
	c := &trial{oracle: &oracle{t: w.t}, hostile: hostile{name: v.Name, files: v.Files}, run: "bothy-iso-" + token()[:12]}
	spec, err := w.spec(c, network)
	if err != nil {
		fail("%v", err)
		return
	}
	if _, err := blueprint.Check(spec.Blueprint.Dir); (err == nil) != (v.Attribute == "") || err != nil && !strings.Contains(err.Error(), v.Attribute) {
		fail("the loader says %v, want it to name %q", err, v.Attribute)
	}
	var told events
	var handle provisioner.Handle
	if err = w.driver.Prepare(ctx, spec.Blueprint); err == nil {
		handle, err = w.applied(ctx, &spec, told.observe)
	}
	refusal, refused := errors.AsType[*provisioner.Refusal](err)
	switch {
	case v.Attribute == "" && err != nil:
		fail("the loader takes it, and past the loader: %v", err)
	case v.Attribute != "" && (!refused || !strings.Contains(refusal.Attribute, v.Attribute)):
		fail("the broker says %v, want it to name %q", err, v.Attribute)
	}
	if err := w.destroy(ctx, c, spec, handle, &told); err != nil {
		fail("it cannot be taken away: %v", err)
	}
}

// applied makes an environment, has it judged, and plans once more through the same door.
func (w *driverWall) applied(ctx context.Context, spec *provisioner.Spec, observe provisioner.Observer) (provisioner.Handle, error) {
	w.runtime.Broker().Harden(&spec.Sandbox)
	door, err := w.open(ctx, spec, true)
	if err != nil {
		return provisioner.Handle{}, err
	}
	defer door.Close()
	handle, err := w.driver.Create(ctx, *spec, observe)
	if refusal := door.Refusal(); refusal != nil {
		return handle, refusal
	}
	if err == nil {
		err = door.Judge(ctx, handle.Sandbox.ID)
	}
	if err == nil {
		err = ownTerminals(handle.Sandbox.ID)
	}
	if err == nil {
		err = w.plan(ctx, spec.Owner.Environment)
	}
	return handle, err
}

// ownTerminals fails for a sandbox whose terminals are the machine's, which have no bound but the machine's.
func ownTerminals(id string) error {
	at, err := command("docker", "inspect", "-f", "{{range .Mounts}}{{.Destination}} {{end}}", id)
	if err == nil && !strings.Contains(at+" ", "/dev/pts ") {
		err = fmt.Errorf("it has no terminals of its own: mounts at %q", at)
	}
	return err
}

// plan fails when Terraform would change what it has just made.
func (w *driverWall) plan(ctx context.Context, environment string) error {
	programs := terraform.Candidates("", filepath.Join(rig.CacheDir(), "bin"))
	if len(programs) == 0 {
		return errors.New("neither terraform nor tofu is there: run make setup")
	}
	folder := filepath.Join(w.dir, "terraform")
	cmd := exec.CommandContext(ctx, programs[0], "plan", "-detailed-exitcode", "-input=false", "-no-color", "-lock=false")
	cmd.Dir = filepath.Join(folder, "work", environment)
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+filepath.Join(folder, "terraform.rc"), "CHECKPOINT_DISABLE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return errors.New("a plan after the apply is not empty: " + err.Error() + "\n" + string(out))
	}
	return nil
}
