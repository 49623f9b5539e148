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
	Acquire(ctx context.Context, req engine.Request) (engine.Acquired, error)
	Quote(ctx context.Context, req engine.Request) (engine.Quote, error)
	Find(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error)
	List(ctx context.Context, who fleet.Identity, s engine.Selection) (envs []fleet.Environment, next string, err error)
	Extend(ctx context.Context, who fleet.Identity, nameOrID string, by time.Duration) (fleet.Environment, error)
	Release(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error)
	Touch(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error)
	Share(ctx context.Context, who fleet.Identity, nameOrID string, share fleet.Share) (fleet.Environment, error)
	// MayUse tells by its error why somebody may not use an environment now.
	MayUse(ctx context.Context, who fleet.Identity, nameOrID string) error
	// Usage tells what an environment uses; it takes about a second at most.
	Usage(ctx context.Context, env fleet.Environment) provisioner.Usage
	Why(ctx context.Context, who fleet.Identity, nameOrID string) (engine.Why, error)
	Events(ctx context.Context, who fleet.Identity, q engine.EventQuery) ([]fleet.Event, error)
	WatchEvents(ctx context.Context, who fleet.Identity, q engine.EventQuery, write func([]fleet.Event) error) error
	Watch(ctx context.Context, who fleet.Identity, nameOrID string, after int64, update func(fleet.Environment, []fleet.Event) error) error
	Logs(ctx context.Context, who fleet.Identity, nameOrID string, since time.Time, follow bool, write func(fleet.LogLine) error) error
	Exec(ctx context.Context, who fleet.Identity, nameOrID string, req provisioner.ExecRequest, streams provisioner.Streams) (fleet.ExecEnd, error)
	CopyTo(ctx context.Context, who fleet.Identity, nameOrID, dir, user string, tar io.Reader) error
	CopyFrom(ctx context.Context, who fleet.Identity, nameOrID, path, user string) (io.ReadCloser, error)
	// Source tells what was copied to an environment's workspace.
	Source(ctx context.Context, env fleet.Environment) (fleet.Source, error)
	Blueprints() []fleet.Blueprint
	Blueprint(name string) (fleet.Blueprint, error)
	Checks(ctx context.Context) []engine.Check
	Instance() string
	// Elsewhere gives the address of the daemon that serves a host which this one cannot reach; "" for any other host.
	Elsewhere(ctx context.Context, host string) string
	Now() time.Time

	Pools(ctx context.Context, who fleet.Identity) ([]engine.PoolStatus, error)
	Pool(ctx context.Context, who fleet.Identity, name string) (engine.PoolStatus, error)
	SetPool(ctx context.Context, who fleet.Identity, pool fleet.Pool) (engine.PoolStatus, error)
	RemovePool(ctx context.Context, who fleet.Identity, name string) error
	ResumePool(ctx context.Context, who fleet.Identity, name string) (engine.PoolStatus, error)

	Quotas(ctx context.Context, who fleet.Identity) ([]fleet.ScopeUsage, error)
	Quota(ctx context.Context, who fleet.Identity, scope fleet.Scope) (fleet.ScopeUsage, error)
	SetQuota(ctx context.Context, who fleet.Identity, q fleet.Quota) (fleet.ScopeUsage, error)
	Rates(ctx context.Context, who fleet.Identity) ([]fleet.Rate, error)
	SetRate(ctx context.Context, who fleet.Identity, r fleet.Rate) (fleet.Rate, error)
	Cost(ctx context.Context, who fleet.Identity, q engine.CostQuery) (engine.CostReport, error)

	Receipt(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Receipt, error)
	// Receipts gives those after a number, in order.
	Receipts(ctx context.Context, who fleet.Identity, after int64, limit int) ([]fleet.Receipt, error)
	ReceiptKey() []byte
	Orphans(ctx context.Context, who fleet.Identity) (engine.OrphanReport, error)
	// AdoptOrphans and PurgeOrphans take environment ids, none for all, and end safe mode when nothing is left undecided.
	AdoptOrphans(ctx context.Context, who fleet.Identity, ids []string) (engine.OrphanReport, error)
	PurgeOrphans(ctx context.Context, who fleet.Identity, ids []string) (engine.OrphanReport, error)

	Hosts(ctx context.Context, who fleet.Identity) ([]engine.HostStatus, error)
	DrainHost(ctx context.Context, who fleet.Identity, name string, drained bool) (engine.HostStatus, error)
	Brake(ctx context.Context, who fleet.Identity) (fleet.Brake, error)
	ReleaseBrake(ctx context.Context, who fleet.Identity) (fleet.Brake, error)
}
