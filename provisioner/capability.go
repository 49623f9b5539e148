package provisioner

import (
	"context"
	"io"
	"strings"
	"time"
	"unicode"
)

// NetworkKeeper is the capability of a Runtime that keeps isolated networks
// ready, so that isolation costs nothing at create time.
type NetworkKeeper interface {
	// Reserve hands out a network that no other environment is on and returns how a sandbox joins it. It is written down by
	// the caller before it is used; one that was reserved and is not in live (see Reconcile) is recreated, never reused.
	// What an earlier version of the keeper handed out is good for ever.
	Reserve(ctx context.Context, owner Owner) (Attachment, error)
	// Release returns a network back after its environment is gone. Idempotent.
	Release(ctx context.Context, at Attachment) error
	// Reconcile is called at start and now and then with what live environments hold: it removes
	// what no one holds, re-asserts the isolation rules, and makes spare ones. A network that this keeper
	// handed out moments ago is spared, as its caller may be about to write it down.
	Reconcile(ctx context.Context, live []Attachment) error
	// Close removes spare networks (not those in use). Rules stay while networks in use do.
	Close(ctx context.Context) error
}

// Limiter is the capability of a Runtime that sets limits which the driver's
// provider cannot; the engine calls it before an environment is handed over.
type Limiter interface {
	// LimitPids bounds how many processes a sandbox may hold at once.
	LimitPids(ctx context.Context, id string, pids int64) error
}

// Settler is the capability of a Driver that keeps a state in its own files until it is recorded elsewhere.
type Settler interface {
	// Settled says that the handle which Create returned for spec is recorded, its state sealed. The driver
	// removes what it holds of it in clear; Destroy is given the recorded state. Idempotent.
	Settled(ctx context.Context, spec Spec) error
}

// Keeper is the capability of a Driver that keeps files of its own on environments while it works on them, and of a Runtime whose
// sandboxes use files of its own while they exist. Work that was cut off, and was gone on with elsewhere, leaves them behind.
type Keeper interface {
	// Kept lists the environments that there are files on.
	Kept(ctx context.Context) ([]string, error)
	// Discard removes the files on an environment, unless a call for it is running.
	Discard(ctx context.Context, environment string) error
}

// Tidier is the capability of whoever keeps files of its own on blueprints, as a Driver may so that environments are made quickly.
type Tidier interface {
	// Tidy removes the files on blueprints that are not known by their digest, those that were replaced, and what calls that were
	// cut off left, but nothing that a running call may use.
	Tidy(ctx context.Context, known func(digest string) bool) error
}

// SecretsDir is the folder inside every sandbox where secrets are delivered: a tmpfs.
const SecretsDir = "/run/bothy"

// File is one file to deliver.
type File struct {
	// Name is a plain file name, without a folder; see CheckFiles.
	Name string
	// Mode are its permission bits.
	Mode uint32
	Data []byte
}

const (
	// MaxDelivery is the most bytes that all files of one Deliver may hold together: secrets, and certificates beside them.
	MaxDelivery = 512 << 10
	// MaxDeliveryFiles is the most files of one Deliver.
	MaxDeliveryFiles = 64
	// maxFileName is what file systems hold, in bytes.
	maxFileName = 255
)

// CheckFiles refuses what cannot be delivered, with class Permanent: a name with a folder or a control
// character in it, longer than 255 bytes, or there twice; a mode of more than permission bits; more than MaxDelivery
// or MaxDeliveryFiles. The sentence never holds a file's data.
func CheckFiles(files []File) error {
	refuse := func(format string, args ...any) error { return Errorf(Permanent, "deliver files", format, args...) }
	if len(files) > MaxDeliveryFiles {
		return refuse("%d files are too many: at most %d", len(files), MaxDeliveryFiles)
	}
	seen, size := make(map[string]bool, len(files)), 0
	for _, f := range files {
		switch {
		case f.Name == "" || f.Name == "." || f.Name == ".." || strings.ContainsFunc(f.Name, notInNames):
			return refuse("%q is no plain file name", f.Name)
		case f.Name == ClaimFile:
			return refuse("the file name %q is taken", f.Name)
		case len(f.Name) > maxFileName:
			return refuse("the file name %.40q... has %d bytes, at most %d are allowed", f.Name, len(f.Name), maxFileName)
		case seen[f.Name]:
			return refuse("the file %q is there twice", f.Name)
		case f.Mode&^0o777 != 0:
			return refuse("the mode %#o of file %q is more than permission bits", f.Mode, f.Name)
		}
		seen[f.Name] = true
		size += len(f.Data)
	}
	if size > MaxDelivery {
		return refuse("the files hold %d bytes together, at most %d are allowed", size, MaxDelivery)
	}
	return nil
}

