// Package cmdutil is what all commands share: their surroundings, errors and exit codes, output and completion.
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

// Factory is a command's surroundings. Nothing is read or opened before it is asked for.
type Factory struct {
	IO *iostreams.IO
	// Getenv reads the environment.
	Getenv func(string) string
	// Now is the clock that elapsed times and what is left of leases are read from.
	Now func() time.Time
	// NewKey makes an idempotency key.
	NewKey func() string
	// Version is this program's.
	Version string

	// Host, TokenFile, CAFile, Tenant, AsPlatform and Output are the flags that every command has.
	Host, TokenFile, CAFile, Tenant, AsPlatform, Output string
}

// Address is the daemon's address and where it was taken from: "--host", "BOTHY_HOST" or "default".
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
		host = "" // the client looks for it, and says where
	}
	token, err := f.token()
	if err != nil {
		return nil, err
	}
	return client.New(client.Options{Host: host, Token: token, CAFile: f.CAFile, Tenant: f.Tenant, AsPlatform: f.AsPlatform, Getenv: f.Getenv, UserAgent: "bothy/" + f.Version})
}

// token is that of the file, or BOTHY_TOKEN.
func (f *Factory) token() (string, error) {
	if f.TokenFile == "" {
		// Whatever puts secrets into variables often leaves the line's end in.
		return strings.TrimSpace(f.Getenv("BOTHY_TOKEN")), nil
	}
	data, err := os.ReadFile(f.TokenFile)
	if err != nil {
		return "", Usagef("read token file: %w", err)
	}
	token := strings.TrimSpace(string(data))
	if token == "" || strings.ContainsAny(token, "\r\n") {
		return "", Usagef("token file %s: want one line, the token", f.TokenFile)
	}
	return token, nil
}

// JSON reports whether output is for machines.
func (f *Factory) JSON() bool { return f.Output == "json" }

// Progress gives the display that fits: none for machines.
func (f *Factory) Progress() render.Progress {
	if f.JSON() {
		return render.Nothing{}
	}
	return render.New(f.IO, f.Now)
}

// Note tells people something on the error stream that is no error; machines are not told.
func (f *Factory) Note(format string, args ...any) {
	if !f.JSON() {
		f.Errf(format+"\n", args...)
	}
}

// Errf writes to the error stream. What cannot be written there cannot be reported anywhere.
func (f *Factory) Errf(format string, args ...any) {
	_, _ = fmt.Fprintf(f.IO.Err, format, args...)
}

// Bounded is ctx with a limit for short questions to the daemon, as completion asks.
func Bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, time.Second, errors.New("the daemon did not answer in a second"))
}
