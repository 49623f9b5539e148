// Package cmdutil is what all commands share: the factory, errors and exit codes, output and completion.
package cmdutil

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/cli/render"
	"github.com/bothy-env/bothy/internal/client"
)

// Factory gives commands their streams, clock and client. It reads and opens nothing before a command asks for it.
type Factory struct {
	IO *iostreams.IO
	// Getenv reads the environment.
	Getenv func(string) string
	// Now is the clock for elapsed times and the time left of leases.
	Now func() time.Time
	// NewKey makes an idempotency key.
	NewKey func() string
	// Version is the version of this program.
	Version string

	// Host, TokenFile, CAFile, Tenant, AsPlatform and Output are the global flags.
	Host, TokenFile, CAFile, Tenant, AsPlatform, Output string
}

// Address returns the daemon's address and its source: "--host", "BOTHY_HOST" or "default".
func (f *Factory) Address() (host, from string) {
	if f.Host != "" {
		return f.Host, "--host"
	}
	if h := strings.TrimSpace(f.Getenv("BOTHY_HOST")); h != "" {
		return h, "BOTHY_HOST"
	}
	host, _ = client.DefaultHost(f.Getenv)
	return host, "default"
}

// Client makes the daemon's client. It connects to nothing yet.
func (f *Factory) Client() (*client.Client, error) {
	host, from := f.Address()
	if from == "default" {
		host = "" // the client searches for the socket, and reports where
	}
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{Host: host, Token: token, CAFile: f.CAFile, Tenant: f.Tenant, AsPlatform: f.AsPlatform, Getenv: f.Getenv, UserAgent: "bothy/" + f.Version})
}

// token returns the token of the file, or BOTHY_TOKEN.
func (f *Factory) token() (string, error) {
	if f.TokenFile == "" {
		// Tools that put secrets into variables often leave the newline in.
		return strings.TrimSpace(f.Getenv("BOTHY_TOKEN")), nil
	}
	data, err := os.ReadFile(f.TokenFile)
	if err != nil {
		return "", Usagef("cannot read token file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return "", Usagef("cannot read token file %s: it must contain one line, the token", f.TokenFile)
	}
	return token, nil
}

// JSON reports whether the output format is JSON.
func (f *Factory) JSON() bool { return f.Output == "json" }

// Progress returns the progress display for the error stream; with JSON output it shows nothing.
func (f *Factory) Progress() render.Progress {
	if f.JSON() {
		return render.Nothing{}
	}
	return render.New(f.IO, f.Now)
}

// Note prints a remark on the error stream, unless the output format is JSON.
func (f *Factory) Note(format string, args ...any) {
	if !f.JSON() {
		f.Errf(format+"\n", args...)
	}
}

// Errf writes to the error stream. A write error there cannot be reported anywhere.
func (f *Factory) Errf(format string, args ...any) {
	_, _ = fmt.Fprintf(f.IO.Err, format, args...)
}

// Bounded limits ctx to one second, for short calls such as completion.
func Bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, time.Second, errors.New("the daemon did not answer within 1 s"))
}
