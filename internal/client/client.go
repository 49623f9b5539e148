// Package client is bothy's API as Go calls. A Client is safe for use by many
// goroutines at once.
//
// Errors are of two kinds: *Error is the daemon's answer (its code, sentence
// and hint), *Unreachable says that there was none. Both have a sentence for people
// and the next thing to do.
package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/api/wire/heartbeat"
)

// maxReason bounds Options.AsPlatform, in bytes.
const maxReason = 200

// maxSocketPath is what the kernel takes as a unix socket's path, in bytes.
const maxSocketPath = 107

// Options say which daemon to speak to.
type Options struct {
	// Host is "unix:///path" or "https://host:port"; that of the caller's own daemon when empty, at the first of
	// wire.DefaultSockets that is there and the caller's.
	Host string
	// Getenv reads the environment; os.Getenv when nil.
	Getenv func(string) string
	// Token authenticates at an https host.
	Token string
	// CAFile holds the PEM certificates to trust at an https host; the system's when empty.
	CAFile string
	// UserAgent names the caller in the daemon's log; "bothy" when empty.
	UserAgent string
	// Tenant is the one in which names of environments are meant; the caller's own when empty. Others need the platform role.
	Tenant string
	// AsPlatform is why the platform role is used on environments that are not the caller's, for the record; empty to not use it.
	AsPlatform string
	// Timeout bounds one try of a call that does not stream; 60 s when 0.
	Timeout time.Duration
	// Heartbeat is how often an exec shows that it is alive, and how long a long answer may bring nothing; heartbeat.Default when zero.
	Heartbeat heartbeat.Timing
}

// Client speaks to one daemon.
type Client struct {
	host   string
	base   *url.URL
	socket string
	// looked are the sockets that were looked for, when none was named.
	looked    []string
	token     string
	userAgent string
	timeout   time.Duration
	tenant    string
	// because is Options.AsPlatform.
	because string
	tls     *tls.Config
	// proxy gives the proxy for a URL; nil at a socket.
	proxy     func(*url.URL) (*url.URL, error)
	http      *http.Client
	heartbeat heartbeat.Timing
}

// DefaultHost is the address of this user's own daemon, and the sockets that were looked for: the first of them that is there and
// belongs to the user, else the first of all.
func DefaultHost(getenv func(string) string) (host string, looked []string) {
	looked = wire.DefaultSockets(os.Geteuid(), getenv)
	return wire.SocketAddress(firstOwn(looked, os.Geteuid())), looked
}

// firstOwn is the first socket that is a user's own, else the first path: another user may have put theirs where ours is looked for.
func firstOwn(paths []string, euid int) string {
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket && ownedBy(info, euid) {
			return path
		}
	}
	return paths[0]
}

