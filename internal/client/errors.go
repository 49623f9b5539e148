package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
)

// Error is an error from the daemon, or an invalid request that the client did not send.
type Error struct {
	// Code is one of wire's codes.
	Code string
	// Sentence describes the failure. Hint is the next step; may be empty.
	Sentence, Hint string
	// Status is the HTTP status; 0 if the request was not sent.
	Status int
	// RetryAfter is the wait before a retry if the environment is not ready yet; 0 for other errors.
	RetryAfter time.Duration
	// Places lists the errors in an invalid request; may be empty.
	Places []wire.ProblemPlace
	// Fields are the values of the request that Sentence is about, see wire.Problem; may be empty.
	Fields []wire.ProblemField
	// Err is the cause; may be nil.
	Err error
}

// Error returns the sentence.
func (e *Error) Error() string { return e.Sentence }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Problem returns the error as a wire.Problem, as `--output json` prints it.
func (e *Error) Problem() wire.Problem {
	return wire.Problem{Title: http.StatusText(e.Status), Status: e.Status, Detail: e.Sentence, Code: e.Code, Hint: e.Hint,
		RetryAfter: int(e.RetryAfter / time.Second), Errors: e.Places, Fields: e.Fields}
}

// CodeOf returns the code of an *Error, "unavailable" for an *Unreachable, "" for any other error.
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if _, ok := errors.AsType[*Unreachable](err); ok {
		return wire.CodeUnavailable
	}
	return ""
}

// Cause is the reason why a daemon is unreachable.
type Cause string

// The causes.
const (
	// SocketMissing: the socket does not exist; the daemon is not running or uses another path.
	SocketMissing Cause = "socket_missing"
	// NoRights: this user may not use the socket.
	NoRights Cause = "no_rights"
	// Refused: no process listens at the address.
	Refused Cause = "refused"
	// Untrusted: the TLS certificate or handshake is invalid.
	Untrusted Cause = "untrusted"
	// TimedOut: no answer in time.
	TimedOut Cause = "timed_out"
	// Silent: a stream stopped sending, heartbeats included.
	Silent Cause = "silent"
	// CutOff: the connection broke before the answer was complete.
	CutOff Cause = "cut_off"
	// Suspended: the connection broke while this process was stopped, or its machine slept.
	Suspended Cause = "suspended"
	// Other: anything else, for example a host name that does not resolve.
	Other Cause = "other"
)

// Unreachable reports that the daemon did not answer.
type Unreachable struct {
	// Host is the address of the daemon.
	Host  string
	Cause Cause
	// Sentence describes the failure. Hint is the next step.
	Sentence, Hint string
	Err            error
}

// Error returns the sentence.
func (e *Unreachable) Error() string { return e.Sentence }

// Unwrap returns the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

// Problem returns the error as a wire.Problem, as `--output json` prints it.
func (e *Unreachable) Problem() wire.Problem {
	return wire.Problem{Title: "Daemon unreachable", Detail: e.Sentence, Code: wire.CodeUnavailable, Hint: e.Hint}
}

// lost returns the error of a call without a complete answer. If ctx ended, it wraps the cause of ctx.
func (c *Client) lost(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("call bothyd: %w", context.Cause(ctx))
	}
	u := &Unreachable{Host: c.host, Err: err, Cause: causeOf(err)}
	where := c.host
	if c.socket != "" {
		where = c.socket
	}
	switch u.Cause {
	case SocketMissing:
		u.Sentence = fmt.Sprintf("cannot connect to bothyd: socket %s does not exist", where)
		if len(c.looked) > 1 {
			u.Sentence = "cannot connect to bothyd: no socket that you own at " + strings.Join(c.looked, ", ")
		}
		u.Hint = "start bothyd, or set its address with --host or BOTHY_HOST. A running bothyd restores a removed socket within seconds."
	case NoRights:
		u.Sentence = fmt.Sprintf("cannot connect to bothyd: you (uid %d) may not use socket %s", os.Geteuid(), where)
		u.Hint = "run bothy as the user that runs bothyd" + c.owner() + ", or ask that user to set listen.unix_group to one of your groups, or to create a token for --host https://..."
	case Refused:
		u.Sentence = fmt.Sprintf("cannot connect to bothyd: connection refused at %s", where)
		u.Hint = "check the address, and that bothyd is running there"
		if c.socket != "" {
			u.Sentence = fmt.Sprintf("cannot connect to bothyd at %s: bothyd is not running", where)
			u.Hint = "start bothyd, which replaces the old socket"
		}
	case Untrusted:
		u.Sentence = fmt.Sprintf("cannot trust the daemon at %s: %s", where, reason(err))
		u.Hint = mistrusted(err)
	case TimedOut:
		u.Sentence = fmt.Sprintf("the daemon at %s did not answer in time", where)
		u.Hint = "retry, and check the log of bothyd"
	case Silent:
		u.Sentence = fmt.Sprintf("received nothing from the daemon at %s for %s", where, c.heartbeat.Patience)
		u.Hint = "check that bothyd is running" + c.between("that the network, VPN or proxy is up") + ", then retry"
	case CutOff:
		u.Sentence = fmt.Sprintf("the connection to the daemon at %s broke before the answer was complete", where)
		u.Hint = "check whether bothyd was stopped or restarted, or whether this program was suspended" +
			c.between("whether a proxy or firewall closes idle or long connections") + ", then retry"
	default:
		u.Sentence = fmt.Sprintf("cannot connect to the daemon at %s: %s", where, reason(err))
		u.Hint = "check the address in --host or BOTHY_HOST"
	}
	u.Hint += c.viaProxy()
	return u
}

