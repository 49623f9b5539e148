// Package api is bothy's HTTP interface: routes, who may speak, and one table
// from error code to status. It decides nothing; it asks the engine.
package api

import (
	"context"
	"io"
	"time"

	"github.com/bothy-env/bothy/internal/engine"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// Engine is what the routes need of *engine.Engine. Its errors carry fleet's
// codes; one that carries none is a fault and is logged, never shown.
type Engine interface {
	Acquire(ctx context.Context, req engine.Request) (env fleet.Environment, existed bool, err error)
	Find(ctx context.Context, nameOrID string) (fleet.Environment, error)
	List(ctx context.Context, f engine.Filter) (envs []fleet.Environment, next string, err error)
	Extend(ctx context.Context, actor, nameOrID string, by time.Duration) (fleet.Environment, error)
	Release(ctx context.Context, actor, nameOrID string) (fleet.Environment, error)
	Events(ctx context.Context, nameOrID string, after int64, limit int) ([]fleet.Event, error)
	Watch(ctx context.Context, nameOrID string, after int64, update func(fleet.Environment, []fleet.Event) error) error
	Logs(ctx context.Context, nameOrID string, since time.Time, follow bool, write func(fleet.LogLine) error) error
	Exec(ctx context.Context, actor, nameOrID string, req provisioner.ExecRequest, streams provisioner.Streams) (int, error)
	CopyTo(ctx context.Context, actor, nameOrID, dir, user string, tar io.Reader) error
	CopyFrom(ctx context.Context, actor, nameOrID, path, user string) (io.ReadCloser, error)
	Blueprints() []fleet.Blueprint
	Blueprint(name string) (fleet.Blueprint, error)
	Checks(ctx context.Context) []engine.Check
	Instance() string
	Now() time.Time
}
