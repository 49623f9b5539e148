// Package provisioner holds the contracts between bothy's engine and whatever
// makes and runs environments: Driver provisions infrastructure (Terraform),
// Runtime acts inside it and Inventory finds and removes it, whatever the provider: a Docker engine, the namespace of a
// cluster, a cloud's account. What one of them cannot do it does not declare; see Capabilities. It imports the standard
// library only, and knows nothing of leases, money, users or stores.
//
// Every implementation passes the conformance suite in provisionertest.
package provisioner

import (
	"context"
	"io"
	"time"
)

// Blueprint is a golden path as a Driver sees it: a folder of Terraform files
// that never changes under the same Digest.
type Blueprint struct {
	// Name and Version identify the blueprint for people.
	Name, Version string
	// Digest identifies its content: "sha256:" and 64 hex digits.
	Digest string
	// Dir is the absolute path of a read-only folder with its *.tf files.
	Dir string
	// Trusted says that the platform lets this digest go beyond the bounds of a sandbox.
	Trusted bool
}

// Spec is everything a Driver needs to make one environment. It is built from
// typed, checked fields; nothing a user wrote reaches a command line or a .tf file.
type Spec struct {
	Blueprint Blueprint
	// Owner names the environment at the provider; see Owner.
	Owner Owner
	// Labels are Owner's labels with their MAC, made by Key.Labels.
	Labels map[string]string
	// Sandbox is what bothy itself decides about the sandbox.
	Sandbox Sandbox
	// Inputs are the blueprint's own inputs, by name: string, int64, float64 or bool.
	Inputs map[string]any
}

// Sandbox is what bothy decides about a sandbox; it reaches Terraform as the
// module's input variable "bothy".
type Sandbox struct {
	// Size is the blueprint's name for what follows.
	Size string
	// CPUs is the limit in cores.
	CPUs float64
	// MemoryMiB is the limit, swap included, in MiB.
	MemoryMiB int64
	// Pids is the most processes at once.
	Pids int64
	// Image is the engine's own id of the image ("sha256:..."), resolved before.
	Image string
	// Network is how the sandbox joins its network: what NetworkKeeper.Reserve gave.
	Network Attachment
	// Engine is where the driver's provider reaches the engine: the socket of this environment's broker,
	// "unix:///path". "" is the driver's own setting.
	Engine string
	// SecurityOpts and Ulimits are what the runtime wants every sandbox to be made with; see Broker.Harden.
	SecurityOpts []string
	Ulimits      []Ulimit
	// Root is whether root may be used inside, so that the blueprint may grant
	// the capabilities that installing packages needs.
	Root bool
	// User is whom SecretsDir is to belong to, by name in the image, where the runtime sees to that; "" for whom the blueprint says.
	User string
}

// Handle is what a Driver made. It is stored with the environment.
type Handle struct {
	// Sandbox is the resource that commands run in: its ID is what the Runtime's calls take.
	Sandbox Ref `json:"sandbox"`
	// Resources is everything that was created, Sandbox included, as far as the driver's record names it.
	Resources []Ref `json:"resources"`
	// State is the driver's own record of what it made (a Terraform state). It
	// may hold secrets: whoever stores it encrypts it.
	State []byte `json:"-"`
	// Serial numbers the states of one environment; it never goes back.
	Serial int64 `json:"serial"`
}

// Event is one line of progress from a Driver.
type Event struct {
	// At is when it happened.
	At time.Time
	// Phase is a short word: "init", "plan", "create", "destroy", "sweep".
	Phase string
	// Message is one sentence or one log line for people.
	Message string
	// Error says that Message is a diagnostic of severity error.
	Error bool
	// ResourceCreated says that a resource exists from now on (cost begins with the first).
	ResourceCreated bool
	// ResourceGone says that a resource was removed.
	ResourceGone bool
}

// Observer receives events, in order, from one goroutine at a time. It must not block for long.
type Observer func(Event)

// Driver provisions infrastructure.
//
// Implementations return errors of this package's classes (see Error) and
// honour ctx: on cancel they stop what they started, wait for it, and return
// an error of class Cancelled.
type Driver interface {
	// Ready reports whether the driver can work now; the error says what is missing and what to do.
	Ready(ctx context.Context) error
	// Prepare gets a blueprint ready to be created from, once per digest, and
	// checks it (Terraform: init and validate). Idempotent; safe to call at once from many goroutines.
	// A blueprint that is wrong gives class Permanent.
	Prepare(ctx context.Context, bp Blueprint) error
	// Create makes everything of an environment, each resource named from
	// spec.Owner and labelled with its Labels in its create call. On failure
	// the handle holds what is known (State may be set), and resources may be left: the
	// caller destroys and sweeps. Create never repairs or adopts leftovers: one it meets gives class Conflict.
	Create(ctx context.Context, spec Spec, observe Observer) (Handle, error)
	// Destroy removes what state and the driver's own working files know of
	// the environment, and then the working files. state may be nil or stale. Destroying what is gone is success. It fetches
	// nothing: see ErrUnprepared.
	Destroy(ctx context.Context, spec Spec, state []byte, observe Observer) error
}

