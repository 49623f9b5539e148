// Package exec runs commands in sandboxes: the command itself with its streams and signals, bothy's helpers inside, and the stages that wait
// for a claim. It ends commands whose callers have left.
package exec

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/provisioner/docker/accounts"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// Accounts are the users of images.
type Accounts interface {
	Of(ctx context.Context, image string) (*accounts.Users, error)
}

// Limits are the limits of sandboxes.
type Limits interface {
	// MakeRoom makes room for the start of a command in a sandbox that is full of processes, or was at the last try, until restore
	// is called. still reports whether nothing else in the sandbox runs.
	MakeRoom(ctx context.Context, id string, wasFull bool) (still func() bool, restore func())
	// Full returns provisioner.ErrProcesses when a sandbox has as many processes as it may.
	Full(ctx context.Context, id string) error
	// Lift raises a sandbox's weight until lower is called.
	Lift(ctx context.Context, id string) (lower func())
}

// Runner runs commands. It is safe for use by many goroutines.
type Runner struct {
	engine    *engine.Client
	sandboxes *sandbox.Sandboxes
	accounts  Accounts
	limits    Limits
	bg        context.Context // of commands that are ended behind their callers
	left      lingering
	begun     starts
	// Retry is the wait before another try to end commands, which doubles up to RetryMost.
	Retry, RetryMost time.Duration
}

// New returns a Runner. Commands whose callers have left are ended until ctx ends.
func New(ctx context.Context, e *engine.Client, sandboxes *sandbox.Sandboxes, users Accounts, limits Limits) *Runner {
	return &Runner{engine: e, sandboxes: sandboxes, accounts: users, limits: limits, bg: ctx, Retry: time.Second, RetryMost: 30 * time.Second}
}
