package fleet

import (
	"errors"
	"fmt"
	"strings"
)

// Code is an error's word for machines. internal/api maps each to one HTTP
// status, internal/cli to one exit code.
type Code string

// The codes.
const (
	// CodeInvalid: the request is wrong; nothing was done.
	CodeInvalid Code = "invalid"
	// CodeNotFound: no such thing, or not yours.
	CodeNotFound Code = "not_found"
	// CodeConflict: the state or the row has moved, or a name is taken.
	CodeConflict Code = "conflict"
	// CodeNotReady: a conflict that passes by itself, as the environment is on its way; try again soon.
	CodeNotReady Code = "not_ready"
	// CodeQuota: refused by a limit.
	CodeQuota Code = "quota"
	// CodePolicy: refused by a rule of the blueprint or platform team.
	CodePolicy Code = "policy"
	// CodeUnauthenticated: who asks is not known.
	CodeUnauthenticated Code = "unauthenticated"
	// CodeTooLarge: more bytes than allowed.
	CodeTooLarge Code = "too_large"
	// CodeUnavailable: the engine, Terraform or the store is away; try later.
	CodeUnavailable Code = "unavailable"
	// CodeDenied: the rights inside an environment do not allow it.
	CodeDenied Code = "denied"
	// CodeProvision: making the environment failed.
	CodeProvision Code = "provision_failed"
	// CodeInternal: a fault of bothy's own; details are only in its log.
	CodeInternal Code = "internal"
)

// Error carries a code for machines, a sentence and a hint for people.
type Error struct {
	Code Code
	// Sentence says what is wrong; Hint the next thing to do, may be empty.
	Sentence, Hint string
	// Fields are the values of a request that Sentence is about, in its order; its text is their messages, joined by "; ". Empty
	// when it is about none, or about what the request does not hold.
	Fields []Field
	Err    error
}

// Field is a value of a request that an error is about.
type Field struct {
	// Path names the value: "size", "ttl", "inputs.shm_mib"; empty for a remark that is about several.
	Path string
	// Message is what the sentence says of it.
	Message string
}

// Error gives the sentence.
func (e *Error) Error() string { return e.Sentence }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error; %w keeps a cause.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Sentence: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint adds the next thing to do and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// About says which value of a request all of the sentence is about, and returns e.
func (e *Error) About(path string) *Error {
	e.Fields = []Field{{Path: path, Message: e.Sentence}}
	return e
}

// CodeOf gives the code of err: CodeInternal when it carries none, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// shownBytes bounds what an error repeats of a wrong word.
const shownBytes = 64

// Short cuts a word that an error repeats.
func Short(word string) string {
	if len(word) <= shownBytes {
		return word
	}
	return strings.ToValidUTF8(word[:shownBytes], "") + "..."
}
