package provisioner

import (
	"context"
	"errors"
	"fmt"
)

// Class says what a caller may do about an error.
type Class string

// The classes. Code that decides looks at nothing else of an error.
const (
	// NotFound: the thing asked for is not there.
	NotFound Class = "not_found"
	// Conflict: something of that name is there that is not ours, or not of this attempt.
	Conflict Class = "conflict"
	// Quota: the provider refuses for lack of room (address space, disk, its own limits).
	Quota Class = "quota"
	// Transient: trying again later may help; the engine is away, a call timed out.
	Transient Class = "transient"
	// Permanent: trying again will not help; the request, the blueprint or the installation is wrong.
	Permanent Class = "permanent"
	// Denied: the user inside the sandbox has no right to do it. The request is well formed and bothy's side is
	// well; another user or another path may do.
	Denied Class = "denied"
	// Refused: nothing in the sandbox listens at the port. The sandbox runs; a process inside may listen there later.
	Refused Class = "refused"
	// Cancelled: the caller's context ended.
	Cancelled Class = "cancelled"
)

// ErrProcesses is the cause of an error of class Quota: a sandbox has as many processes as it may.
var ErrProcesses = errors.New("as many processes as the sandbox may have")

// ErrUsed is the cause of an error of class Conflict: a sandbox that is claimed was used before, by whatever else.
var ErrUsed = errors.New("the sandbox was used before")

// NewUsed makes the error that ErrUsed is the cause of.
func NewUsed(op string) *Error {
	return &Error{Class: Conflict, Op: op, Sentence: ErrUsed.Error(), Err: ErrUsed}
}

// ErrStillRuns is a cause of an error of class Cancelled: the command could not be ended yet, and may still run.
var ErrStillRuns = errors.New("the command may still run")

// ErrUnprepared is what Driver.Destroy wraps when it lacks what it would have to fetch or make first (its blueprint's
// providers). A destroy waits for no such thing: what the driver made is to be removed by label.
var ErrUnprepared = errors.New("the driver has nothing ready to destroy it with")

// Error is what implementations return.
type Error struct {
	Class Class
	// Op is a verb and a noun: "apply blueprint", "start exec".
	Op string
	// Sentence tells a person the cause, in one sentence, without Terraform's or Docker's whole output.
	Sentence string
	// Unavailable says that the engine or tool behind is away, or has no room now (a Transient or Quota that says
	// nothing about the request): the request waits.
	Unavailable bool
	// Err is the cause; it may be nil.
	Err error
}

// Error returns the verb, the sentence, and the cause when it says something else.
func (e *Error) Error() string {
	msg := e.Sentence
	switch {
	case msg == "" && e.Err != nil:
		msg = e.Err.Error()
	case msg == "":
		msg = string(e.Class)
	}
	return e.Op + ": " + msg
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of a class; the sentence is formatted, %w keeps a cause.
func Errorf(class Class, op, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Class: class, Op: op, Sentence: err.Error(), Err: errors.Unwrap(err)}
}

// ClassOf returns an error's class: Cancelled for a context's end, Permanent for
// one that carries none (an unknown fault must not be retried for ever), "" for nil.
func ClassOf(err error) Class {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Cancelled
	}
	return Permanent
}

// Is reports whether err is of a class.
func Is(err error, class Class) bool { return err != nil && ClassOf(err) == class }

// IsUnavailable reports whether the engine or tool behind was away.
func IsUnavailable(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Unavailable
}

// Sentence returns what a person should read of an error.
func Sentence(err error) string {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Sentence != "" {
		return e.Sentence
	}
	return err.Error()
}
