package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// maxSocketPath is the maximum length of a unix socket path, in bytes.
const maxSocketPath = 107

// slotBits is the prefix length of a sandbox network; the range must contain at least one.
const slotBits = 28

var errEmpty = errors.New("must not be empty")

// validate checks what types cannot express. It opens no files: their readers check the content.
func (l *loader) validate(c Config) {
	if c.StateDir == "" {
		l.wrong("state_dir", fmt.Errorf("%w: without HOME there is no default", errEmpty))
	}
	l.check("listen.unix", checkSocket(c.Listen))
	if c.Listen.UnixGroup != "" && c.Listen.Unix == "" {
		l.wrong("listen.unix_group", errors.New("requires listen.unix"))
	}
	l.checkTCP(c.Listen)
	for _, host := range c.Listen.AllowedHosts {
		if strings.ContainsAny(host, "/: ") {
			l.wrong("listen.allowed_hosts", fmt.Errorf("got %q, want a host name without scheme and port", host))
		}
	}
	if c.Advertise != "" {
		l.check("advertise", checkAdvertised(c.Advertise))
	}
	l.check("database", checkDatabase(c.Database))
	l.check("engine.host", CheckEngine(c.Engine.Host))
	l.check("network.pool", checkRange(c.Network.Pool, slotBits))
	for _, p := range c.Network.Allow {
		l.check("network.allow", checkRange(p, 32))
	}
	l.check("sandbox.http_proxy", checkProxy(c.Sandbox.HTTPProxy))
	l.check("sandbox.https_proxy", checkProxy(c.Sandbox.HTTPSProxy))
	for _, host := range c.Sandbox.NoProxy {
		if strings.ContainsAny(host, " \t\n,") {
			l.wrong("sandbox.no_proxy", fmt.Errorf("got %q, want a host, a domain or a range", host))
		}
	}
	l.checkRetention(c.Retention)
	for _, dir := range c.Blueprints {
		if strings.ContainsRune(dir, 0) {
			l.wrong("blueprints", fmt.Errorf("%q is not a path", dir))
		}
	}
}

// checkProxy refuses an address that programs would not accept as a proxy.
func checkProxy(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	known := err == nil && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "socks5" || u.Scheme == "socks5h")
	if !known || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		// Do not show the address: it may contain a password.
		return errors.New("want the address of a proxy, for example http://proxy.example:3128")
	}
	return nil
}

func (l *loader) check(key string, err error) {
	if err != nil {
		l.wrong(key, err)
	}
}

// checkRetention checks the minimum retention: monthly limits count a whole month.
func (l *loader) checkRetention(r Retention) {
	for key, kept := range map[string]time.Duration{"retention.environments": r.Environments, "retention.entries": r.Entries} {
		if kept > 0 && kept < leastRetention {
			l.wrong(key, fmt.Errorf("%s is too short: monthly limits need at least %s, or 0 for no limit", kept, leastRetention))
		}
	}
}

func checkSocket(c Listen) error {
	switch {
	case c.Unix == "" && c.TCP == "":
		return fmt.Errorf("%w if listen.tcp is empty too: nothing would serve the API", errEmpty)
	case len(c.Unix) > maxSocketPath:
		return fmt.Errorf("the path has %d bytes, and the limit for a socket is %d", len(c.Unix), maxSocketPath)
	}
	return nil
}

// checkTCP requires TLS and tokens for every address.
func (l *loader) checkTCP(c Listen) {
	needs := []struct{ key, value string }{
		{"listen.tls_cert", c.TLSCert}, {"listen.tls_key", c.TLSKey}, {"listen.token_file", c.TokenFile},
	}
	if c.TCP == "" {
		for _, n := range needs {
			if n.value != "" {
				l.wrong(n.key, errors.New("requires listen.tcp"))
			}
		}
		return
	}
	if err := checkAddress(c.TCP); err != nil {
		l.wrong("listen.tcp", err)
		return
	}
	var missing []string
	for _, n := range needs {
		if n.value == "" {
			missing = append(missing, n.key)
		}
	}
	if len(missing) > 0 {
		l.wrong("listen.tcp", fmt.Errorf("%s would be open to %s: set %s too, or use listen.unix", c.TCP, audience(c.TCP), strings.Join(missing, ", ")))
	}
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("got %q, want host:port", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("got %q, want a port from 0 to 65535", address)
	}
	if strings.ContainsAny(host, "/ ") {
		return fmt.Errorf("got %q, want host:port", address)
	}
	return nil
}