// Status is what a Runtime sees of a sandbox.
type Status struct {
	// Running is whether commands can be run inside.
	Running bool
	// Paused is whether it is frozen.
	Paused bool
	// ExitCode and Error are set when it has stopped by itself.
	ExitCode int
	Error    string
	// OutOfMemory says that it was killed because it reached its memory limit.
	OutOfMemory bool
	// StartedAt is when it last started, EndedAt when it ended; zero while it runs, and when the runtime does not know.
	StartedAt, EndedAt time.Time
}

// Ended reports whether the sandbox has stopped. A frozen one has not.
func (s Status) Ended() bool { return !s.Running && !s.Paused }

// CopyNoteKind is what became of a file that was copied out.
type CopyNoteKind string

// Kinds of notes.
const (
	// CopyChanged was written to while it was read.
	CopyChanged CopyNoteKind = "changed"
	// CopyShrank was cut while it was read, and filled up with zeros.
	CopyShrank CopyNoteKind = "shrank"
	// CopyGone was removed before it was read.
	CopyGone CopyNoteKind = "gone"
	// CopySocket is a socket, which has no place in an archive.
	CopySocket CopyNoteKind = "socket"
)

// CopyNote is one file that was copied out, or left out, otherwise than it was in the sandbox. Its path is the sandbox's text.
type CopyNote struct {
	Path string
	Kind CopyNoteKind
}

// CopyNotes are the first of a copy's notes, and how many there are.
type CopyNotes struct {
	First []CopyNote
	Count int
}

// NotedCopy is what a reader of Runtime.CopyFrom may be: after io.EOF its notes are all there.
type NotedCopy interface {
	Notes() CopyNotes
}

// Limited is a tar stream that says how many bytes its files may have in all, holes included: a few bytes can stand for a hole of
// any size.
type Limited interface{ Limit() int64 }

// Runtime acts inside sandboxes and finds what exists. id is that of Handle.Sandbox.
type Runtime interface {
	Inventory
	// Capabilities declares what it can do beside the following. It makes no calls, and the answer never changes.
	Capabilities() Capabilities
	// Ready reports whether the runtime answers now.
	Ready(ctx context.Context) error
	// ResolveImage returns the immutable id of an image reference; NotFound when it is not there.
	ResolveImage(ctx context.Context, ref string) (string, error)
	// Inspect reports on a sandbox; NotFound when it is gone.
	Inspect(ctx context.Context, id string) (Status, error)
	// Exec runs a command and returns its exit code (128+n when signal n ended it). Cancelling ctx ends
	// the command inside too. The error is about bothy's side, never the command's failure.
	Exec(ctx context.Context, id string, req ExecRequest, streams Streams) (int, error)
	// CopyTo unpacks a tar stream into folder dir (which exists), owned by user.
	// Entries that would land outside dir, or behind a link of the stream, and devices are refused with class Permanent;
	// what user may not write gives Denied. Links may lead anywhere: they are made and never followed. Times are kept to
	// the nanosecond, set-id bits of files are dropped, and setgid and sticky bits of folders kept.
	// A file with holes in PAX format 0.1 keeps them where the sandbox's tar can. tar may be Limited.
	CopyTo(ctx context.Context, id, dir, user string, tar io.Reader) error
	// CopyFrom returns path (a file or a folder, or a link to one, which is followed) as a tar stream whose first entry is its
	// base name, read with the rights of user. The reader may be a NotedCopy. NotFound when it is not there; Denied, from the call or from the
	// last Read, when user may not read all of it.
	CopyFrom(ctx context.Context, id, path, user string) (io.ReadCloser, error)
	// Logs writes the sandbox's own output; with Follow until it ends or ctx does.
	Logs(ctx context.Context, id string, req LogsRequest, write func(LogLine) error) error
}

// ExecRequest is one command to run inside.
type ExecRequest struct {
	// Command is the argument vector; never passed through a shell.
	Command []string
	// User inside the sandbox, "" for the image's own.
	User string
	// Dir is the working directory, "" for the image's own.
	Dir string
	// Env holds further variables, NAME=value.
	Env []string
	// TTY asks for a terminal: stdout and stderr then are one stream (stdout).
	TTY bool
	// Detach has the command run on by itself, with empty input and its output in a file of the sandbox: Exec returns once it
	// has begun, and its output is a Detached's line.
	Detach bool
	// Size is the terminal's size from the command's first moment on; zero for the provider's own.
	Size Size
}

// Detached is a command that runs on by itself.
type Detached struct {
	// Process is the id, inside, of the process group that it and what it starts belong to.
	Process int `json:"process"`
	// Output is the file inside that holds its output and, when it has ended, a last line with its exit code.
	Output string `json:"output"`
}

// DetachedOutput is what the name of such a file begins with.
const DetachedOutput = "/tmp/bothy-exec-"

// Streams connects a command to its caller. Nil members are not connected.
type Streams struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Resize delivers terminal sizes while a TTY runs.
	Resize <-chan Size
	// Signals delivers signal names ("INT", "TERM", "HUP", ...) for the command's process group.
	Signals <-chan string
}

// Size is a terminal's size in character cells.
type Size struct{ Rows, Cols uint16 }

// LogsRequest says which lines are wanted.
type LogsRequest struct {
	// Since leaves out what is older; zero for all.
	Since time.Time
	// Follow goes on until the sandbox ends.
	Follow bool
	// Tail is the most lines from the end to begin with; 0 for all.
	Tail int
}

// LogLine is one line of a sandbox's own output.
type LogLine struct {
	At     time.Time
	Stderr bool
	Text   string
}
