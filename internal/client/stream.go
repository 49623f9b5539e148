package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
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
	streamCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	resp, err := c.send(streamCtx, request{method: http.MethodGet, url: address})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "application/x-ndjson" {
		return c.notBothys(resp.StatusCode)
	}
	body := &attentive{Reader: resp.Body, patience: c.heartbeat.Patience, silent: func() { cancel(heartbeat.ErrSilent) }}
	in := bufio.NewReaderSize(body, 32<<10)
	lines := readAhead(func() ([]byte, error) {
		raw, err := nextLine(in)
		// A daemon that sends empty lines at all never stops to; one of an earlier version may be quiet for long.
		body.armed = body.armed || err == nil && len(raw) == 0
		return raw, err
	})
	defer lines.close()
	for {
		some, err := lines.take()
		if err != nil {
			return c.endOfLines(ctx, streamCtx, resp, err)
		}
		for _, raw := range some {
			if ctx.Err() != nil { // What was read ahead is not wanted any more.
				return c.lost(ctx, ctx.Err())
			}
			if err := takeLine(ctx, c, raw, line); err != nil {
				return err
			}
		}
	}
}

// endOfLines says how a stream of lines ended: nil when it ended well.
func (c *Client) endOfLines(ctx, streamCtx context.Context, resp *http.Response, err error) error {
	if errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	if much, ok := errors.AsType[*tooMuch](err); ok {
		return c.overfull(much, resp.StatusCode)
	}
	if errors.Is(context.Cause(streamCtx), heartbeat.ErrSilent) {
		err = heartbeat.ErrSilent
	}
	return c.lost(ctx, err)
}

// takeLine hands one line on; one that tells why the stream ends is an error.
func takeLine[T any](ctx context.Context, c *Client, raw []byte, line func(T) error) error {
	if len(raw) == 0 {
		return nil
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
	return line(value)
}

// nextLine gives the next line of a stream, whole, without its end; one that is cut off by the stream's end is an error.
func nextLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxOne {
			return nil, &tooMuch{fmt.Sprintf("the %d bytes that a line may have", maxOne)}
		}
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(line) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		line = bytes.TrimSpace(line)
		// Counted as other answers are: a short line could stand for much.
		_, err = io.Copy(io.Discard, &bounded{r: bytes.NewReader(line), bytes: maxOne, values: valuesOne})
		return line, err
	}
}
