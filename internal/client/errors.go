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

// Error is an error as the daemon answered it, or one of the request that was seen before it was sent.
type Error struct {
	// Code is one of wire's codes.
	Code string
	// Sentence says what is wrong; Hint the next thing to do, may be empty.
	Sentence, Hint string
	// Status is the HTTP status; 0 when the daemon was not asked.
	Status int
	// RetryAfter is when to try again what is not ready yet; 0 for any other error.
	RetryAfter time.Duration
	// Places lists what is wrong in an invalid request; may be empty.
	Places []wire.ProblemPlace
	// Fields are the values of the request that Sentence is about, see wire.Problem; may be empty.
	Fields []wire.ProblemField
	// Err is the cause; may be nil.
	Err error
}

// Error gives the sentence.
func (e *Error) Error() string { return e.Sentence }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Problem gives the error in the wire's form, as `--output json` prints it.
func (e *Error) Problem() wire.Problem {
	return wire.Problem{Title: http.StatusText(e.Status), Status: e.Status, Detail: e.Sentence, Code: e.Code, Hint: e.Hint,
		RetryAfter: int(e.RetryAfter / time.Second), Errors: e.Places, Fields: e.Fields}
}

// CodeOf gives the code of an *Error, "unavailable" for an *Unreachable, "" for any other error.
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	if _, ok := errors.AsType[*Unreachable](err); ok {
		return wire.CodeUnavailable
	}
	return ""
}

// Cause says why a daemon could not be reached.
type Cause string

// The causes.
const (
	// SocketMissing: there is no socket; the daemon is not running or is elsewhere.
	SocketMissing Cause = "socket_missing"
	// NoRights: the socket is there and this user may not use it.
	NoRights Cause = "no_rights"
	// Refused: nobody listens there.
	Refused Cause = "refused"
	// Untrusted: the TLS certificate or the handshake is not acceptable.
	Untrusted Cause = "untrusted"
	// TimedOut: no answer in time.
	TimedOut Cause = "timed_out"
	// Silent: a long answer brought nothing, not even a sign of life.
	Silent Cause = "silent"
	// CutOff: the connection broke before the answer was whole.
	CutOff Cause = "cut_off"
	// Suspended: the connection broke while this process was stopped, or its machine asleep.
	Suspended Cause = "suspended"
	// Other: anything else, such as a host name that does not resolve.
	Other Cause = "other"
)

// Unreachable says that no answer came from the daemon.
type Unreachable struct {
	// Host is the address that was tried.
	Host  string
	Cause Cause
	// Sentence says what is wrong, Hint the next thing to do.
	Sentence, Hint string
	Err            error
}

// Error gives the sentence.
func (e *Unreachable) Error() string { return e.Sentence }

// Unwrap gives the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

// Problem gives the error in the wire's form, as `--output json` prints it.
func (e *Unreachable) Problem() wire.Problem {
	return wire.Problem{Title: "Daemon unreachable", Detail: e.Sentence, Code: wire.CodeUnavailable, Hint: e.Hint}
}

