package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/duplex"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

const (
	// lingerWait is how long the client may take to close after the last word: an exit code, or why a copy is refused.
	lingerWait = 2 * time.Second
)

func (s *Server) execRoutes(api huma.API) {
	register(s, api, toUse, huma.Operation{
		OperationID: "exec", Method: http.MethodGet, Path: "/v1/environments/{env}/exec", Tags: []string{"inside"},
		Summary: "Run a command in an environment",
		Description: "A WebSocket of subprotocol " + wire.ExecProtocol + ". The client's first message is text: an ExecStart. After it all messages are binary, and the first byte says what follows.\n\n" +
			"From the client: 0 stdin, 1 end of stdin, 2 an ExecSize, 3 a signal name (INT, TERM, HUP, QUIT, KILL, USR1, USR2), 4 end the command and its descendants, 5 the client is about to be suspended and may be silent for an hour, 6 the client continues, 7 a heartbeat of a client that cannot read, and so cannot answer pings, for long.\n\n" +
			"From the server: 1 stdout, 2 stderr, 4 credit (4 bytes, big endian: number of further stdin bytes that the client may send; 262144 at the start), 3 an ExecResult, the last message.\n\n" +
			"An ExecStart has at most 4194304 bytes, any other message at most 65536. Both sides ping. A side that receives nothing for 45 seconds closes the connection, which ends the command.",
		Responses: map[string]*huma.Response{
			"101": {Description: "The WebSocket is open"},
			// Nothing is sent as such; they are here for whoever makes types of this document.
			"200": {Description: "Never sent: the types of the messages", Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{
				schemaOf[wire.ExecStart](api), schemaOf[wire.ExecSize](api), schemaOf[wire.ExecResult](api),
			}}}}},
		},
		Errors: errorStatuses(http.StatusBadRequest, http.StatusTooManyRequests),
	}, func(_ context.Context, in *EnvPath) (*huma.StreamResponse, error) {
		return s.stream(func(ctx context.Context, w http.ResponseWriter, r *http.Request) error {
			return s.exec(ctx, w, r, in.Env)
		}), nil
	})
}

func (s *Server) exec(ctx context.Context, w http.ResponseWriter, r *http.Request, env string) error {
	if !duplex.IsUpgrade(r) {
		return withStatus(http.StatusUpgradeRequired, fleet.CodeInvalid, "use bothy exec, or a WebSocket client", "this route is a WebSocket")
	}
	if !duplex.Offers(r, wire.ExecProtocol) {
		return withStatus(http.StatusBadRequest, fleet.CodeInvalid, "check that bothy and bothyd have the same version", "the subprotocol "+wire.ExecProtocol+" is required")
	}
	// The door has refused every request that carries an Origin already.
	conn, err := duplex.Accept(w, r, wire.ExecProtocol, s.cfg.Heartbeat)
	if refusal, ok := errors.AsType[*duplex.Refusal](err); ok {
		return withStatus(refusal.Status, codeOfStatus(refusal.Status), "use bothy exec, or a WebSocket client", refusal.Reason)
	}
	if err != nil {
		requestOf(ctx).log.Debug("no WebSocket", "error", err)
		return nil // It has been answered.
	}
	defer func() { _ = conn.Close() }() // After the last message there is nothing to lose.
	defer context.AfterFunc(s.killing, func() { _ = conn.Close() })()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := newExecution(conn, cancel, s.cfg.SuspendFor)
	over := make(chan struct{})
	defer close(over)
	defer context.AfterFunc(ctx, func() {
		if revoked(ctx) == nil {
			return
		}
		select {
		case <-over:
		case <-time.After(2 * lingerWait):
			_ = conn.Close() // Its client does not read the last word.
		}
	})()

	start, err := x.start(s.api, s.cfg.HeaderTimeout)
	if err != nil {
		defer time.AfterFunc(lingerWait, func() { _ = conn.Close() }).Stop()
		_ = conn.Flush() // What the WebSocket says by itself of a message that is too big comes first.
		x.exit(wire.ExecResult{Problem: problemOf(ctx, err)})
		_ = conn.Flush() // One who takes no answer gets none.
		return nil
	}
	if start.TTY && start.Size != (wire.ExecSize{}) {
		x.setSize(start.Size)
	}
	go conn.Beat(over, nil)
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		x.receive()
	}()
	end, err := s.run(ctx, env, start, x)
	x.input.discard()
	x.exit(execResult(ctx, end, err))
	// Closing while the client's input is on its way would destroy the exit code
	// on its way to the client, so the client closes first.
	_ = conn.Flush() // It fails where the reading does.
	_ = conn.Within(lingerWait)
	<-reading
	return nil
}

// execProblem finds why an exec did not come to its end.
func execProblem(ctx context.Context, err error) *wire.Problem {
	switch cause := context.Cause(ctx); {
	case cause == nil:
	case errors.Is(cause, errStopping):
		err = problem(fleet.CodeUnavailable, "retry when bothyd runs again", "%s", errStopping)
	case !errors.Is(cause, context.Canceled):
		err = cause
	}
	return problemOf(ctx, err)
}

// run calls the use case. The connection is out of the HTTP server's hands, so a panic must not get out.
func (s *Server) run(ctx context.Context, env string, start wire.ExecStart, x *execution) (end fleet.ExecEnd, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic in exec: %v\n%s", fault, debug.Stack())
		}
	}()
	streams := provisioner.Streams{
		Stdout: &output{x, wire.ExecStdout}, Stderr: &output{x, wire.ExecStderr},
		Resize: x.resize, Signals: x.signals,
	}
	if start.Stdin {
		streams.Stdin = x.input
	}
	return s.services.Sandboxes.Exec(ctx, caller(ctx), env, provisioner.ExecRequest{
		Command: start.Command, User: start.User, Dir: start.Dir, Env: start.Env, TTY: start.TTY, Detach: start.Detach,
		Size: provisioner.Size{Rows: start.Size.Rows, Cols: start.Size.Cols},
	}, streams)
}

// start reads what to run; the client must say it within wait.
func (x *execution) start(api huma.API, wait time.Duration) (start wire.ExecStart, err error) {
	x.conn.SetReadLimit(wire.ExecMaxStart)
	if err := x.conn.Within(wait); err != nil {
		return start, err
	}
	kind, msg, err := x.conn.Read()
	if err != nil {
		return start, problem(fleet.CodeInvalid, "send an ExecStart as the first message, see /openapi.json", "no ExecStart received")
	}
	if kind != duplex.Text {
		return start, problem(fleet.CodeInvalid, "check that bothy and bothyd have the same version", "the first message must be text: an ExecStart in JSON")
	}
	if start, err = decode[wire.ExecStart](api, msg); err != nil {
		return start, problem(fleet.CodeInvalid, "check that bothy and bothyd have the same version", "the first message is not an ExecStart: %s", err)
	}
	x.conn.SetReadLimit(wire.ExecMaxMessage)
	return start, x.conn.Within(0)
}
