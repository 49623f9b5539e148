package fleet

import (
	"errors"
	"fmt"
	"strings"
)

// Code is an error's machine-readable code. internal/api maps each to one HTTP status, internal/cli to one exit code.
type Code string

// The codes.
const (
	// CodeInvalid: the request is wrong; nothing was changed.
	CodeInvalid Code = "invalid"
	// CodeNotFound: it does not exist, or is not the caller's.
	CodeNotFound Code = "not_found"
	// CodeConflict: the state or the row has changed, or a name is taken.
	CodeConflict Code = "conflict"
	// CodeNotReady: a conflict that resolves itself, because the environment is on its way; retry soon.
	CodeNotReady Code = "not_ready"
	// CodeQuota: a limit refuses it.
	CodeQuota Code = "quota"
	// CodePolicy: a rule of the blueprint or the platform team refuses it.
	CodePolicy Code = "policy"
	// CodeUnauthenticated: the caller is unknown.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeTooLarge: more bytes than allowed.
	CodeTooLarge Code = "too_large"
	// CodeUnavailable: the engine, Terraform or the store is unreachable; retry later.
	CodeUnavailable Code = "unavailable"
	// CodeDenied: permissions inside an environment do not allow it.
	CodeDenied Code = "denied"
	// CodeProvision: creating the environment failed.
	CodeProvision Code = "provision_failed"
	// CodeInternal: a fault of bothy itself; only its log has the details.
	CodeInternal Code = "internal"
)

// Error has a code for machines, and a sentence and a hint for people.
type Error struct {
	Code Code
	// Sentence says what is wrong; Hint is what to do next, and may be empty.
	Sentence, Hint string
	// Fields are the values of a request that Sentence is about, in order; Sentence joins their messages with "; ". Empty when Sentence
	// is about no value, or about a missing one.
	Fields []Field
	Err    error
}

// Field is a value of a request that an error is about.
type Field struct {
	// Path names the value: "size", "ttl", "inputs.shm_mib"; empty for a remark about several values.
	Path string
	// Message is the part of the sentence about this value.
	Message string
}

// Error returns the sentence.
func (e *Error) Error() string { return e.Sentence }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error; %w wraps a cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Sentence: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint sets the hint and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// About sets the one value that the whole sentence is about, and returns e.
func (e *Error) About(path string) *Error {
	e.Fields = []Field{{Path: path, Message: e.Sentence}}
	return e
}

// CodeOf returns the code of err: CodeInternal when it has none, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// shownBytes bounds how much of a wrong word an error repeats.
const shownBytes = 64

// Short cuts a word for an error.
func Short(word string) string {
	if len(word) <= shownBytes {
		return word
	}
	return strings.ToValidUTF8(word[:shownBytes], "") + "..."
}
