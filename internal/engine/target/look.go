package target

import (
	"context"
	"fmt"
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

// Listed gives everything on a host with an installation's labels, or all of one environment's.
func Listed(ctx context.Context, h *Host, instance, environment string) ([]provisioner.Found, error) {
	all, err := provisioner.ListAll(ctx, h.Runtime, provisioner.Selector{Instance: instance, Environment: environment})
	if err != nil {
		return nil, fmt.Errorf("list resources: %w", err)
	}
	return all, nil
}

// OutwaitLists waits for as long as a host's lists may show what was before: two of them prove nothing sooner than that.
func OutwaitLists(ctx context.Context, h *Host) error {
	lag := h.Runtime.Capabilities().ListLag
	if lag == 0 {
		return nil
	}
	timer := time.NewTimer(lag)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return provisioner.Errorf(provisioner.Cancelled, "list resources", "interrupted: %w", context.Cause(ctx))
	}
}

// Thaw lets a frozen sandbox run on.
func Thaw(ctx context.Context, h *Host, sandbox string) error {
	pauser, ok := provisioner.Can[provisioner.Pauser](h.Runtime)
	if !ok {
		return provisioner.Errorf(provisioner.Permanent, "unpause sandbox", "host %s cannot unpause", h.Name)
	}
	if err := pauser.Unpause(ctx, sandbox); err != nil {
		return fmt.Errorf("unpause sandbox: %w", err)
	}
	return nil
}
