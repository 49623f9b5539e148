package target

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// LookFor bounds each look at a sandbox.
const LookFor = 5 * time.Second

// Healthy looks once more before an environment is handed over: a sandbox that ended at once is none.
func Healthy(ctx context.Context, h *Host, sandbox string) (provisioner.Status, error) {
	status, err := h.Runtime.Inspect(ctx, sandbox)
	if err != nil {
		return status, fmt.Errorf("inspect sandbox: %w", err)
	}
	if !status.Running {
		return status, Ended(status)
	}
	return status, nil
}

// Ended is the error of a sandbox that ended by itself.
func Ended(status provisioner.Status) error {
	sentence := fmt.Sprintf("the sandbox ended by itself with exit code %d", status.ExitCode)
	if status.Error != "" {
		sentence += ": " + status.Error
	}
	return provisioner.Errorf(provisioner.Permanent, "look at sandbox", "%s", sentence)
}

// Exists looks for a sandbox by its id.
func Exists(ctx context.Context, h *Host, sandbox string) (bool, error) {
	_, err := h.Runtime.Inspect(ctx, sandbox)
	if provisioner.Is(err, provisioner.NotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for sandbox: %w", err)
	}
	return true, nil
}

// Container is the kind of a sandbox.
const Container = "container"

var removalOrder = []string{Container, "network", "volume"}

// ByRemovalOrder sorts what is to be removed: networks and volumes cannot go before containers.
func ByRemovalOrder(a, b provisioner.Found) int {
	return cmp.Or(cmp.Compare(slices.Index(removalOrder, a.Kind), slices.Index(removalOrder, b.Kind)), cmp.Compare(a.ID, b.ID))
}

// Thaw lets a frozen sandbox run on.
func Thaw(ctx context.Context, h *Host, sandbox string) error {
	pauser, ok := h.Runtime.(provisioner.Pauser)
	if !ok {
		return provisioner.Errorf(provisioner.Permanent, "unpause sandbox", "host %s cannot unpause", h.Name)
	}
	if err := pauser.Unpause(ctx, sandbox); err != nil {
		return fmt.Errorf("unpause sandbox: %w", err)
	}
	return nil
}