// suspended replaces the error of a connection that broke while this process was suspended.
func (c *Client) suspended(d time.Duration, err error) error {
	u, ok := errors.AsType[*Unreachable](err)
	if !ok || d == 0 || u.Cause != CutOff && u.Cause != Silent {
		return err
	}
	u.Cause = Suspended
	u.Sentence = fmt.Sprintf("the daemon at %s ended the command: this program was suspended for %s, and the limit is %s",
		c.host, d.Round(time.Second), c.heartbeat.Patience)
	u.Hint = "run the command again, with bothy exec --detach if it must survive a suspended client"
	return u
}

func causeOf(err error) Cause {
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, heartbeat.ErrSilent):
		return Silent
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR):
		return SocketMissing
	case errors.Is(err, fs.ErrPermission):
		return NoRights
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused
	case isTLS(err):
		return Untrusted
	case errors.As(err, &timeout) && timeout.Timeout():
		return TimedOut
	case isCutOff(err):
		return CutOff
	}
	return Other
}

// between adds a check of the network to a hint; "" for a socket.
func (c *Client) between(what string) string {
	if c.socket != "" {
		return ""
	}
	return ", and " + what
}

// isCutOff reports whether an established connection broke. An idempotent call may be retried.
func isCutOff(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

func isTLS(err error) bool {
	for _, target := range []any{
		new(*tls.CertificateVerificationError), new(tls.RecordHeaderError), new(tls.AlertError),
		new(x509.UnknownAuthorityError), new(x509.HostnameError), new(x509.CertificateInvalidError),
	} {
		if errors.As(err, target) {
			return true
		}
	}
	return false
}

// mistrusted says what to do about a certificate that is not trusted, which depends on why it is not.
func mistrusted(err error) string {
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var header tls.RecordHeaderError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "ask the operator of the daemon to renew its certificate (bothyd reads it again by itself), and check the clock of this machine"
	case errors.As(err, &name):
		return "use an address that its certificate names, or ask the operator of the daemon for a certificate that names this address"
	case errors.As(err, &header):
		return "the server does not speak TLS: check the address and the port"
	}
	return "pass the certificate of its authority with --ca-file"
}

// owner names the owner of the socket, if known.
func (c *Client) owner() string {
	info, err := os.Stat(c.socket)
	if err != nil {
		return ""
	}
	if uid, ok := ownerOf(info); ok {
		return fmt.Sprintf(" (uid %d)", uid)
	}
	return ""
}

// ownedBy reports whether a file belongs to a user.
func ownedBy(info fs.FileInfo, euid int) bool {
	uid, ok := ownerOf(info)
	return ok && uid == euid
}

// reason returns the innermost message of an error.
func reason(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		if pe, ok := err.(*fs.PathError); ok { //nolint:errorlint // this walks the chain by itself
			return pe.Path + ": " + pe.Err.Error()
		}
		err = inner
	}
}

// answered returns the error of an unsuccessful answer.
func (c *Client) answered(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		body = nil // use only the status
	}
	var p wire.Problem
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "application/problem+json" && json.Unmarshal(body, &p) == nil && p.Code != "" {
		return fromProblem(p)
	}
	return c.notBothys(resp.StatusCode)
}

// notBothys returns the error of an answer that bothyd never sends.
func (c *Client) notBothys(status int) *Error {
	return &Error{
		Code:     wire.CodeInternal,
		Sentence: fmt.Sprintf("unexpected answer from %s, is it bothyd? (HTTP status %d)", c.host, status),
		Hint:     "check --host, and whether a proxy answers instead",
		Status:   status,
	}
}

func fromProblem(p wire.Problem) *Error {
	sentence := p.Detail
	if strings.TrimSpace(sentence) == "" {
		sentence = p.Title
	}
	e := &Error{Code: p.Code, Sentence: sentence, Hint: p.Hint, Status: p.Status, Places: p.Errors, Fields: p.Fields}
	if p.Code == wire.CodeNotReady {
		e.RetryAfter = time.Duration(min(max(p.RetryAfter, 0), maxRetryAfter)) * time.Second
	}
	return e
}
