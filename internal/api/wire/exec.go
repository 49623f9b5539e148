package wire

import "time"

// ExecProtocol is the WebSocket subprotocol of GET /v1/environments/{env}/exec.
//
// The client's first message is a text message: ExecStart as JSON. After it, every
// message is binary and its first byte says what follows. From the client: ExecStdin
// (bytes), ExecStdinEOF, ExecResize (ExecSize as JSON), ExecSignal (a name, "INT"), ExecStop (end the command and all that
// it started, and say what became of it), ExecSuspend, ExecResume, and ExecAlive
// (nothing more than that the client lives).
// From the server: ExecStdout, ExecStderr (bytes), ExecCredit and, last, ExecExit (an ExecResult as JSON).
//
// A client may have sent at most ExecWindow bytes of input that the server has
// not yet given back by ExecCredit (4 bytes, big endian: how many the command
// has read), so input that nobody reads never holds up a signal.
//
// The server pings, and whoever reads answers. A client whose output nobody takes for a while reads nothing, so it sends ExecAlive. A
// side of which nothing is heard for 45 seconds is gone, and with the client the command. One that is about to be stopped
// (Ctrl-Z) says so with ExecSuspend and may then be silent for ExecSuspendFor, until its ExecResume.
const ExecProtocol = "bothy.exec.v2"

const (
	// ExecWindow is the most input, in bytes, on its way and not yet read by the command.
	ExecWindow = 256 << 10
	// ExecMaxMessage is the most bytes in one message of either side, the first byte included.
	ExecMaxMessage = 64 << 10
	// ExecMaxStart is the most bytes of an ExecStart: a command line and its variables. A kernel takes about 2 MiB.
	ExecMaxStart = 4 << 20
	// ExecMaxArgument is the most bytes of one argument, or of one variable with its name: a kernel takes no more.
	ExecMaxArgument = 128<<10 - 1
)

// ExecSignals lists the names that ExecSignal may carry.
func ExecSignals() []string { return []string{"INT", "TERM", "HUP", "QUIT", "KILL", "USR1", "USR2"} }

// First bytes of the client's messages.
const (
	ExecStdin    byte = 0
	ExecStdinEOF byte = 1
	ExecResize   byte = 2
	ExecSignal   byte = 3
	ExecStop     byte = 4
	ExecSuspend  byte = 5
	ExecResume   byte = 6
	ExecAlive    byte = 7
)

// ExecSuspendFor is how long the command of a client that said ExecSuspend is kept without it.
const ExecSuspendFor = time.Hour

// First bytes of the server's messages.
const (
	ExecStdout byte = 1
	ExecStderr byte = 2
	ExecExit   byte = 3
	ExecCredit byte = 4
)

// ExecStart says what to run.
type ExecStart struct {
	Command []string `json:"command" maxItems:"8192" doc:"Argument vector; never passed through a shell"`
	User    string   `json:"user,omitempty" maxLength:"64" doc:"One of the users of the environment, the first by default"`
	Dir     string   `json:"dir,omitempty" maxLength:"4096" doc:"Working directory; default: the workspace"`
	Env     []string `json:"env,omitempty" maxItems:"1024" doc:"Further variables, NAME=value"`
	TTY     bool     `json:"tty,omitempty" doc:"Run in a terminal; output and errors then are one stream"`
	// Stdin says that the client will send input; without it the command reads an empty one.
	Stdin bool `json:"stdin,omitempty" doc:"The client will send input"`
	// Detach has the command run on; its output is an ExecDetached.
	Detach bool     `json:"detach,omitempty" doc:"Begin the command and return: its output goes to a file in the sandbox, and an ExecDetached comes as output"`
	Size   ExecSize `json:"size,omitzero" doc:"Size of the terminal"`
}

// ExecDetached is the output of an exec with Detach.
type ExecDetached struct {
	Process int    `json:"process" doc:"Process group inside"`
	Output  string `json:"output" maxLength:"4096" doc:"File inside that holds the output and, in its last line, the exit code"`
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
	// Ended is set when it did not end by itself, or processes were killed while it ran.
	Ended *ExecEnded `json:"ended,omitempty" doc:"Why it ended, when it did not end by itself"`
	// MayRun is whether something of a command that was to be ended may still run.
	MayRun bool `json:"may_run,omitempty" doc:"The command was to be ended, and may still run"`
}

// Causes of an ExecEnded.
const (
	EndedOutOfMemory = "out_of_memory"
	EndedProcesses   = "process_limit"
	EndedExpired     = "lease_ended"
	EndedReleased    = "released"
	EndedStopped     = "stopped"
	EndedKilled      = "killed"
)

// ExecEnded says why a command ended that did not end by itself.
type ExecEnded struct {
	Cause     string `json:"cause" enum:"out_of_memory,process_limit,lease_ended,released,stopped,killed" doc:"out_of_memory: the kernel ended processes while it ran; process_limit: the sandbox was refused another process while it ran; lease_ended; released: somebody deleted the environment; stopped: the sandbox stopped or was removed; killed: something inside sent it KILL"`
	By        string `json:"by,omitempty" maxLength:"256" doc:"Who deleted the environment"`
	Processes int64  `json:"processes,omitempty" minimum:"0" doc:"Processes that the kernel ended for want of memory"`
	Size      string `json:"size,omitempty" maxLength:"64" doc:"The environment's size"`
	MemoryMiB int64  `json:"memory_mib,omitempty" minimum:"0" doc:"Memory of that size, MiB"`
	Pids      int64  `json:"pids,omitempty" minimum:"0" doc:"Most processes of that size"`
	Larger    string `json:"larger,omitempty" maxLength:"64" doc:"The next size with more memory, if there is one"`
}
