package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// retryWaits are the waits before each retry of an idempotent call whose connection broke.
var retryWaits = []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 800 * time.Millisecond}

// maxRetryAfter limits the Retry-After of an answer, in seconds.
const maxRetryAfter = 5

// request is one API call.
type request struct {
	method, url string
	header      http.Header
	// body is sent as JSON, unless nil.
	body any
	// idempotent reports that sending the request twice has the same effect as once.
	idempotent bool
	// okay lists statuses other than 2xx whose body is the answer, unless it is a problem.
	okay []int
}

// call sends r and decodes the answer into out, unless nil. It retries idempotent requests if the connection broke, and any request if
// the environment is not ready yet, because the daemon then did nothing.
func (c *Client) call(ctx context.Context, r request, out any) (status int, err error) {
	for try := 0; ; try++ {
		status, err = c.once(ctx, r, out)
		if err == nil || try == len(retryWaits) || ctx.Err() != nil {
			return status, err
		}
		wait := retryWaits[try]
		if e, ok := errors.AsType[*Error](err); ok && e.Code == wire.CodeNotReady {
			wait = max(wait, e.RetryAfter)
		} else if !r.idempotent || !isCutOff(err) {
			return status, err
		}
		if !pause(ctx, wait) {
			return status, err
		}
	}
}

// pause waits and reports whether ctx is still active.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Client) once(ctx context.Context, r request, out any) (int, error) {
	callCtx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := c.newRequest(callCtx, r)
	if err != nil {
		return 0, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, c.lost(ctx, err)
	}
	defer resp.Body.Close()
	if !r.success(resp) {
		return resp.StatusCode, c.answered(resp)
	}
	if out == nil {
		return resp.StatusCode, nil
	}
	if !isJSON(resp.Header) {
		return resp.StatusCode, c.notBothys(resp.StatusCode)
	}
	if d, ok := out.(decoder); ok {
		err = d.decode(resp.Body)
	} else {
		err = decodeOne(resp.Body, out)
	}
	if err == nil {
		return resp.StatusCode, nil
	}
	if much, ok := errors.AsType[*tooMuch](err); ok {
		return resp.StatusCode, c.overfull(much, resp.StatusCode)
	}
	if errors.Is(err, errNotJSON) {
		return resp.StatusCode, c.notBothys(resp.StatusCode)
	}
	return resp.StatusCode, c.lost(ctx, err)
}

func (r request) success(resp *http.Response) bool {
	if slices.Contains(r.okay, resp.StatusCode) && isJSON(resp.Header) {
		return true
	}
	return resp.StatusCode >= 200 && resp.StatusCode < 300
}

func (c *Client) newRequest(ctx context.Context, r request) (*http.Request, error) {
	var body io.Reader
	if r.body != nil {
		data, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("cannot encode request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return nil, fmt.Errorf("cannot create request: %w", err)
	}
	for name, values := range r.header {
		req.Header[name] = values
	}
	if r.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	c.identify(req.Header)
	return req, nil
}

// identify adds the headers with the caller's identity and the reason for the platform role.
func (c *Client) identify(h http.Header) {
	if c.because != "" {
		h.Set(wire.AsPlatform, c.because)
	}
	h.Set("User-Agent", c.userAgent)
	if c.token != "" {
		h.Set("Authorization", "Bearer "+c.token)
	}
}

// send sends r and returns a successful answer. The caller closes its body.
func (c *Client) send(ctx context.Context, r request) (*http.Response, error) {
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	if !r.success(resp) {
		defer resp.Body.Close()
		return nil, c.answered(resp)
	}
	return resp, nil
}
