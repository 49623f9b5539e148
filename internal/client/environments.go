package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// pageSize is how many environments are asked for at once, and maxPages how often at most for one list.
const (
	pageSize = 1000
	maxPages = 2_000
)

// Create asks for an environment and answers as soon as the request is
// recorded; Watch tells when it is ready. With a key, a retry gives the same environment
// (existed is true then); without one the call is never tried twice.
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

// Get gives one environment by name or id, also one that is gone.
func (c *Client) Get(ctx context.Context, nameOrID string) (wire.Environment, error) {
	return read[wire.Environment](ctx, c, nil, "v1", "environments", nameOrID)
}

// GetUsed is Get, with what the environment uses now when it is leased; that takes up to a second.
func (c *Client) GetUsed(ctx context.Context, nameOrID string) (wire.Environment, error) {
	return read[wire.Environment](ctx, c, url.Values{"usage": {"true"}}, "v1", "environments", nameOrID)
}

// ID gives what means the environment of that id in every call that takes a name or an id. No name can take its place.
func ID(id string) string { return wire.ByID + id }

// ListOptions say which environments are wanted; the zero value means those of the caller's tenant that are not gone.
type ListOptions struct {
	// AllTenants wants those of all tenants and those that pools keep warm; it needs the platform role.
	AllTenants bool
	// All includes those that are gone.
	All bool
	// Mine wants the caller's own alone.
	Mine bool
	// States, when not empty, are the only ones wanted.
	States                          []string
	Team, Owner, Project, Blueprint string
	Pool, Host                      string
	// Limit is the most to give; 0 for all.
	Limit int
}

// List gives environments, newest first, from as many pages as there are.
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
			size = max(1, min(size, limit)/4) // large ones: fewer at once
			continue
		}
		if err != nil {
			return nil, err
		}
		envs = append(envs, page.items...)
		if page.next == "" || (o.Limit > 0 && len(envs) >= o.Limit) {
			return envs, nil
		}
		// Each page brings something, and the next one another: else it would go on for ever.
		if len(page.items) == 0 || seen[page.next] || len(seen) > maxPages {
			e := c.notBothys(http.StatusOK)
			e.Sentence += ": its list does not end"
			return nil, e
		}
		seen[page.next] = true
		query.Set("cursor", page.next)
	}
}

// Extend moves the end of a lease by a span of whole seconds. It is tried again only while the environment is not ready yet.
func (c *Client) Extend(ctx context.Context, nameOrID string, by time.Duration) (wire.Environment, error) {
	return ask[wire.Environment](ctx, c, request{
		method: http.MethodPost, url: c.endpoint(nil, "v1", "environments", nameOrID, "extend"),
		body: wire.ExtendRequest{BySeconds: int64(by / time.Second)},
	})
}

// Share sets who may use and delete an environment beside its owner: "nobody", "team" or "tenant".
func (c *Client) Share(ctx context.Context, nameOrID, with string) (wire.Environment, error) {
	return ask[wire.Environment](ctx, c, request{
		method: http.MethodPut, url: c.endpoint(nil, "v1", "environments", nameOrID, "share"), body: wire.ShareRequest{With: with}, idempotent: true,
	})
}

// Release gives an environment back and answers as soon as that is recorded;
// Watch tells when it is gone. Releasing one that is going or gone is success.
func (c *Client) Release(ctx context.Context, nameOrID string) (wire.Environment, error) {
	return ask[wire.Environment](ctx, c, request{method: http.MethodDelete, url: c.endpoint(nil, "v1", "environments", nameOrID), idempotent: true})
}

// Blueprints lists the golden paths on offer.
func (c *Client) Blueprints(ctx context.Context) ([]wire.Blueprint, error) {
	return readList[wire.Blueprint](ctx, c, "blueprints", maxItems, nil, "v1", "blueprints")
}

// Blueprint gives one by name or name@version.
func (c *Client) Blueprint(ctx context.Context, name string) (wire.Blueprint, error) {
	return read[wire.Blueprint](ctx, c, nil, "v1", "blueprints", name)
}

// Version tells what the daemon is.
func (c *Client) Version(ctx context.Context) (wire.Version, error) {
	return read[wire.Version](ctx, c, nil, "v1", "version")
}

// Clock gives the daemon's time, to the second: that of what it has recorded. The caller's own may be another.
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

// Health asks whether the daemon can work now. Not being ready is an answer, not an error.
func (c *Client) Health(ctx context.Context) (wire.Health, error) {
	return c.health(ctx, "readyz")
}

// Doctor gives the daemon's own findings.
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
