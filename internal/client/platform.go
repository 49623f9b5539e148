package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// ask makes a call that returns one JSON object.
func ask[T any](ctx context.Context, c *Client, r request) (T, error) {
	var out T
	_, err := c.call(ctx, r, &out)
	return out, err
}

// read gets the object at a route.
func read[T any](ctx context.Context, c *Client, query url.Values, path ...string) (T, error) {
	return ask[T](ctx, c, request{method: http.MethodGet, url: c.endpoint(query, path...), idempotent: true})
}

// readList gets a list without pages, of at most most items, under key in the answer.
func readList[T any](ctx context.Context, c *Client, key string, most int, query url.Values, path ...string) ([]T, error) {
	l := list[T]{key: key, most: most}
	_, err := c.call(ctx, request{method: http.MethodGet, url: c.endpoint(query, path...), idempotent: true}, &l)
	return l.items, err
}

// Pools lists the pools, by name.
func (c *Client) Pools(ctx context.Context) ([]wire.Pool, error) {
	return readList[wire.Pool](ctx, c, "pools", maxItems, nil, "v1", "pools")
}

// Pool returns one pool by name.
func (c *Client) Pool(ctx context.Context, name string) (wire.Pool, error) {
	return read[wire.Pool](ctx, c, nil, "v1", "pools", name)
}

// SetPool creates or updates a pool.
func (c *Client) SetPool(ctx context.Context, name string, p wire.PoolRequest) (wire.Pool, error) {
	return ask[wire.Pool](ctx, c, request{method: http.MethodPut, url: c.endpoint(nil, "v1", "pools", name), body: p, idempotent: true})
}

// RemovePool deletes a pool. Claimed environments continue to run. It never retries.
func (c *Client) RemovePool(ctx context.Context, name string) error {
	_, err := c.call(ctx, request{method: http.MethodDelete, url: c.endpoint(nil, "v1", "pools", name)}, nil)
	return err
}

// ResumePool resumes a paused pool.
func (c *Client) ResumePool(ctx context.Context, name string) (wire.Pool, error) {
	return ask[wire.Pool](ctx, c, request{method: http.MethodPost, url: c.endpoint(nil, "v1", "pools", name, "resume"), idempotent: true})
}

// Quotas lists quotas with their usage.
func (c *Client) Quotas(ctx context.Context) ([]wire.Quota, error) {
	return readList[wire.Quota](ctx, c, "quotas", maxItems, nil, "v1", "quotas")
}

// Quota returns the limits and usage of a scope: TENANT, TENANT/team/NAME or TENANT/user/NAME.
func (c *Client) Quota(ctx context.Context, scope string) (wire.Quota, error) {
	return read[wire.Quota](ctx, c, nil, "v1", "quotas", scope)
}

// SetQuota replaces the limits of a scope. Empty limits delete the quota.
func (c *Client) SetQuota(ctx context.Context, scope string, l wire.Limits) (wire.Quota, error) {
	return ask[wire.Quota](ctx, c, request{method: http.MethodPut, url: c.endpoint(nil, "v1", "quotas", scope), body: l, idempotent: true})
}

// Hosts lists the engine hosts, by name.
func (c *Client) Hosts(ctx context.Context) ([]wire.Host, error) {
	return readList[wire.Host](ctx, c, "hosts", maxItems, nil, "v1", "hosts")
}

// DrainHost drains a host, or undoes the drain.
func (c *Client) DrainHost(ctx context.Context, name string, drained bool) (wire.Host, error) {
	verb := "undrain"
	if drained {
		verb = "drain"
	}
	return ask[wire.Host](ctx, c, request{method: http.MethodPost, url: c.endpoint(nil, "v1", "hosts", name, verb), idempotent: true})
}

// Brake returns the state of the reap limiter.
func (c *Client) Brake(ctx context.Context) (wire.Brake, error) {
	return read[wire.Brake](ctx, c, nil, "v1", "brake")
}

// ReleaseBrake turns off the reap limiter: the daemon deletes all overdue environments. It never retries.
func (c *Client) ReleaseBrake(ctx context.Context) (wire.Brake, error) {
	return ask[wire.Brake](ctx, c, request{method: http.MethodPost, url: c.endpoint(nil, "v1", "brake", "release")})
}

// Orphans lists orphans and doubted environments.
func (c *Client) Orphans(ctx context.Context) (wire.OrphanReport, error) {
	return read[wire.OrphanReport](ctx, c, nil, "v1", "orphans")
}

// AdoptOrphans keeps orphans and doubted environments. It returns the undecided ones.
func (c *Client) AdoptOrphans(ctx context.Context, r wire.OrphanRequest) (wire.OrphanReport, error) {
	return c.decideOrphans(ctx, "adopt", r)
}

// PurgeOrphans deletes orphans and doubted environments. It returns the undecided ones.
func (c *Client) PurgeOrphans(ctx context.Context, r wire.OrphanRequest) (wire.OrphanReport, error) {
	return c.decideOrphans(ctx, "purge", r)
}

// decideOrphans never retries: "all" may mean others by then.
func (c *Client) decideOrphans(ctx context.Context, verb string, r wire.OrphanRequest) (wire.OrphanReport, error) {
	return ask[wire.OrphanReport](ctx, c, request{method: http.MethodPost, url: c.endpoint(nil, "v1", "orphans", verb), body: r})
}
