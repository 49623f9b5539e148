package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// pageSize is the number of environments per page, maxPages the maximum number of pages per list.
const (
	pageSize = 1000
	maxPages = 2_000
)

// Create requests an environment and returns as soon as the daemon has recorded the request;
// use Watch to wait until it is ready. With a key, a retry returns the same environment
// with existed set. Without a key Create never retries.
func (c *Client) Create(ctx context.Context, req wire.CreateRequest, idempotencyKey string) (env wire.Environment, existed bool, err error) {
	if err := c.ownTenant(); err != nil {
		return env, false, err
	}
	r := request{method: http.MethodPost, url: c.endpoint(nil, "v1", "environments"), body: req, idempotent: idempotencyKey != ""}
	if idempotencyKey != "" {
		r.header = http.Header{"Idempotency-Key": {idempotencyKey}}
	}
	status, err := c.call(ctx, r, &env)
	return env, status == http.StatusOK, err
}

// Get returns one environment by name or id, even if it is deleted.
func (c *Client) Get(ctx context.Context, nameOrID string) (wire.Environment, error) {
	return read[wire.Environment](ctx, c, nil, "v1", "environments", nameOrID)
}

// GetUsed is Get with the current resource usage of a leased environment, which takes up to 1 s.
func (c *Client) GetUsed(ctx context.Context, nameOrID string) (wire.Environment, error) {
	return read[wire.Environment](ctx, c, url.Values{"usage": {"true"}}, "v1", "environments", nameOrID)
}

// ID returns a reference to the environment with that id, for every call that accepts a name or id. It never matches a name.
func ID(id string) string { return wire.ByID + id }

// ListOptions filter environments. The zero value lists the environments of the caller's tenant that are not deleted.
type ListOptions struct {
	// AllTenants lists every tenant and warm pool members; it requires the platform role.
	AllTenants bool
	// All includes deleted environments.
	All bool
	// Mine lists only environments that the caller owns.
	Mine bool
	// States lists only these states, unless empty.
	States                          []string
	Team, Owner, Project, Blueprint string
	Pool, Host                      string
	// Limit is the maximum number of environments; 0 for all.
	Limit int
}

// List returns environments of all pages, newest first.
func (c *Client) List(ctx context.Context, o ListOptions) ([]wire.Environment, error) {
	query := url.Values{}
	if o.All {
		query.Set("all", "true")
	}
	if o.Mine {
		query.Set("mine", "true")
	}
	switch {
	case o.AllTenants:
		query.Set("all_tenants", "true")
	case c.tenant != "":
		query.Set("tenant", c.tenant)
	}
	for _, s := range o.States {
		query.Add("state", s)
	}
	for name, value := range map[string]string{
		"team": o.Team, "owner": o.Owner, "project": o.Project, "blueprint": o.Blueprint, "pool": o.Pool, "host": o.Host,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	envs, size, seen := []wire.Environment{}, pageSize, map[string]bool{"": true}
	for {
		limit := size
		if o.Limit > 0 {
			limit = min(limit, o.Limit-len(envs))
		}
		query.Set("limit", strconv.Itoa(limit))
		page := list[wire.Environment]{key: "environments", most: limit}
		_, err := c.call(ctx, request{method: http.MethodGet, url: c.endpoint(query, "v1", "environments"), idempotent: true}, &page)
		if CodeOf(err) == wire.CodeTooLarge && len(page.items) < limit && size > 1 {
			size = max(1, min(size, limit)/4) // large environments: use smaller pages
			continue
		}
		if err != nil {
			return nil, err
		}
		envs = append(envs, page.items...)
		if page.next == "" || (o.Limit > 0 && len(envs) >= o.Limit) {
			return envs, nil
		}
		// Each page must have items and a new cursor. Otherwise the loop could be endless.
		if len(page.items) == 0 || seen[page.next] || len(seen) > maxPages {
			e := c.notBothys(http.StatusOK)
			e.Sentence += ": the list does not end"
			return nil, e
		}
		seen[page.next] = true
		query.Set("cursor", page.next)
	}
}

// Extend extends a lease by whole seconds. It retries only while the environment is not ready yet.
func (c *Client) Extend(ctx context.Context, nameOrID string, by time.Duration) (wire.Environment, error) {
	return ask[wire.Environment](ctx, c, request{
		method: http.MethodPost, url: c.endpoint(nil, "v1", "environments", nameOrID, "extend"),
		body: wire.ExtendRequest{BySeconds: int64(by / time.Second)},
	})
}

// Share sets who besides the owner may use and delete an environment: "nobody", "team" or "tenant".
func (c *Client) Share(ctx context.Context, nameOrID, with string) (wire.Environment, error) {
	return ask[wire.Environment](ctx, c, request{
		method: http.MethodPut, url: c.endpoint(nil, "v1", "environments", nameOrID, "share"), body: wire.ShareRequest{With: with}, idempotent: true,
	})
}

// Release deletes an environment and returns as soon as the daemon has recorded the deletion;
// use Watch to wait until it is destroyed. Releasing a deleted environment succeeds.
func (c *Client) Release(ctx context.Context, nameOrID string) (wire.Environment, error) {
	return ask[wire.Environment](ctx, c, request{method: http.MethodDelete, url: c.endpoint(nil, "v1", "environments", nameOrID), idempotent: true})
}

// Blueprints lists blueprints.
func (c *Client) Blueprints(ctx context.Context) ([]wire.Blueprint, error) {
	return readList[wire.Blueprint](ctx, c, "blueprints", maxItems, nil, "v1", "blueprints")
}

// Blueprint returns one blueprint by name or name@version.
func (c *Client) Blueprint(ctx context.Context, name string) (wire.Blueprint, error) {
	return read[wire.Blueprint](ctx, c, nil, "v1", "blueprints", name)
}

// Version returns the version and instance of the daemon.
func (c *Client) Version(ctx context.Context) (wire.Version, error) {
	return read[wire.Version](ctx, c, nil, "v1", "version")
}

// Clock returns the daemon's time, to the second. Recorded times are times of this clock, which may differ from the caller's.
func (c *Client) Clock(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	resp, err := c.send(ctx, request{method: http.MethodGet, url: c.endpoint(nil, "v1", "version")})
	if err != nil {
		return time.Time{}, err
	}
	defer resp.Body.Close()
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}, c.notBothys(resp.StatusCode)
	}
	return at, nil
}

// Health returns whether the daemon is ready. Not ready is not an error.
func (c *Client) Health(ctx context.Context) (wire.Health, error) {
	return c.health(ctx, "readyz")
}

// Doctor returns the daemon's own checks.
func (c *Client) Doctor(ctx context.Context) (wire.Health, error) {
	return c.health(ctx, "v1", "doctor")
}

func (c *Client) health(ctx context.Context, path ...string) (wire.Health, error) {
	var h wire.Health
	_, err := c.call(ctx, request{
		method: http.MethodGet, url: c.endpoint(nil, path...), idempotent: true,
		okay: []int{http.StatusServiceUnavailable},
	}, &h)
	return h, err
}