// address derives the address at which users reach the API from the listen addresses; "" if that is impossible.
func (c Listen) address() string {
	if c.Unix != "" {
		// Users paste the address into a command line.
		if address := wire.SocketAddress(c.Unix); checkAdvertised(address) == nil {
			return address
		}
		return ""
	}
	host, port, err := net.SplitHostPort(c.TCP)
	ip, _ := netip.ParseAddr(host)
	if err != nil || host == "" || port == "0" || ip.IsUnspecified() {
		return ""
	}
	return "https://" + c.TCP
}

// checkAdvertised accepts the same addresses as the flag --host of the command line.
func checkAdvertised(address string) error {
	wrong := fmt.Errorf("got %q, want unix:///path or https://host:port", address)
	if strings.ContainsAny(address, " \t\n'\"`$\\;&|<>()") {
		return wrong // users paste it into a shell
	}
	if path, ok := wire.SocketPath(address); ok {
		if !filepath.IsAbs(path) || len(path) > maxSocketPath || strings.ContainsAny(path, "*?[]#") {
			return wrong
		}
		return nil
	}
	u, err := url.Parse(address)
	switch {
	case err != nil:
	case u.Scheme == "https" && u.Hostname() != "" && u.User == nil && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "":
		return nil
	}
	return wrong
}

// audience names who could reach an address.
func audience(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err == nil && loopback(host) {
		return "every user of this machine, in plain text"
	}
	return "the network, in plain text"
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func checkDatabase(dsn string) error {
	scheme, rest, ok := strings.Cut(dsn, "://")
	switch {
	case ok && scheme == "sqlite" && filepath.IsAbs(rest):
		return nil
	case ok && scheme == "sqlite":
		return errors.New("the path after sqlite:// must be absolute, for example sqlite:///absolute/path/bothy.db")
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		return nil // the store reports whether it can connect
	}
	// Do not show the value: it may contain a password.
	return errors.New("want sqlite:///absolute/path/bothy.db or postgres://user@host/name")
}

// CheckEngine returns an error for an invalid address of a Docker engine.
func CheckEngine(host string) error {
	u, err := url.Parse(host)
	switch {
	case err != nil:
		return fmt.Errorf("got %q, want unix:///path or tcp://127.0.0.1:port", host)
	case u.Scheme == "unix" && u.Host == "" && filepath.IsAbs(u.Path):
		return nil
	case u.Scheme == "tcp" && u.Port() != "" && loopback(u.Hostname()):
		return nil
	case u.Scheme == "fake" && u.Host == "" && filepath.IsAbs(u.Path):
		return nil // a directory of the fake driver, which several daemons may share
	case u.Scheme == "tcp":
		return fmt.Errorf("got %q, want a loopback address with a port: an engine over plain TCP gives root to everyone on the network", host)
	}
	return fmt.Errorf("got %q, want unix:///path or tcp://127.0.0.1:port", host)
}

func checkRange(p netip.Prefix, bits int) error {
	switch {
	case !p.Addr().Is4():
		return fmt.Errorf("got %s, want an IPv4 range", p)
	case p.Bits() < 8 || p.Bits() > bits:
		return fmt.Errorf("got %s, want a mask from /8 to /%d", p, bits)
	case bits == slotBits && !p.Addr().IsPrivate():
		return fmt.Errorf("got %s, want a private range: 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16", p)
	}
	return nil
}
