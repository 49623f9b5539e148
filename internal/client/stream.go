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

// resumeWaits are the waits before a broken stream resumes: together long enough for a restart of the daemon.
var resumeWaits = []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond, 1600 * time.Millisecond, 3 * time.Second}

// Watch calls update with the current environment, and again on every change, with the events
// since the previous call (the first time: events after number after). It returns nil once the
// environment is destroyed, the error of update, or an error when ctx ends. It resumes a broken
// connection for a few seconds.
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

// resume restarts the stream if the connection breaks after something was received. The receiver of the stream
// passes its result through took; its own error ends the stream.
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

// Logs calls write with each stored line since a time (the zero time: all lines), oldest first. With
// follow it continues until the environment is destroyed. It works for deleted environments too.
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

// readLines reads a stream with one JSON value per line until it ends, a line contains an error, or
// line returns an error, which readLines returns unchanged.
func readLines[T any](ctx context.Context, c *Client, address string, line func(T) error) error {
	// An early return must end the stream at the daemon too.
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
		// A daemon that sends empty lines keeps sending them; an older daemon may be silent for long.
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
			if ctx.Err() != nil { // drop the lines read ahead
				return c.lost(ctx, ctx.Err())
			}
			if err := takeLine(ctx, c, raw, line); err != nil {
				return err
			}
		}
	}
}

// endOfLines returns the error of an ended stream: nil if it is complete.
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

// takeLine passes one line to line, or returns the error in it.
func takeLine[T any](ctx context.Context, c *Client, raw []byte, line func(T) error) error {
	if len(raw) == 0 {
		return nil
	}
	var end wire.StreamEnd
	if json.Unmarshal(raw, &end) == nil && end.Problem != nil {
		if ctx.Err() != nil { // the daemon's error is about the caller's own end
			return c.lost(ctx, ctx.Err())
		}
		return fromProblem(*end.Problem)
	}
	var value T
	if err := json.Unmarshal(raw, &value); err != nil {
		return &Error{Code: wire.CodeInternal, Sentence: "cannot parse a line from the daemon", Hint: sameVersion, Err: err}
	}
	return line(value)
}

// nextLine returns the next complete line of a stream without its newline. A truncated last line is an error.
func nextLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > maxOne {
			return nil, &tooMuch{fmt.Sprintf("%d bytes per line", maxOne)}
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
		// Count values as in other answers: a short line could expand to a large value.
		_, err = io.Copy(io.Discard, &bounded{r: bytes.NewReader(line), bytes: maxOne, values: valuesOne})
		return line, err
	}
}
