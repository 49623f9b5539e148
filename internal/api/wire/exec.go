package wire

// ExecProtocol is the WebSocket subprotocol of GET /v1/environments/{env}/exec.
//
// The client's first message is a text message: ExecStart as JSON. After it, every
// message is binary and its first byte says what follows. From the client: ExecStdin
// (bytes), ExecStdinEOF, ExecResize (ExecSize as JSON), ExecSignal (a name, "INT").
// From the server: ExecStdout, ExecStderr (bytes), ExecCredit and, last, ExecExit (an ExecResult as JSON).
//
// A client may have sent at most ExecWindow bytes of input that the server has
// not yet given back by ExecCredit (4 bytes, big endian: how many the command
// has read), so input that nobody reads never holds up a signal.
const ExecProtocol = "bothy.exec.v1"

const (
	// ExecWindow is the most input, in bytes, on its way and not yet read by the command.
	ExecWindow = 256 << 10
	// ExecMaxMessage is the most bytes in one message of either side, the first byte included.
	ExecMaxMessage = 64 << 10
)

// ExecSignals lists the names that ExecSignal may carry.
func ExecSignals() []string { return []string{"INT", "TERM", "HUP", "QUIT", "KILL", "USR1", "USR2"} }

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
	ExecCredit byte = 4
)

// ExecStart says what to run.
type ExecStart struct {
	Command []string `json:"command" doc:"Argument vector; never passed through a shell"`
	User    string   `json:"user,omitempty" doc:"One of the users of the environment, the first by default"`
	Dir     string   `json:"dir,omitempty" doc:"Working directory; default: the workspace"`
	Env     []string `json:"env,omitempty" doc:"Further variables, NAME=value"`
	TTY     bool     `json:"tty,omitempty" doc:"Run in a terminal; output and errors then are one stream"`
	// Stdin says that the client will send input; without it the command reads an empty one.
	Stdin bool     `json:"stdin,omitempty" doc:"The client will send input"`
	Size  ExecSize `json:"size,omitzero" doc:"Size of the terminal"`
}

// ExecSize is a terminal's size in character cells.
type ExecSize struct {
	Rows uint16 `json:"rows" doc:"Rows"`
	Cols uint16 `json:"cols" doc:"Columns"`
}

// ExecResult ends an exec: the command's exit code, or the problem that kept it from running.
type ExecResult struct {
	ExitCode int      `json:"exit_code" doc:"Exit code of the command; 128+n when signal n ended it"`
	Problem  *Problem `json:"problem,omitempty" doc:"What kept it from running"`
}
