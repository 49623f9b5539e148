package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// Quote returns what a request would get and cost. It creates nothing.
func (c *Client) Quote(ctx context.Context, req wire.CreateRequest) (wire.Quote, error) {
	if err := c.ownTenant(); err != nil {
		return wire.Quote{}, err
	}
	return ask[wire.Quote](ctx, c, request{method: http.MethodPost, url: c.endpoint(nil, "v1", "quote"), body: req, idempotent: true})
}

// Rates lists rates by blueprint, size and time.
func (c *Client) Rates(ctx context.Context) ([]wire.Rate, error) {
	return readList[wire.Rate](ctx, c, "rates", maxItems, nil, "v1", "rates")
}

// SetRate sets the price of a blueprint size. Without a time it applies from now, so SetRate retries only with a time.
func (c *Client) SetRate(ctx context.Context, blueprint, size string, r wire.RateRequest) (wire.Rate, error) {
	return ask[wire.Rate](ctx, c, request{
		method: http.MethodPut, url: c.endpoint(nil, "v1", "rates", blueprint, size), body: r, idempotent: r.From != nil,
	})
}

// Cost returns the costs by "user", "team", "tenant", "blueprint", "project", "pool", "day", "host",
// "pull-request" or "environment", between two times (zero: no limit).
func (c *Client) Cost(ctx context.Context, by string, since, until time.Time) (wire.CostReport, error) {
	query := url.Values{"by": {by}}
	for name, at := range map[string]time.Time{"since": since, "until": until} {
		if !at.IsZero() {
			query.Set(name, at.UTC().Format(time.RFC3339Nano))
		}
	}
	return read[wire.CostReport](ctx, c, query, "v1", "cost")
}

// Receipt returns the receipt of a deleted environment.
func (c *Client) Receipt(ctx context.Context, nameOrID string) (wire.Receipt, error) {
	return read[wire.Receipt](ctx, c, nil, "v1", "environments", nameOrID, "receipt")
}

// Receipts returns one page of receipts of all tenants after a number (0: from the first), in order; none after the
// last.
func (c *Client) Receipts(ctx context.Context, after int64) ([]wire.Receipt, error) {
	return readList[wire.Receipt](ctx, c, "receipts", maxItems, url.Values{"after": {strconv.FormatInt(after, 10)}}, "v1", "receipts")
}

// ReceiptKey returns the public key that verifies the daemon's receipts.
func (c *Client) ReceiptKey(ctx context.Context) (wire.ReceiptKey, error) {
	return read[wire.ReceiptKey](ctx, c, nil, "v1", "receipts", "key")
}
