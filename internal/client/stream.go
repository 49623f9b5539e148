package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// resumeWaits are the pauses before a watch that broke is taken up again: long enough for a daemon to start anew.
var resumeWaits = []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond, 3 * time.Second}

// Watch calls update with the environment as it is now, and again whenever it
// changes, with the events since the call before (the first time: those after event
// number after). It returns nil when the environment is destroyed, update's error when it
// gives one, and an error when ctx ends. A connection that breaks is taken up again where it stood, for some seconds.
func (c *Client) Watch(ctx context.Context, nameOrID string, after int64, update func(wire.Update) error) error {
	return c.resume(ctx, func(took func(error) error) error {
		return c.watchOnce(ctx, nameOrID, after, func(u wire.Update) error {
			for _, e := range u.Events {
				after = max(after, e.Seq)
			}
			return took(update(u))
		})
	})
}

// resume streams again when the connection breaks after something was received. The stream's receiver passes
// its result through took; an error of its own ends it.
func (c *Client) resume(ctx context.Context, stream func(took func(error) error) error) error {
	begun, failures := false, 0
	var stop error
	took := func(err error) error {
		begun, failures, stop = true, 0, err
		return err
	}
	for {
		err := stream(took)
		if err == nil || stop != nil || !begun || ctx.Err() != nil || CodeOf(err) != wire.CodeUnavailable || failures == len(resumeWaits) {
			return err
		}
		if !pause(ctx, resumeWaits[failures]) {
			return err
		}
		failures++
	}
}

func (c *Client) watchOnce(ctx context.Context, nameOrID string, after int64, update func(wire.Update) error) error {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}}
	return readLines(ctx, c, c.endpoint(query, "v1", "environments", nameOrID, "watch"), update)
}

// Logs calls write with each stored line since a time (the zero time: all),
// oldest first; with follow it goes on until the environment is gone. It works for those that are gone, too.
func (c *Client) Logs(ctx context.Context, nameOrID string, since time.Time, follow bool, write func(wire.LogLine) error) error {
	query := url.Values{}
	if !since.IsZero() {
		query.Set("since", since.UTC().Format(time.RFC3339Nano))
	}
	if follow {
		query.Set("follow", "true")
	}
	return readLines(ctx, c, c.endpoint(query, "v1", "environments", nameOrID, "logs"), write)
}

// readLines reads a stream of one JSON value a line until it ends well, a line
// tells why it ended early, or line gives an error, which is returned as it is.
func readLines[T any](ctx context.Context, c *Client, address string, line func(T) error) error {
	// When this returns early the stream must end at the daemon too.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	body, err := c.open(ctx, request{method: http.MethodGet, url: address})
	if err != nil {
		return err
	}
	defer body.Close()
	for dec := json.NewDecoder(body); ; {
		var raw json.RawMessage
		if err := dec.Decode(&raw); errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		} else if err != nil {
			return c.lost(ctx, err)
		}
		var end wire.StreamEnd
		if json.Unmarshal(raw, &end) == nil && end.Problem != nil {
			if ctx.Err() != nil { // The daemon saw the caller leave: its last words are about that.
				return c.lost(ctx, ctx.Err())
			}
			return fromProblem(*end.Problem)
		}
		var value T
		if err := json.Unmarshal(raw, &value); err != nil {
			return &Error{Code: wire.CodeInternal, Sentence: "the daemon sent a line that cannot be understood", Hint: "check that bothy and bothyd are of one version", Err: err}
		}
		if err := line(value); err != nil {
			return err
		}
	}
}
