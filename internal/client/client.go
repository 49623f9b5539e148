// Package client is a Go client for bothy's API. A Client is safe for concurrent use.
//
// There are two kinds of errors: *Error is the daemon's answer with code, sentence and hint,
// *Unreachable reports that there was no answer. Both have a sentence for people and a hint.
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

// maxReason limits Options.AsPlatform, in bytes.
const maxReason = 200

// maxSocketPath is the maximum length of a unix socket path, in bytes.
const maxSocketPath = 107

// Options configure a Client.
type Options struct {
	// Host is "unix:///path" or "https://host:port". If empty, it is the first of wire.DefaultSockets that exists and belongs to the
	// user.
	Host string
	// Getenv reads environment variables; os.Getenv if nil.
	Getenv func(string) string
	// Token authenticates at an https host.
	Token string
	// CAFile contains the PEM certificates to trust for an https host; the system's if empty.
	CAFile string
	// UserAgent names the caller in the daemon's log; "bothy" if empty.
	UserAgent string
	// Tenant is the tenant that environment names refer to; the caller's own if empty. Others require the platform role.
	Tenant string
	// AsPlatform is the recorded reason for using the platform role on environments of others; empty to not use it.
	AsPlatform string
	// Timeout limits one attempt of a call that does not stream; 60 s if 0.
	Timeout time.Duration
	// Heartbeat is the interval of an exec's heartbeats and the maximum silence of a stream; heartbeat.Default if zero.
	Heartbeat heartbeat.Timing
}

// Client calls one daemon.
type Client struct {
	host   string
	base   *url.URL
	socket string
	// looked are the sockets that New tried if Host was empty.
	looked    []string
	token     string
	userAgent string
	timeout   time.Duration
	tenant    string
	// because is Options.AsPlatform.
	because string
	tls     *tls.Config
	// proxy returns the proxy for a URL; nil for a socket.
	proxy     func(*url.URL) (*url.URL, error)
	http      *http.Client
	heartbeat heartbeat.Timing
}

// DefaultHost returns the address of the user's own daemon, and the sockets that it tried: the first one that exists and belongs to the
// user, otherwise the first.
func DefaultHost(getenv func(string) string) (host string, looked []string) {
	looked = wire.DefaultSockets(os.Geteuid(), getenv)
	return wire.SocketAddress(firstOwn(looked, os.Geteuid())), looked
}

// firstOwn returns the first socket that belongs to the user, otherwise the first path: another user may have created a socket there.
func firstOwn(paths []string, euid int) string {
	for _, path := range paths {
		if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket && ownedBy(info, euid) {
			return path
		}
	}
	return paths[0]
}

// New checks the options and returns a Client. It does not connect. For an invalid
// option it returns an *Error with code "invalid".
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
		return nil, &Error{Code: wire.CodeInvalid, Sentence: fmt.Sprintf("invalid tenant name %q", o.Tenant), Hint: "check --tenant"}
	}
	if len(o.AsPlatform) > maxReason || strings.ContainsFunc(o.AsPlatform, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return nil, &Error{Code: wire.CodeInvalid, Sentence: fmt.Sprintf("invalid reason for the platform role: want one line of at most %d bytes", maxReason), Hint: "check --as-platform"}
	}
	if c.userAgent == "" {
		c.userAgent = "bothy"
	}
	if c.timeout == 0 {
		c.timeout = time.Minute
	}
	if strings.ContainsFunc(o.Token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil, &Error{Code: wire.CodeInvalid, Sentence: "invalid token: it contains a newline or a non-ASCII character", Hint: "check BOTHY_TOKEN or --token-file"}
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
			// Compression saves little on tars and lines, and would delay streams.
			DisableCompression: true,
		},
		// The daemon never redirects: a redirect comes from another server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

// useHost parses the daemon's address.
func (c *Client) useHost(o Options) error {
	if path, ok := wire.SocketPath(o.Host); ok {
		return c.useSocket(o, path)
	}
	u, err := url.Parse(o.Host)
	if err != nil {
		return badHost(o.Host, "not a URL")
	}
	switch u.Scheme {
	case "https":
		return c.useTLS(o, u)
	case "http", "tcp":
		return badHost(o.Host, "TCP requires https")
	}
	return badHost(o.Host, "unknown scheme")
}

// Host returns the address of the daemon.
func (c *Client) Host() string { return c.host }

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) useSocket(o Options, path string) error {
	if !filepath.IsAbs(path) {
		return badHost(o.Host, "the path of the socket must be absolute")
	}
	if len(path) > maxSocketPath {
		return badHost(o.Host, fmt.Sprintf("the path of the socket has %d bytes, and the limit of the system is %d", len(path), maxSocketPath))
	}
	c.socket = path
	c.base = &url.URL{Scheme: "http", Host: "bothyd"}
	return nil
}

func (c *Client) useTLS(o Options, u *url.URL) error {
	if u.Hostname() == "" || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.User != nil {
		return badHost(o.Host, "want only a host and a port")
	}
	c.base = &url.URL{Scheme: "https", Host: u.Host}
	c.proxy = proxyFrom(o.Getenv)
	// HTTP/1.1 only: WebSockets need it, and one protocol means one behaviour.
	c.tls = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}
	if o.CAFile == "" {
		return nil
	}
	pem, err := os.ReadFile(o.CAFile)
	if err != nil {
		return &Error{Code: wire.CodeInvalid, Sentence: "cannot read CA file: " + reason(err), Hint: "check --ca-file", Err: err}
	}
	c.tls.RootCAs = x509.NewCertPool()
	if !c.tls.RootCAs.AppendCertsFromPEM(pem) {
		return &Error{Code: wire.CodeInvalid, Sentence: fmt.Sprintf("cannot use CA file %s: it contains no PEM certificate", o.CAFile), Hint: "check --ca-file"}
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
		Sentence: fmt.Sprintf("invalid daemon address %q: %s", host, why),
		Hint:     "use unix:///path/to/bothyd.sock or https://host:port",
	}
}

// reference qualifies an environment name with the client's tenant. It returns ids and qualified names unchanged.
func (c *Client) reference(env string) string {
	if c.tenant == "" || env == "" || strings.Contains(env, "/") || strings.HasPrefix(env, wire.ByID) {
		return env
	}
	return c.tenant + "/" + env
}

// ownTenant returns an error for a call that only works in the caller's own tenant.
func (c *Client) ownTenant() error {
	if c.tenant == "" {
		return nil
	}
	return &Error{Code: wire.CodeInvalid, Sentence: "cannot create an environment in another tenant", Hint: "omit --tenant"}
}

// endpoint returns the URL of a route; each part is one path segment.
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
