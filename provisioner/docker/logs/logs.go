package logs

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
)

const (
	opLogs = "read logs"
	// maxLine is the most bytes of one line's text; a longer one becomes several.
	maxLine = 16 << 10
	// maxFrame bounds what the engine may claim a frame holds (its own parts are 16 KiB and a timestamp).
	maxFrame = 1 << 20
)

// Logs writes the sandbox's own output, oldest first; with Follow until it ends or ctx does. An
// error of write ends it and is returned as it is. Lines over 16 KiB come in parts.
func (r *Reader) Logs(ctx context.Context, id string, req provisioner.LogsRequest, write func(provisioner.LogLine) error) error {
	if err := engine.CheckID(opLogs, id); err != nil {
		return err
	}
	cctx, cancel := r.engine.Call(ctx)
	c, err := r.engine.API.ContainerInspect(cctx, id)
	cancel()
	if err != nil {
		return r.engine.Fail(ctx, opLogs, err)
	}
	opts := container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: req.Follow}
	if !req.Since.IsZero() {
		opts.Since = fmt.Sprintf("%d.%09d", req.Since.Unix(), req.Since.Nanosecond())
	}
	if req.Tail > 0 {
		opts.Tail = strconv.Itoa(req.Tail)
	}
	sctx, stop := context.WithCancel(ctx)
	defer stop()
	late := time.AfterFunc(r.engine.Timeout, stop) // for the answer's beginning only
	body, err := r.engine.API.ContainerLogs(sctx, id, opts)
	if !late.Stop() && err != nil && ctx.Err() == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return r.engine.Fail(ctx, opLogs, err)
	}
	defer engine.CloseQuietly(body)

	l := &logReader{since: req.Since, write: write}
	if req.Follow {
		l.doubles = newDoubles()
	}
	in := bufio.NewReaderSize(body, 64<<10)
	if c.Config != nil && c.Config.Tty {
		err = l.lines(in)
	} else {
		err = l.frames(in)
	}
	if l.refused != nil {
		return l.refused
	}
	return r.engine.Fail(ctx, opLogs, err)
}

// logReader takes the engine's log stream apart.
type logReader struct {
	since   time.Time
	write   func(provisioner.LogLine) error
	refused error
	// doubles is for one that follows; nil for one that does not.
	doubles *doubles
}

// frames reads a multiplexed stream: the engine puts each message, with its own timestamp, in a
// frame of its own, so a long message that it cut has timestamps in the middle of the line.
func (l *logReader) frames(in *bufio.Reader) error {
	var head [8]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err != nil {
			if err == io.EOF {
				return nil
			}
			return err
		}
		size := binary.BigEndian.Uint32(head[4:])
		if head[0] > 3 || size > maxFrame {
			return provisioner.Errorf(provisioner.Permanent, opLogs, "the engine's log stream is malformed")
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		if head[0] == 3 {
			return provisioner.Errorf(provisioner.Transient, opLogs, "the engine cannot read the log: %s", strings.TrimSpace(string(body)))
		}
		if err := l.message(string(body), head[0] == 2); err != nil {
			return err
		}
	}
}

// lines reads the stream of a sandbox that has a terminal: lines with a timestamp each.
func (l *logReader) lines(in *bufio.Reader) error {
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			if err := l.message(string(line), false); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// message hands one message on, in parts when it is long. One that was handed on already is left out.
func (l *logReader) message(text string, stderr bool) error {
	line := provisioner.LogLine{Stderr: stderr}
	whole := text
	if stamp, rest, ok := strings.Cut(text, " "); ok {
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil {
			line.At, text = at, rest
		}
	}
	if l.doubles != nil {
		double, first := l.doubles.look(whole, line.At)
		if first {
			if err := l.hand(provisioner.LogLine{At: l.doubles.newest, Text: rotated}); err != nil {
				return err
			}
		}
		if double {
			return nil
		}
	}
	text = strings.TrimSuffix(strings.TrimSuffix(text, "\n"), "\r")
	if !l.since.IsZero() && !line.At.IsZero() && line.At.Before(l.since) {
		return nil // some log drivers look at whole seconds only
	}
	for {
		part := text
		if len(part) > maxLine {
			part = part[:maxLine]
		}
		line.Text = part
		if err := l.hand(line); err != nil {
			return err
		}
		if text = text[len(part):]; text == "" {
			return nil
		}
	}
}

func (l *logReader) hand(line provisioner.LogLine) error {
	l.refused = l.write(line)
	return l.refused
}
