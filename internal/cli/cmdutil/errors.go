package cmdutil

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

// Exit codes of every command. exec and shell give the code of the command that they ran instead.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitRefused     = 4
	ExitUnreachable = 5
)

// CodeInterrupted is the word of an error that a signal caused.
const CodeInterrupted = "interrupted"

// ExitCodes is the help text of the exit codes.
const ExitCodes = `Exit codes:
  0  ok
  1  failed
  2  usage: the command line, bothy.yaml or a value in it is wrong; nothing was done
  3  not found
  4  refused by a quota or policy
  5  daemon unreachable
  128+n  ended by signal n (130 for Ctrl-C)
exec and shell give the exit code of the command inside.`

// codes maps an error's word to the exit code; what is not in it is a failure.
var codes = map[string]int{
	wire.CodeInvalid:         ExitUsage,
	wire.CodeNotFound:        ExitNotFound,
	wire.CodeQuota:           ExitRefused,
	wire.CodePolicy:          ExitRefused,
	wire.CodeDenied:          ExitFailed,
	wire.CodeConflict:        ExitFailed,
	wire.CodeNotReady:        ExitFailed,
	wire.CodeUnauthenticated: ExitFailed,
	wire.CodeTooLarge:        ExitFailed,
	wire.CodeUnavailable:     ExitFailed,
	wire.CodeProvision:       ExitFailed,
	wire.CodeInternal:        ExitFailed,
}

// Error is a failure that the CLI itself found.
type Error struct {
	// Code is one of wire's codes.
	Code string
	// Sentence says what is wrong; Hint the next thing to do, may be empty.
	Sentence, Hint string
	// Next are further things to do, bothy's own, one a line below Hint. Lines of a Hint, which may be somebody else's, look
	// different.
	Next []string
	// Places lists what is wrong in a file or request; may be empty.
	Places []wire.ProblemPlace
	// Fields are the values that Sentence is about, see wire.Problem; may be empty.
	Fields []wire.ProblemField
	Err    error
}

// Error gives the sentence.
func (e *Error) Error() string { return e.Sentence }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Place tells a place in a file as an editor can follow it: "bothy.yaml:6:10".
func Place(p wire.FilePlace) string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// WrongPlace is a wrong place of a file: what is there, and what is allowed.
func WrongPlace(p wire.FilePlace, found, want string) wire.ProblemPlace {
	message := fmt.Sprintf("got %s, want %s", found, want)
	if p.Path != "" {
		message = p.Path + ": " + message
	}
	return wire.ProblemPlace{Location: Place(p), Message: message, Place: &p}
}

// Usagef makes an error of the command line: exit code 2.
func Usagef(format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: wire.CodeInvalid, Sentence: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint adds the next thing to do and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Exit ends the process with a code and no further message: all that matters has been said.
type Exit int

// ExitReaderGone is what a shell gives for a program whose output's reader has left: 128 and SIGPIPE's number.
const ExitReaderGone = Exit(128 + 13)

// Error gives the code; it is never shown.
func (e Exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Interrupted is the cause of a context that a signal ended.
type Interrupted struct{ Signal os.Signal }

// Error names the signal.
func (i Interrupted) Error() string { return "interrupted by signal: " + i.Signal.String() }

// ExitCode is what a shell gives for a process that the signal ended.
func (i Interrupted) ExitCode() int {
	if s, ok := i.Signal.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return ExitFailed
}

// ExitCode gives the process's exit code for a command's error.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
	if e, ok := errors.AsType[Exit](err); ok {
		return int(e)
	}
	if e, ok := errors.AsType[Interrupted](err); ok {
		return e.ExitCode()
	}
	if _, ok := errors.AsType[*client.Unreachable](err); ok {
		return ExitUnreachable
	}
	if code, ok := codes[ProblemOf(err).Code]; ok {
		return code
	}
	return ExitFailed
}

// ProblemOf gives any error the wire's form, for --output json and for people.
func ProblemOf(err error) wire.Problem {
	if e, ok := errors.AsType[*Error](err); ok {
		return wire.Problem{Title: "Failed", Code: e.Code, Detail: e.Sentence, Hint: strings.Join(append([]string{e.Hint}, e.Next...), "\n"), Errors: e.Places, Fields: e.Fields}
	}
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Problem()
	}
	if e, ok := errors.AsType[*client.Unreachable](err); ok {
		return e.Problem()
	}
	p := wire.Problem{Title: "Failed", Code: wire.CodeInternal, Detail: err.Error()}
	if errors.Is(err, context.DeadlineExceeded) {
		p.Code, p.Detail = wire.CodeUnavailable, "No answer in time: "+err.Error()
	}
	return p
}