// New checks the options and makes a Client. It connects to nothing. A wrong
// option gives an *Error of code "invalid".
func New(o Options) (*Client, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	var looked []string
	if o.Host == "" {
		o.Host, looked = DefaultHost(o.Getenv)
	}
	c := &Client{looked: looked, host: o.Host, token: o.Token, userAgent: o.UserAgent, timeout: o.Timeout, tenant: o.Tenant, because: o.AsPlatform, heartbeat: o.Heartbeat.Or()}
	if strings.ContainsAny(o.Tenant, "/:") {
		return nil, &Error{Code: wire.CodeInvalid, Sentence: fmt.Sprintf("%q is not a tenant's name", o.Tenant), Hint: "check --tenant"}
	}
	if len(o.AsPlatform) > maxReason || strings.ContainsFunc(o.AsPlatform, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return nil, &Error{Code: wire.CodeInvalid, Sentence: fmt.Sprintf("the reason to use the platform role is not one line of up to %d bytes", maxReason), Hint: "check --as-platform"}
	}
	if c.userAgent == "" {
		c.userAgent = "bothy"
	}
	if c.timeout == 0 {
		c.timeout = time.Minute
	}
	if strings.ContainsFunc(o.Token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, &Error{Code: wire.CodeInvalid, Sentence: "the token holds what no token can: a line's end, or a sign beyond ASCII", Hint: "check BOTHY_TOKEN or --token-file"}
	}
	if err := c.useHost(o); err != nil {
		return nil, err
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                 c.proxyOf,
			DialContext:           c.dial,
			TLSClientConfig:       c.tls,
			TLSHandshakeTimeout:   10 * time.Second,
			ExpectContinueTimeout: 10 * time.Second,
			IdleConnTimeout:       30 * time.Second,
			MaxIdleConnsPerHost:   8,
			// A tar or a stream of lines gains little, and a stream must not be held back.
			DisableCompression: true,
		},
		// The daemon never redirects; whoever does is not the daemon.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// useHost takes the daemon's address.
func (c *Client) useHost(o Options) error {
	if path, ok := wire.SocketPath(o.Host); ok {
		return c.useSocket(o, path)
	}
	u, err := url.Parse(o.Host)
	if err != nil {
		return badHost(o.Host, "it is not a URL")
	}
	switch u.Scheme {
	case "https":
		return c.useTLS(o, u)
	case "http", "tcp":
		return badHost(o.Host, "the daemon is never spoken to unencrypted over TCP")
	}
	return badHost(o.Host, "it has no scheme that is known")
}

// Host is the address that the client speaks to.
func (c *Client) Host() string { return c.host }

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) useSocket(o Options, path string) error {
	if !filepath.IsAbs(path) {
		return badHost(o.Host, "the socket's path must be absolute")
	}
	if len(path) > maxSocketPath {
		return badHost(o.Host, fmt.Sprintf("the socket's path has %d bytes, and %d are the most the system takes", len(path), maxSocketPath))
	}
	c.socket = path
	c.base = &url.URL{Scheme: "http", Host: "bothyd"}
	return nil
}

func (c *Client) useTLS(o Options, u *url.URL) error {
	if u.Hostname() == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
		return badHost(o.Host, "it must be a host and a port, nothing else")
	}
	c.base = &url.URL{Scheme: "https", Host: u.Host}
	c.proxy = proxyFrom(o.Getenv)
	// HTTP/1.1 only: WebSockets need it, and one protocol is one behaviour.
	c.tls = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if o.CAFile == "" {
		return nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return &Error{Code: wire.CodeInvalid, Sentence: "the CA file cannot be read: " + reason(err), Hint: "check --ca-file", Err: err}
	}
	c.tls.RootCAs = x509.NewCertPool()
	if !c.tls.RootCAs.AppendCertsFromPEM(pem) {
		return &Error{Code: wire.CodeInvalid, Sentence: fmt.Sprintf("the CA file %s holds no PEM certificate", o.CAFile), Hint: "check --ca-file"}
	}
	return nil
}

func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if c.socket != "" {
		return d.DialContext(ctx, "unix", c.socket)
	}
	return d.DialContext(ctx, network, address)
}

func badHost(host, why string) error {
	return &Error{
		Code:     wire.CodeInvalid,
		Sentence: fmt.Sprintf("the daemon's address %q cannot be used: %s", host, why),
		Hint:     "give unix:///path/to/bothyd.sock or https://host:port",
	}
}

// reference qualifies an environment's name with the tenant that the client is for. An id or another tenant's stays as it is.
func (c *Client) reference(env string) string {
	if c.tenant == "" || env == "" || strings.Contains(env, "/") || strings.HasPrefix(env, wire.ByID) {
		return env
	}
	return c.tenant + "/" + env
}

// ownTenant refuses what can only be done in the caller's own tenant.
func (c *Client) ownTenant() error {
	if c.tenant == "" {
		return nil
	}
	return &Error{Code: wire.CodeInvalid, Sentence: "an environment can only be created in your own tenant", Hint: "leave out --tenant"}
}

// endpoint makes the URL of a route; each part is one segment of the path.
func (c *Client) endpoint(query url.Values, parts ...string) string {
	if len(parts) > 2 && parts[1] == "environments" {
		parts = slices.Clone(parts)
		parts[2] = c.reference(parts[2])
	}
	escaped := make([]string, len(parts))
	for i, p := range parts {
		escaped[i] = url.PathEscape(p)
	}
	s := c.base.String() + "/" + strings.Join(escaped, "/")
	if len(query) > 0 {
		s += "?" + query.Encode()
	}
	return s
}