// ClaimFile is what a Claim leaves in SecretsDir. CheckFiles refuses its name.
const ClaimFile = ".bothy-claim"

// CheckClaim refuses, with class Permanent, what cannot name a use: nothing, more than a line, or more than 255 bytes.
func CheckClaim(claim string) error {
	if claim == "" || len(claim) > maxFileName || strings.ContainsFunc(claim, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' }) {
		return Errorf(Permanent, "claim sandbox", "%q does not name a use", claim)
	}
	return nil
}

// notInNames are a path's separator and whatever a line of text cannot hold.
func notInNames(r rune) bool { return r == '/' || unicode.IsControl(r) }

// Stage is a way into one sandbox that was opened ahead of its use: a process inside that waits
// for what it is to deliver. That it answers is proof that the sandbox works.
type Stage interface {
	// Deliver writes files into SecretsDir, owned by the user it was staged for, and returns when all are there. It
	// writes nothing before it has everything, and removes what it cannot finish; whether files come after a
	// failure of class Cancelled or Transient is open. With no files it only proves that the process inside still
	// answers. While the sandbox is paused it waits. It is for one use: the way is closed after it, also on failure.
	//
	// Class NotFound: the sandbox or the waiting process is gone, or the way was used or closed before. Permanent:
	// what CheckFiles refuses. Quota: there is no room. Denied: the user may not write there.
	Deliver(ctx context.Context, files []File) error
	// Claim is Deliver for the first use of a sandbox: it proves that SecretsDir is empty and leaves claim there, one line of
	// text that names the use, before it writes the files. A second Claim with the same text succeeds, as the answer to the
	// first may have been lost. Class Conflict with ErrUsed, and nothing is written: the sandbox was used before, by whatever else.
	Claim(ctx context.Context, claim string, files []File) error
	// Used reports whether SecretsDir held anything when the way was opened, so that the sandbox was used before.
	Used() bool
	// Close returns the way up unused.
	io.Closer
}

// Stager is the capability of a Runtime to open a Stage, so that a claim costs a few milliseconds.
type Stager interface {
	// Stage opens a way into a sandbox. It outlives ctx, which bounds the opening only. It stays usable across Pause
	// and Unpause. NotFound when the sandbox is gone, Conflict when it is paused or has stopped, Permanent when its image
	// lacks what this needs or it has no such user or no SecretsDir, Denied when SecretsDir is not the user's.
	Stage(ctx context.Context, id, user string) (Stage, error)
}

// Marker is the capability of a Runtime to keep marks at the provider: evidence of how far its caller's records are that does
// not go back with them, when they are restored to an earlier time.
type Marker interface {
	// Mark keeps owner's labels, which have a Mark and no environment, at the provider under a name, until Unmark: Inventory lists
	// them from then on. An existing mark of that name stays as it is.
	Mark(ctx context.Context, name string, labels map[string]string) error
	// Unmark takes a mark away. Idempotent.
	Unmark(ctx context.Context, name string) error
}

// Pauser is the capability of a Runtime to freeze a sandbox, so that it costs no CPU.
type Pauser interface {
	// Pause freezes; pausing what is paused is success. NotFound when it is gone, Conflict when it has stopped.
	Pause(ctx context.Context, id string) error
	// Unpause thaws; unpausing what runs is success. Errors as for Pause.
	Unpause(ctx context.Context, id string) error
}

