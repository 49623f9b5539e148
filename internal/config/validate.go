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

// maxSocketPath is what a unix socket's address can hold, in bytes.
const maxSocketPath = 107

// slotBits is the prefix length of one sandbox's network; a pool must hold at least one.
const slotBits = 28

var errEmpty = errors.New("it must not be empty")

// validate checks what no type can say. It opens no file: what is in them is checked by who reads them.
func (l *loader) validate(c Config) {
	if c.StateDir == "" {
		l.wrong("state_dir", fmt.Errorf("%w: without HOME there is no default", errEmpty))
	}
	l.check("listen.unix", checkSocket(c.Listen))
	if c.Listen.UnixGroup != "" && c.Listen.Unix == "" {
		l.wrong("listen.unix_group", errors.New("it is set, but listen.unix is not, which alone uses it"))
	}
	l.checkTCP(c.Listen)
	for _, host := range c.Listen.AllowedHosts {
		if strings.ContainsAny(host, "/: ") {
			l.wrong("listen.allowed_hosts", fmt.Errorf("%q is not a host name without scheme and port", host))
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
			l.wrong("sandbox.no_proxy", fmt.Errorf("%q is not a host, a domain or a range", host))
		}
	}
	l.checkRetention(c.Retention)
	for _, dir := range c.Blueprints {
		if strings.ContainsRune(dir, 0) {
			l.wrong("blueprints", fmt.Errorf("%q is not a path", dir))
		}
	}
}

// checkProxy refuses what programs would not read as a proxy.
func checkProxy(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	known := err == nil && (u.Scheme == "http" || u.Scheme == "https" || u.Scheme == "socks5" || u.Scheme == "socks5h")
	if !known || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		// The address is not repeated: it may hold a password.
		return errors.New("it is not the address of a proxy, such as http://proxy.example:3128")
	}
	return nil
}

func (l *loader) check(key string, err error) {
	if err != nil {
		l.wrong(key, err)
	}
}

// checkRetention: limits count what was spent in a month.
func (l *loader) checkRetention(r Retention) {
	for key, kept := range map[string]time.Duration{"retention.environments": r.Environments, "retention.entries": r.Entries} {
		if kept > 0 && kept < leastRetention {
			l.wrong(key, fmt.Errorf("%s is too short: monthly limits need %s, or 0 for good", kept, leastRetention))
		}
	}
}

func checkSocket(c Listen) error {
	switch {
	case c.Unix == "" && c.TCP == "":
		return fmt.Errorf("%w while listen.tcp is empty too: the API would be nowhere", errEmpty)
	case len(c.Unix) > maxSocketPath:
		return fmt.Errorf("the path has %d bytes, a socket's may have %d", len(c.Unix), maxSocketPath)
	}
	return nil
}

// checkTCP: never without TLS and tokens, whatever the address.
func (l *loader) checkTCP(c Listen) {
	needs := []struct{ key, value string }{
		{"listen.tls_cert", c.TLSCert}, {"listen.tls_key", c.TLSKey}, {"listen.token_file", c.TokenFile},
	}
	if c.TCP == "" {
		for _, n := range needs {
			if n.value != "" {
				l.wrong(n.key, errors.New("it is set, but listen.tcp is not, which alone uses it"))
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
		l.wrong("listen.tcp", fmt.Errorf("%s would be open to %s: set %s as well, or use listen.unix", c.TCP, audience(c.TCP), strings.Join(missing, ", ")))
	}
}

func checkAddress(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is not host:port", address)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("%q: the port is not from 0 to 65535", address)
	}
	if strings.ContainsAny(host, "/ ") {
		return fmt.Errorf("%q is not host:port", address)
	}
	return nil
}

// address is where people reach the API as far as that can be told from where it listens; "" when it cannot.
func (c Listen) address() string {
	if c.Unix != "" {
		// One that cannot be put on a command line as it is would mislead whoever is told of it.
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

// checkAdvertised takes what the command line's --host takes.
func checkAdvertised(address string) error {
	wrong := fmt.Errorf("%q is neither unix:///path nor https://host:port", address)
	if strings.ContainsAny(address, " \t\n'\"`$\\;&|<>()") {
		return wrong // people paste it into a shell
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

// audience says who could reach an address.
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
		return errors.New("the path after sqlite:// is not absolute: write sqlite:///absolute/path/bothy.db")
	case ok && (scheme == "postgres" || scheme == "postgresql"):
		return nil // the store says whether it can be reached
	}
	// What was found is not shown: it may hold a password.
	return errors.New("it is neither of the form sqlite:///absolute/path/bothy.db nor postgres://user@host/name")
}

// CheckEngine says what is wrong with the address of a Docker engine.
func CheckEngine(host string) error {
	u, err := url.Parse(host)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not unix:///path or tcp://127.0.0.1:port", host)
	case u.Scheme == "unix" && u.Host == "" && filepath.IsAbs(u.Path):
		return nil
	case u.Scheme == "tcp" && u.Port() != "" && loopback(u.Hostname()):
		return nil
	case u.Scheme == "fake" && u.Host == "" && filepath.IsAbs(u.Path):
		return nil // a folder of the fake driver, which several daemons may share
	case u.Scheme == "tcp":
		return fmt.Errorf("%q: an engine over plain TCP gives root to whoever is on the way; only loopback with a port is taken", host)
	}
	return fmt.Errorf("%q is not unix:///path or tcp://127.0.0.1:port", host)
}

func checkRange(p netip.Prefix, bits int) error {
	switch {
	case !p.Addr().Is4():
		return fmt.Errorf("%s is not an IPv4 range", p)
	case p.Bits() < 8 || p.Bits() > bits:
		return fmt.Errorf("%s: the mask is not from /8 to /%d", p, bits)
	case bits == slotBits && !p.Addr().IsPrivate():
		return fmt.Errorf("%s is not private: 10.0.0.0/8, 172.16.0.0/12 and 192.168.0.0/16 are", p)
	}
	return nil
}
