package wire

// ExecProtocol is the WebSocket subprotocol of GET /v1/environments/{env}/exec.
//
// The client's first message is a text message: ExecStart as JSON. After it, every
// message is binary and its first byte says what follows. From the client: ExecStdin
// (bytes), ExecStdinEOF, ExecResize (ExecSize as JSON), ExecSignal (a name, "INT").
// From the server: ExecStdout, ExecStderr (bytes) and, last, ExecExit (an ExecResult as JSON).
const ExecProtocol = "bothy.exec.v1"

// First bytes of the client's messages.
const (
	ExecStdin    byte = 0
	ExecStdinEOF byte = 1
	ExecResize   byte = 2
	ExecSignal   byte = 3
)

// First bytes of the server's messages.
const (
	ExecStdout byte = 1
	ExecStderr byte = 2
	ExecExit   byte = 3
)

// ExecStart says what to run.
type ExecStart struct {
	Command []string `json:"command"`
	User    string   `json:"user,omitempty"`
	Dir     string   `json:"dir,omitempty"`
	Env     []string `json:"env,omitempty"`
	TTY     bool     `json:"tty,omitempty"`
	// Stdin says that the client will send input; without it the command reads an empty one.
	Stdin bool     `json:"stdin,omitempty"`
	Size  ExecSize `json:"size,omitzero"`
}

// ExecSize is a terminal's size in character cells.
type ExecSize struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// ExecResult ends an exec: the command's exit code, or the problem that kept it from running.
type ExecResult struct {
	ExitCode int      `json:"exit_code"`
	Problem  *Problem `json:"problem,omitempty"`
}
