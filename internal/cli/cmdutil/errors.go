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

// Exit codes of every command. exec and shell exit with the code of the command that they ran.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitRefused     = 4
	ExitUnreachable = 5
)

// CodeInterrupted is the code of an error that a signal caused.
const CodeInterrupted = "interrupted"

// ExitCodes is the help text of the exit codes.
const ExitCodes = `Exit codes:
  0      Success
  1      Failure
  2      Invalid command line or bothy.yaml. Nothing was changed.
  3      Not found
  4      Refused by a quota or policy
  5      Daemon unreachable
  128+n  Ended by signal n (130 for Ctrl-C)

exec and shell exit with the code of the command that they ran, run with that of the step that failed.`

// codes maps the code of an error to the exit code. A code that is not listed is a failure.
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

// Error is a failure that the command line itself detected.
type Error struct {
	// Code is one of wire's codes.
	Code string
	// Sentence describes the failure. Hint is the next step; may be empty.
	Sentence, Hint string
	// Next lists further steps, one per line below Hint. Only bothy writes them: lines of a Hint, which others may have written,
	// look different.
	Next []string
	// Places lists the errors in a file or request; may be empty.
	Places []wire.ProblemPlace
	// Fields are the values that Sentence is about, see wire.Problem; may be empty.
	Fields []wire.ProblemField
	Err    error
}

// Error gives the sentence.
func (e *Error) Error() string { return e.Sentence }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Place formats a place in a file so that editors can jump to it: "bothy.yaml:6:10".
func Place(p wire.FilePlace) string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column) }

// WrongPlace describes an error at a place in a file: what was found, and what is allowed.
func WrongPlace(p wire.FilePlace, found, want string) wire.ProblemPlace {
	message := fmt.Sprintf("got %s, want %s", found, want)
	if p.Path != "" {
		message = p.Path + ": " + message
	}
	return wire.ProblemPlace{Location: Place(p), Message: message, Place: &p}
}

// Usagef makes a usage error: exit code 2.
func Usagef(format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: wire.CodeInvalid, Sentence: err.Error(), Err: errors.Unwrap(err)}
}

// WithHint sets the next step and returns e.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Exit ends the process with a code and no message: the command has already printed everything.
type Exit int

// ExitReaderGone is the exit code of a program whose reader closed the pipe: 128 plus the number of SIGPIPE.
const ExitReaderGone = Exit(128 + 13)

// Error returns the code; it is never shown.
func (e Exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Interrupted is the cause of a context that a signal cancelled.
type Interrupted struct{ Signal os.Signal }

// Error names the signal.
func (i Interrupted) Error() string { return "interrupted by signal: " + i.Signal.String() }

// ExitCode returns the exit code that shells use for a process that the signal ended.
func (i Interrupted) ExitCode() int {
	if s, ok := i.Signal.(syscall.Signal); ok {
		return 128 + int(s)
	}
	return ExitFailed
}

// ExitCode returns the exit code of the process for a command's error.
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

// ProblemOf converts any error to a wire.Problem.
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
		p.Code, p.Detail = wire.CodeUnavailable, "the daemon did not answer in time: "+err.Error()
	}
	return p
}
