package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// Events gives an environment's record after an event's number (0 for all), oldest first, at most limit (0: the daemon's own limit).
func (c *Client) Events(ctx context.Context, nameOrID string, after int64, limit int) ([]wire.Event, error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	return readList[wire.Event](ctx, c, "events", mostOf(limit), query, "v1", "environments", nameOrID, "events")
}

// EventOptions say which entries of the record are wanted; the zero value means all that the caller may see.
type EventOptions struct {
	Environment, Pool, Host string
	// After leaves out events up to this number.
	After int64
}

func (c *Client) eventQuery(o EventOptions) url.Values {
	query := url.Values{"after": {strconv.FormatInt(o.After, 10)}}
	for name, value := range map[string]string{"environment": c.reference(o.Environment), "pool": o.Pool, "host": o.Host} {
		if value != "" {
			query.Set(name, value)
		}
	}
	return query
}

// NewestEvents gives the newest entries of the record, at most limit, oldest first.
func (c *Client) NewestEvents(ctx context.Context, o EventOptions, limit int) ([]wire.Event, error) {
	query := c.eventQuery(o)
	query.Set("newest", "true")
	query.Set("limit", strconv.Itoa(limit))
	return readList[wire.Event](ctx, c, "events", mostOf(limit), query, "v1", "events")
}

// mostOf is the most items that a limit lets an answer have.
func mostOf(limit int) int {
	if limit > 0 {
		return limit
	}
	return maxItems
}

// FollowEvents calls write with each entry of the record, those that there are and those that are
// added, until ctx ends or write gives an error. A connection that breaks is taken up again where it stood, for some seconds.
func (c *Client) FollowEvents(ctx context.Context, o EventOptions, write func(wire.Event) error) error {
	return c.resume(ctx, func(took func(error) error) error {
		return readLines(ctx, c, c.endpoint(c.eventQuery(o), "v1", "events", "follow"), func(e wire.Event) error {
			o.After = max(o.After, e.Seq)
			return took(write(e))
		})
	})
}

// Touch says that an environment is in use, for a lease that ends when it is idle.
func (c *Client) Touch(ctx context.Context, nameOrID string) (wire.Environment, error) {
	return ask[wire.Environment](ctx, c, request{method: http.MethodPost, url: c.endpoint(nil, "v1", "environments", nameOrID, "touch"), idempotent: true})
}

// Why tells why an environment is waiting or broken.
func (c *Client) Why(ctx context.Context, nameOrID string) (wire.Why, error) {
	return read[wire.Why](ctx, c, nil, "v1", "environments", nameOrID, "why")
}
