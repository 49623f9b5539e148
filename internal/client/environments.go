package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

const pageSize = 1000

// Create asks for an environment and answers as soon as the request is
// recorded; Watch tells when it is ready. With a key, a retry gives the same environment
// (existed is true then); without one the call is never tried twice.
func (c *Client) Create(ctx context.Context, req wire.CreateRequest, idempotencyKey string) (env wire.Environment, existed bool, err error) {
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

// ListOptions say which environments are wanted; the zero value means all that are not gone.
type ListOptions struct {
	// All includes those that are gone.
	All bool
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
	envs := []wire.Environment{}
	for {
		limit := pageSize
		if o.Limit > 0 {
			limit = min(limit, o.Limit-len(envs))
		}
		query.Set("limit", strconv.Itoa(limit))
		var page wire.EnvironmentList
		if _, err := c.call(ctx, request{method: http.MethodGet, url: c.endpoint(query, "v1", "environments"), idempotent: true}, &page); err != nil {
			return nil, err
		}
		envs = append(envs, page.Environments...)
		if page.Next == "" || (o.Limit > 0 && len(envs) >= o.Limit) {
			return envs, nil
		}
		query.Set("cursor", page.Next)
	}
}

// Extend moves the end of a lease by a span of whole seconds. It is never tried twice.
func (c *Client) Extend(ctx context.Context, nameOrID string, by time.Duration) (wire.Environment, error) {
	return ask[wire.Environment](ctx, c, request{
		method: http.MethodPost, url: c.endpoint(nil, "v1", "environments", nameOrID, "extend"),
		body: wire.ExtendRequest{BySeconds: int64(by / time.Second)},
	})
}

// Release gives an environment back and answers as soon as that is recorded;
// Watch tells when it is gone. Releasing one that is going or gone is success.
func (c *Client) Release(ctx context.Context, nameOrID string) (wire.Environment, error) {
	return ask[wire.Environment](ctx, c, request{method: http.MethodDelete, url: c.endpoint(nil, "v1", "environments", nameOrID), idempotent: true})
}

// Blueprints lists the golden paths on offer.
func (c *Client) Blueprints(ctx context.Context) ([]wire.Blueprint, error) {
	list, err := read[wire.BlueprintList](ctx, c, nil, "v1", "blueprints")
	return list.Blueprints, err
}

// Blueprint gives one by name or name@version.
func (c *Client) Blueprint(ctx context.Context, name string) (wire.Blueprint, error) {
	return read[wire.Blueprint](ctx, c, nil, "v1", "blueprints", name)
}

// Version tells what the daemon is.
func (c *Client) Version(ctx context.Context) (wire.Version, error) {
	return read[wire.Version](ctx, c, nil, "v1", "version")
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
