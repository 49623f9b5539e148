package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// Events returns the events of an environment after an event number (0 for all), oldest first, at most limit (0: the daemon's limit).
func (c *Client) Events(ctx context.Context, nameOrID string, after int64, limit int) ([]wire.Event, error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	return readList[wire.Event](ctx, c, "events", mostOf(limit), query, "v1", "environments", nameOrID, "events")
}

// EventOptions filter events; the zero value selects all events that the caller may see.
type EventOptions struct {
	Environment, Pool, Host string
	// After skips events up to this number.
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

// NewestEvents returns the newest events, at most limit, oldest first.
func (c *Client) NewestEvents(ctx context.Context, o EventOptions, limit int) ([]wire.Event, error) {
	query := c.eventQuery(o)
	query.Set("newest", "true")
	query.Set("limit", strconv.Itoa(limit))
	return readList[wire.Event](ctx, c, "events", mostOf(limit), query, "v1", "events")
}

// mostOf returns the maximum number of items for a limit.
func mostOf(limit int) int {
	if limit > 0 {
		return limit
	}
	return maxItems
}

// FollowEvents calls write with each existing and new event, until ctx ends or write returns an error. It resumes a broken connection
// for a few seconds.
func (c *Client) FollowEvents(ctx context.Context, o EventOptions, write func(wire.Event) error) error {
	return c.resume(ctx, func(took func(error) error) error {
		return readLines(ctx, c, c.endpoint(c.eventQuery(o), "v1", "events", "follow"), func(e wire.Event) error {
			o.After = max(o.After, e.Seq)
			return took(write(e))
		})
	})
}

// Touch marks an environment as active, which resets its idle timer.
func (c *Client) Touch(ctx context.Context, nameOrID string) (wire.Environment, error) {
	return ask[wire.Environment](ctx, c, request{method: http.MethodPost, url: c.endpoint(nil, "v1", "environments", nameOrID, "touch"), idempotent: true})
}

// Why explains why an environment is waiting or failed.
func (c *Client) Why(ctx context.Context, nameOrID string) (wire.Why, error) {
	return read[wire.Why](ctx, c, nil, "v1", "environments", nameOrID, "why")
}
