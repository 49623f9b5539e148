package provisioner

import (
	"context"
	"io"
	"strings"
	"unicode"
)

// NetworkKeeper is the capability of a Runtime that keeps isolated networks
// ready, so that isolation costs nothing at create time. An engine asks for it by type assertion.
type NetworkKeeper interface {
	// Reserve hands out a network that no other environment is on and returns what a sandbox joins: its name, or a
	// way to join it (such as a container's namespace) that ends with ":" and the name. It is written down by
	// the caller before it is used; a name that was reserved and is not in live (see Reconcile) is recreated, never reused.
	Reserve(ctx context.Context, owner Owner) (name string, err error)
	// Release gives a network back after its environment is gone. Idempotent.
	Release(ctx context.Context, name string) error
	// Reconcile is called at start and now and then with the names that live environments hold: it removes
	// what no one holds, re-asserts the isolation rules, and makes spare ones. A network that this keeper
	// handed out moments ago is spared, as its caller may be about to write it down.
	Reconcile(ctx context.Context, live []string) error
	// Close removes spare networks (not those in use). Rules stay while networks in use do.
	Close(ctx context.Context) error
}

// Limiter is the capability of a Runtime that sets limits which the driver's
// provider cannot; the engine calls it before an environment is handed over.
type Limiter interface {
	// LimitPids bounds how many processes a sandbox may hold at once.
	LimitPids(ctx context.Context, id string, pids int64) error
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
	// MaxDelivery is the most bytes that all files of one Deliver may hold together.
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

// notInNames are a path's separator and whatever a line of text cannot hold.
func notInNames(r rune) bool { return r == '/' || unicode.IsControl(r) }

// Stage is a way into one sandbox that was opened ahead of its use: a process inside that waits
// for what it is to deliver. That it answers is proof that the sandbox works.
type Stage interface {
	// Deliver writes files into SecretsDir, owned by the user it was staged for, and returns when all are there. It
	// writes nothing before it has everything, and takes away again what it cannot finish; whether files come after a
	// failure of class Cancelled or Transient is open. With no files it only proves that the process inside still
	// answers. While the sandbox is paused it waits. It is for one use: the way is closed after it, also on failure.
	//
	// Class NotFound: the sandbox or the waiting process is gone, or the way was used or closed before. Permanent:
	// what CheckFiles refuses. Quota: there is no room. Denied: the user may not write there.
	Deliver(ctx context.Context, files []File) error
	// Close gives the way up unused.
	io.Closer
}

// Stager is the capability of a Runtime to open a Stage, so that a claim costs a few milliseconds.
type Stager interface {
	// Stage opens a way into a sandbox. It outlives ctx, which bounds the opening only. It stays usable across Pause
	// and Unpause. NotFound when the sandbox is gone, Conflict when it is paused or has stopped, Permanent when its image
	// lacks what this needs or it has no such user or no SecretsDir, Denied when SecretsDir is not the user's.
	Stage(ctx context.Context, id, user string) (Stage, error)
}

// Pauser is the capability of a Runtime to freeze a sandbox, so that it costs no CPU.
type Pauser interface {
	// Pause freezes; pausing what is paused is success. NotFound when it is gone, Conflict when it has stopped.
	Pause(ctx context.Context, id string) error
	// Unpause thaws; unpausing what runs is success. Errors as for Pause.
	Unpause(ctx context.Context, id string) error
}

// Meter is the capability of a Runtime to tell whether a sandbox is used from outside.
type Meter interface {
	// Traffic is how many bytes it has received and sent over its network since it started; 0 without a
	// network. NotFound when it is gone, Conflict when it has stopped.
	Traffic(ctx context.Context, id string) (int64, error)
}