// lost makes the error of a call that got no whole answer. The context's own end stays what it is.
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
		u.Sentence = fmt.Sprintf("no daemon: the socket %s does not exist", where)
		if len(c.looked) > 1 {
			u.Sentence = "no daemon: there is no socket of yours at any of " + strings.Join(c.looked, ", ")
		}
		u.Hint = "start bothyd, or give its address with --host or BOTHY_HOST; one that runs makes a socket that was removed again, within seconds"
	case NoRights:
		u.Sentence = fmt.Sprintf("the socket %s may not be used by you (user id %d)", where, os.Geteuid())
		u.Hint = "it belongs to the user who runs bothyd" + c.owner() + ": run as that user, or ask them to let a group of yours in with listen.unix_group, or for a token and use --host https://..."
	case Refused:
		u.Sentence = fmt.Sprintf("nobody answers at %s", where)
		u.Hint = "check the address and that bothyd is running there"
		if c.socket != "" {
			u.Sentence = fmt.Sprintf("nobody answers at %s: bothyd is not running", where)
			u.Hint = "start bothyd; it replaces the socket that was left over"
		}
	case Untrusted:
		u.Sentence = fmt.Sprintf("the daemon at %s is not trusted: %s", where, reason(err))
		u.Hint = mistrusted(err)
	case TimedOut:
		u.Sentence = fmt.Sprintf("the daemon at %s did not answer in time", where)
		u.Hint = "try again; bothyd's log may say what it waits for"
	case Silent:
		u.Sentence = fmt.Sprintf("nothing was heard from the daemon at %s for %s", where, c.heartbeat.Patience)
		u.Hint = "see whether bothyd still runs" + c.between("that the network, a VPN or a proxy between is up") + ", then try again"
	case CutOff:
		u.Sentence = fmt.Sprintf("the connection to the daemon at %s was cut before its answer was whole", where)
		u.Hint = "see whether bothyd was stopped or started anew, or this program was stopped for long" +
			c.between("whether a proxy or firewall between ends connections that are idle or long: let it allow both") + "; then try again"
	default:
		u.Sentence = fmt.Sprintf("the daemon at %s cannot be reached: %s", where, reason(err))
		u.Hint = "check the address given with --host or BOTHY_HOST"
	}
	u.Hint += c.viaProxy()
	return u
}

// suspended makes an error that says what happened of one that a connection was cut off while this process did not run.
func (c *Client) suspended(d time.Duration, err error) error {
	u, ok := errors.AsType[*Unreachable](err)
	if !ok || d == 0 || u.Cause != CutOff && u.Cause != Silent {
		return err
	}
	u.Cause = Suspended
	u.Sentence = fmt.Sprintf("this program was suspended for %s, and the daemon at %s ends a command whose client is silent for %s: the command was ended",
		d.Round(time.Second), c.host, c.heartbeat.Patience)
	u.Hint = "run the command again; bothy exec --detach starts one that does not need its client"
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

// between is a further thing to look at where there is a network between; "" at a socket.
func (c *Client) between(what string) string {
	if c.socket != "" {
		return ""
	}
	return ", and " + what
}

// isCutOff reports whether a connection that stood has broken; the same call may be tried again if it is idempotent.
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
		return "have whoever runs the daemon renew its certificate, which it reads again by itself; look at this machine's clock, too"
	case errors.As(err, &name):
		return "use an address that its certificate names, or have whoever runs the daemon get one that names this address"
	case errors.As(err, &header):
		return "no TLS is spoken there: check the address and the port"
	}
	return "give the certificate of its authority with --ca-file"
}

// owner tells whose the socket is, as far as that can be seen.
func (c *Client) owner() string {
	info, err := os.Stat(c.socket)
	if err != nil {
		return ""
	}
	if uid, ok := ownerOf(info); ok {
		return fmt.Sprintf(" (user id %d)", uid)
	}
	return ""
}

// ownedBy reports whether a file is a user's own.
func ownedBy(info fs.FileInfo, euid int) bool {
	uid, ok := ownerOf(info)
	return ok && uid == euid
}

// reason is the innermost sentence of an error, without the calls around it.
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

// answered makes the error of an answer that is not a success.
func (c *Client) answered(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		body = nil // The status alone must do.
	}
	var p wire.Problem
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if kind == "application/problem+json" && json.Unmarshal(body, &p) == nil && p.Code != "" {
		return fromProblem(p)
	}
	return c.notBothys(resp.StatusCode)
}

// notBothys is the error of an answer that bothyd never gives.
func (c *Client) notBothys(status int) *Error {
	return &Error{
		Code:     wire.CodeInternal,
		Sentence: fmt.Sprintf("%s did not answer like bothyd (HTTP status %d)", c.host, status),
		Hint:     "check --host, and whether a proxy stands between",
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
