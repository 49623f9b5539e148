// Package api is bothy's HTTP interface: routes, who may speak, and one table
// from error code to status. It decides nothing; it calls the use cases of package service.
package api

import (
	"context"
	"io"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
)

// Services are the use cases behind the routes. Errors carry fleet's codes; an error without one is a fault, which is logged and never
// shown. Whoever calls is authenticated, and has the role that the route requires; who may use which environment is up to the use case.
type Services struct {
	Requests     Requests
	Environments Environments
	Sandboxes    Sandboxes
	Records      Records
	Blueprints   Blueprints
	Pools        Pools
	Quotas       Quotas
	Costs        Costs
	Orphans      Orphans
	Hosts        Hosts
	Brake        Brake
	Doctor       Doctor
	// Instance is the id of the installation. Now is the time by which leases run.
	Instance string
	Now      func() time.Time
}

// Requests are requests for environments.
type Requests interface {
	Acquire(ctx context.Context, req service.Request) (service.Acquired, error)
	// Quote returns what a request would get, and creates nothing.
	Quote(ctx context.Context, req service.Request) (service.Quote, error)
}

// Environments are those that exist.
type Environments interface {
	Find(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error)
	List(ctx context.Context, who fleet.Identity, s service.Selection) (envs []fleet.Environment, next string, err error)
	Extend(ctx context.Context, who fleet.Identity, nameOrID string, by time.Duration) (fleet.Environment, error)
	Release(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error)
	Touch(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Environment, error)
	Share(ctx context.Context, who fleet.Identity, nameOrID string, share fleet.Share) (fleet.Environment, error)
	// MayUse returns an error if the caller may not use an environment now.
	MayUse(ctx context.Context, who fleet.Identity, nameOrID string) error
	Why(ctx context.Context, who fleet.Identity, nameOrID string) (service.Why, error)
	// Watch calls update at once and after each change, with the events since after.
	Watch(ctx context.Context, who fleet.Identity, nameOrID string, after int64, update func(fleet.Environment, []fleet.Event) error) error
}

// Sandboxes are the insides of environments.
type Sandboxes interface {
	Exec(ctx context.Context, who fleet.Identity, nameOrID string, req provisioner.ExecRequest, streams provisioner.Streams) (fleet.ExecEnd, error)
	CopyTo(ctx context.Context, who fleet.Identity, nameOrID, dir, user string, tar io.Reader) error
	CopyFrom(ctx context.Context, who fleet.Identity, nameOrID, path, user string) (io.ReadCloser, error)
	Logs(ctx context.Context, who fleet.Identity, nameOrID string, since time.Time, follow bool, write func(fleet.LogLine) error) error
	// Usage takes about a second at most.
	Usage(ctx context.Context, env fleet.Environment) provisioner.Usage
	// Source is what was copied to the workspace of an environment.
	Source(ctx context.Context, env fleet.Environment) (fleet.Source, error)
}

// Records are events and receipts.
type Records interface {
	Events(ctx context.Context, who fleet.Identity, q service.EventQuery) ([]fleet.Event, error)
	WatchEvents(ctx context.Context, who fleet.Identity, q service.EventQuery, write func([]fleet.Event) error) error
	Receipt(ctx context.Context, who fleet.Identity, nameOrID string) (fleet.Receipt, error)
	// Receipts returns those after a number, in order.
	Receipts(ctx context.Context, who fleet.Identity, after int64, limit int) ([]fleet.Receipt, error)
	ReceiptKey() []byte
}

// Blueprints are those that users can request.
type Blueprints interface {
	// Get returns one by name or name@version, List all by name.
	Get(name string) (fleet.Blueprint, error)
	List() []fleet.Blueprint
}

// Pools are those of the platform team.
type Pools interface {
	All(ctx context.Context, who fleet.Identity) ([]service.PoolStatus, error)
	One(ctx context.Context, who fleet.Identity, name string) (service.PoolStatus, error)
	Set(ctx context.Context, who fleet.Identity, pool fleet.Pool) (service.PoolStatus, error)
	Remove(ctx context.Context, who fleet.Identity, name string) error
	Resume(ctx context.Context, who fleet.Identity, name string) (service.PoolStatus, error)
}

// Quotas are limits and usage of scopes.
type Quotas interface {
	List(ctx context.Context, who fleet.Identity) ([]fleet.ScopeUsage, error)
	Get(ctx context.Context, who fleet.Identity, scope fleet.Scope) (fleet.ScopeUsage, error)
	Set(ctx context.Context, who fleet.Identity, q fleet.Quota) (fleet.ScopeUsage, error)
}

// Costs are prices and cost.
type Costs interface {
	Report(ctx context.Context, who fleet.Identity, q service.CostQuery) (service.CostReport, error)
	Rates(ctx context.Context, who fleet.Identity) ([]fleet.Rate, error)
	SetRate(ctx context.Context, who fleet.Identity, r fleet.Rate) (fleet.Rate, error)
}

// Orphans are resources without an environment, and environments in doubt.
type Orphans interface {
	List(ctx context.Context, who fleet.Identity) (service.OrphanReport, error)
	// Adopt and Purge take environment ids, none for all, and end safe mode if nothing is left to decide.
	Adopt(ctx context.Context, who fleet.Identity, ids []string) (service.OrphanReport, error)
	Purge(ctx context.Context, who fleet.Identity, ids []string) (service.OrphanReport, error)
}

// Hosts are engine hosts.
type Hosts interface {
	List(ctx context.Context, who fleet.Identity) ([]service.HostStatus, error)
	Drain(ctx context.Context, who fleet.Identity, name string, drained bool) (service.HostStatus, error)
	// Elsewhere returns the address of the daemon that serves a host which this one cannot reach; "" for any other host.
	Elsewhere(ctx context.Context, host string) string
}

// Brake is the reap limiter.
type Brake interface {
	State(ctx context.Context) (fleet.Brake, error)
	Release(ctx context.Context, who fleet.Identity) (fleet.Brake, error)
}

// Doctor checks what the daemon needs.
type Doctor interface {
	Checks(ctx context.Context) []service.Check
}
