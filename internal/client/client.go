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
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// maxSocketPath is what the kernel takes as a unix socket's path, in bytes.
const maxSocketPath = 107

// Options say which daemon to speak to.
type Options struct {
	// Host is "unix:///path" or "https://host:port"; DefaultHost() when empty.
	Host string
	// Token authenticates at an https host.
	Token string
	// CAFile holds the PEM certificates to trust at an https host; the system's when empty.
	CAFile string
	// UserAgent names the caller in the daemon's log; "bothy" when empty.
	UserAgent string
	// Timeout bounds one try of a call that does not stream; 60 s when 0.
	Timeout time.Duration
}

// Client speaks to one daemon.
type Client struct {
	host      string
	base      *url.URL
	socket    string
	token     string
	userAgent string
	timeout   time.Duration
	tls       *tls.Config
	http      *http.Client
}

// DefaultHost is the address of this user's own daemon.
func DefaultHost() string {
	return "unix://" + wire.DefaultSocket(os.Geteuid(), os.Getenv)
}

// New checks the options and makes a Client. It connects to nothing. A wrong
// option gives an *Error of code "invalid".
func New(o Options) (*Client, error) {
	if o.Host == "" {
		o.Host = DefaultHost()
	}
	c := &Client{host: o.Host, token: o.Token, userAgent: o.UserAgent, timeout: o.Timeout}
	if c.userAgent == "" {
		c.userAgent = "bothy"
	}
	if c.timeout == 0 {
		c.timeout = time.Minute
	}
	u, err := url.Parse(o.Host)
	if err != nil {
		return nil, badHost(o.Host, "it is not a URL")
	}
	switch u.Scheme {
	case "unix":
		if err := c.useSocket(o, u); err != nil {
			return nil, err
		}
	case "https":
		if err := c.useTLS(o, u); err != nil {
			return nil, err
		}
	case "http", "tcp":
		return nil, badHost(o.Host, "the daemon is never spoken to unencrypted over TCP")
	default:
		return nil, badHost(o.Host, "it has no scheme that is known")
	}
	c.http = &http.Client{
		Transport: &http.Transport{
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

// Host is the address that the client speaks to.
func (c *Client) Host() string { return c.host }

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) useSocket(o Options, u *url.URL) error {
	path := u.Path
	if u.Host != "" || !filepath.IsAbs(path) {
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

// endpoint makes the URL of a route; each part is one segment of the path.
func (c *Client) endpoint(query url.Values, parts ...string) string {
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