// Pressured is the capability of a Runtime to tell how busy the machine is that its sandboxes are on.
type Pressured interface {
	// Pressure is the part of the last seconds, in percent, in which something that could run waited for a processor, and how many
	// processors there are. It is read without waiting for anything; false when it is unknown.
	Pressure() (percent float64, processors int, ok bool)
}

// Meter is the capability of a Runtime to tell whether a sandbox is used from outside.
type Meter interface {
	// Traffic is how many bytes it has received and sent over its network since it started; 0 without a
	// network. NotFound when it is gone, Conflict when it has stopped.
	Traffic(ctx context.Context, id string) (int64, error)
}

// Gauge is the capability of a Runtime to tell what goes on in a sandbox without entering it. NotFound when it is gone,
// Conflict when it has stopped.
type Gauge interface {
	// CPUTime is the processor time that all its processes have had since it started.
	CPUTime(ctx context.Context, id string) (time.Duration, error)
	// OOMKills is how many of its processes the kernel has ended for lack of memory; -1 where that is not known. It is quick:
	// it is asked before each command.
	OOMKills(ctx context.Context, id string) (int64, error)
	// ForksRefused is how often it had as many processes as it may and was refused another; -1 where that is not known. It is as quick.
	ForksRefused(ctx context.Context, id string) (int64, error)
}

// Usage is what a sandbox uses at a moment. What is not known is negative.
type Usage struct {
	// CPUs is how many cores it has had, over the last fraction of a second.
	CPUs float64
	// Memory is in bytes, without pages of files that the kernel drops when it needs the room.
	Memory int64
	// Pids counts its processes and threads.
	Pids int64
	// Disk is how many bytes it has written to its own file system, memory file systems left out. It may be a minute old.
	Disk int64
}

// Unknown is a Usage of which nothing is known.
func Unknown() Usage { return Usage{CPUs: -1, Memory: -1, Pids: -1, Disk: -1} }

// Surveyor is the capability of a Runtime to tell what a sandbox uses now.
type Surveyor interface {
	// Usage reads it in the time that ctx gives; what does not come in that time is not known, which is no error. NotFound when the
	// sandbox is gone, Conflict when it has stopped.
	Usage(ctx context.Context, id string) (Usage, error)
}

// Killer is the capability of a Runtime to end a sandbox without its engine's help: what runs inside can keep an engine
// waiting, and then the engine removes nothing. A Runtime that declares it may still lack the means; see CanKill.
type Killer interface {
	// CanKill reports whether the means are there; the error, of class Permanent, says what is missing. It makes no calls.
	CanKill() error
	// Kill ends every process of a resource that something runs in, and the engine's helpers that wait for one of them, and
	// gives how many it ended. It removes nothing. NotFound: it is gone. Conflict: it is not the
	// installation's, or of another environment than the one that it was found to be of. Permanent: as CanKill.
	Kill(ctx context.Context, ref Ref, environment string) (killed int, err error)
}

// Restarter is the capability of a Runtime to mend a sandbox that has ended, or has lost its network.
type Restarter interface {
	// Restart starts a sandbox, also one that runs, after whatever holds its network. Its files stay; its processes, and what
	// was in SecretsDir, do not. NotFound when it is gone.
	Restart(ctx context.Context, id string) error
	// OffNetwork reports whether a running sandbox has lost its network because whatever held it ended. NotFound when it is gone.
	OffNetwork(ctx context.Context, id string) (bool, error)
}

// Watcher is the capability of a Runtime to report changes as they happen, so that nobody has to list for them.
type Watcher interface {
	// Watch calls begun once it misses nothing any more, and happened whenever a sandbox, or what holds a network, with the instance's label has
	// started, ended, been frozen or thawed, or run out of memory (Found.OutOfMemory; a provider may leave that out), until ctx ends or the connection breaks: the error says why. Changes between two
	// calls of Watch are missed. Labels are as found: trust them only after Key.Verify. happened must be quick.
	Watch(ctx context.Context, instance string, begun func(), happened func(Found)) error
}
