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
// not yet granted by ExecCredit (4 bytes, big endian: how many the command
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
	Command []string `json:"command" maxItems:"8192" doc:"Argument vector, run without a shell"`
	User    string   `json:"user,omitempty" maxLength:"64" doc:"One of the users of the environment; default: the first"`
	Dir     string   `json:"dir,omitempty" maxLength:"4096" doc:"Working directory; default: the workspace"`
	Env     []string `json:"env,omitempty" maxItems:"1024" doc:"Additional variables, NAME=value"`
	TTY     bool     `json:"tty,omitempty" doc:"Run in a terminal, which merges stdout and stderr"`
	// Stdin says that the client will send input; without it the command reads an empty one.
	Stdin bool `json:"stdin,omitempty" doc:"The client sends stdin"`
	// Detach has the command run on; its output is an ExecDetached.
	Detach bool     `json:"detach,omitempty" doc:"Start the command in the background: its output goes to a file in the sandbox, and stdout is an ExecDetached"`
	Size   ExecSize `json:"size,omitzero" doc:"Size of the terminal"`
}

// ExecDetached is the output of an exec with Detach.
type ExecDetached struct {
	Process int    `json:"process" doc:"Process group in the sandbox"`
	Output  string `json:"output" maxLength:"4096" doc:"File in the sandbox with the output and, in the last line, the exit code"`
}

// ExecSize is a terminal's size in character cells.
type ExecSize struct {
	Rows uint16 `json:"rows" doc:"Rows"`
	Cols uint16 `json:"cols" doc:"Columns"`
}

// ExecResult ends an exec: the command's exit code, or the problem that kept it from running.
type ExecResult struct {
	ExitCode int      `json:"exit_code" doc:"Exit code of the command; 128+n if signal n ended it"`
	Problem  *Problem `json:"problem,omitempty" doc:"Why the command could not run"`
	// Ended is set when it did not end by itself, or processes were killed while it ran.
	Ended *ExecEnded `json:"ended,omitempty" doc:"Why bothy or the kernel ended the command"`
	// MayRun is whether something of a command that was to be ended may still run.
	MayRun bool `json:"may_run,omitempty" doc:"The command should have ended, and may still run"`
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
	Cause     string `json:"cause" enum:"out_of_memory,process_limit,lease_ended,released,stopped,killed" doc:"out_of_memory: the kernel killed processes; process_limit: the sandbox reached its process limit; lease_ended: the lease expired; released: a user deleted the environment; stopped: the sandbox stopped or was removed; killed: a process in the sandbox sent KILL"`
	By        string `json:"by,omitempty" maxLength:"256" doc:"Who deleted the environment"`
	Processes int64  `json:"processes,omitempty" minimum:"0" doc:"Number of processes that the kernel killed for lack of memory"`
	Size      string `json:"size,omitempty" maxLength:"64" doc:"Size of the environment"`
	MemoryMiB int64  `json:"memory_mib,omitempty" minimum:"0" doc:"Memory of that size, MiB"`
	Pids      int64  `json:"pids,omitempty" minimum:"0" doc:"Maximum number of processes of that size"`
	Larger    string `json:"larger,omitempty" maxLength:"64" doc:"The next size with more memory, if any"`
}
