package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gorilla/websocket"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

const (
	// maxStart bounds that message, in bytes: a command line and its variables.
	maxStart = 1 << 20
	// lingerWait is how long the client may take to close after the last word: an exit code, or why a copy is refused.
	lingerWait = 2 * time.Second
)

var upgrader = websocket.Upgrader{
	HandshakeTimeout: 10 * time.Second,
	ReadBufferSize:   32 << 10,
	WriteBufferSize:  32 << 10,
	Subprotocols:     []string{wire.ExecProtocol},
	// The door has refused every request that carries an Origin already.
	CheckOrigin: func(*http.Request) bool { return true },
	Error: func(w http.ResponseWriter, r *http.Request, status int, reason error) {
		fail(w, r, withStatus(status, codeOfStatus(status), "use bothy exec, or a WebSocket client", reason.Error()))
	},
}

func (s *Server) execRoutes(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "exec", Method: http.MethodGet, Path: "/v1/environments/{env}/exec", Tags: []string{"inside"},
		Summary: "Run a command in an environment",
		Description: "A WebSocket of subprotocol " + wire.ExecProtocol + ". The client's first message is text: an ExecStart. After it all messages are binary, and the first byte says what follows.\n\n" +
			"From the client: 0 input, 1 end of input, 2 an ExecSize, 3 a signal's name (INT, TERM, HUP, QUIT, KILL, USR1, USR2).\n\n" +
			"From the server: 1 standard output, 2 standard error, 4 credit (4 bytes, big endian: so many more bytes of input may be sent; 262144 may be at first), 3 an ExecResult, the last message.\n\n" +
			"No message has more than 65536 bytes. Closing the connection ends the command.",
		Responses: map[string]*huma.Response{
			"101": {Description: "The WebSocket stands"},
			// Nothing is sent as such; they are here for whoever makes types of this document.
			"200": {Description: "Never sent: the messages' types", Content: map[string]*huma.MediaType{"application/json": {Schema: &huma.Schema{OneOf: []*huma.Schema{
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
	if !websocket.IsWebSocketUpgrade(r) {
		return withStatus(http.StatusUpgradeRequired, fleet.CodeInvalid, "use bothy exec, or a WebSocket client", "this route is a WebSocket")
	}
	if !offers(r, wire.ExecProtocol) {
		return withStatus(http.StatusBadRequest, fleet.CodeInvalid, "check that bothy and bothyd are of one version", "the subprotocol "+wire.ExecProtocol+" must be asked for")
	}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		requestOf(ctx).log.Debug("no WebSocket", "error", err)
		return nil // It has been answered.
	}
	defer func() { _ = conn.Close() }() // After the last message there is nothing to lose.
	defer context.AfterFunc(s.killing, func() { _ = conn.Close() })()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	x := newExecution(conn, cancel)

	start, err := x.start(s.cfg.HeaderTimeout)
	if err != nil {
		x.exit(wire.ExecResult{Problem: problemOf(ctx, err)})
		return nil
	}
	if start.TTY && start.Size != (wire.ExecSize{}) {
		x.setSize(start.Size)
	}
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		x.receive()
	}()
	code, err := s.run(ctx, env, start, x)
	x.input.discard()
	result := wire.ExecResult{ExitCode: code}
	if err != nil {
		result.Problem = execProblem(ctx, err)
	}
	x.exit(result)
	// Closing while the client's input is on its way would destroy the exit code
	// on its way to the client, so the client closes first.
	_ = conn.SetReadDeadline(realTime().Add(lingerWait))
	<-reading
	return nil
}

// execProblem finds why an exec did not come to its end.
func execProblem(ctx context.Context, err error) *wire.Problem {
	switch cause := context.Cause(ctx); {
	case cause == nil:
	case errors.Is(cause, errStopping):
		err = problem(fleet.CodeUnavailable, "try again when it is back", "%s", errStopping)
	case !errors.Is(cause, context.Canceled):
		err = cause
	}
	return problemOf(ctx, err)
}

// run calls the engine. The connection is out of the HTTP server's hands, so a panic must not get out.
func (s *Server) run(ctx context.Context, env string, start wire.ExecStart, x *execution) (code int, err error) {
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
	return s.engine.Exec(ctx, caller(ctx), env, provisioner.ExecRequest{
		Command: start.Command, User: start.User, Dir: start.Dir, Env: start.Env, TTY: start.TTY,
	}, streams)
}

func offers(r *http.Request, protocol string) bool {
	for _, p := range websocket.Subprotocols(r) {
		if p == protocol {
			return true
		}
	}
	return false
}

// start reads what to run; the client must say it within wait.
func (x *execution) start(wait time.Duration) (wire.ExecStart, error) {
	var start wire.ExecStart
	x.conn.SetReadLimit(maxStart)
	if err := x.conn.SetReadDeadline(realTime().Add(wait)); err != nil {
		return start, err
	}
	kind, msg, err := x.conn.ReadMessage()
	if err != nil {
		return start, problem(fleet.CodeInvalid, "say it in the first message, an ExecStart: see /openapi.json", "no word came of what to run")
	}
	if kind != websocket.TextMessage {
		return start, problem(fleet.CodeInvalid, "check that bothy and bothyd are of one version", "the first message must be text: what to run, as JSON")
	}
	if err := json.Unmarshal(msg, &start); err != nil {
		return start, problem(fleet.CodeInvalid, "check that bothy and bothyd are of one version", "the first message is not an ExecStart: %s", err)
	}
	x.conn.SetReadLimit(wire.ExecMaxMessage)
	return start, x.conn.SetReadDeadline(time.Time{})
}
