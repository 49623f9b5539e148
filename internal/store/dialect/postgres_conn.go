package dialect

import (
	"context"
	"errors"
	"maps"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sys/unix"
)

// This file has every limit of every connection to PostgreSQL. README repeats them (Daemons on one database).

// ConnectTimeout bounds opening a connection.
const ConnectTimeout = 5 * time.Second

// Client and server give up a silent connection after keepIdle and keepCount unanswered probes, one every keepEvery; or when sent data is
// not acknowledged for userTimeout.
const (
	keepIdle    = 5 * time.Second
	keepEvery   = 5 * time.Second
	keepCount   = 3
	userTimeout = 20 * time.Second
)

// connectionCheck is how often the server checks whether the client of a running statement is still connected.
const connectionCheck = "client_connection_check_interval"

// limits are the server's timeouts. Their order matters: a daemon that stopped in the middle of a transaction is cut off before those
// that wait for its locks give up, and those before their statements time out.
var limits = map[string]string{
	"idle_in_transaction_session_timeout": "5s",
	"lock_timeout":                        "10s",
	"statement_timeout":                   "20s",
	"tcp_keepalives_idle":                 "5s",
	"tcp_keepalives_interval":             "5s",
	"tcp_keepalives_count":                "3",
	"tcp_user_timeout":                    "20s",
	connectionCheck:                       "5s",
}

// answerTime is how long a daemon waits for more of an answer: a little longer than a statement may take, so that it gives up only
// connections that were cut off silently. Reads, for which people wait, have less of both.
const (
	answerTime = 25 * time.Second
	readTime   = 15 * time.Second
	readLimit  = "12s"
)

// A connection that was idle for pingAfter is pinged before use and has pingTime to answer.
const (
	pingAfter = time.Second
	pingTime  = 3 * time.Second
)

// isCutOff reports whether an idle connection does not answer; the pool then takes another.
func isCutOff(ctx context.Context, p stdlib.ShouldPingParams) bool {
	if p.IdleDuration <= pingAfter {
		return false
	}
	once, cancel := context.WithTimeout(ctx, pingTime)
	defer cancel()
	return p.Conn.Ping(once) != nil // this closes it, so that the pool's own ping fails at once
}

// use is the purpose of a connection.
type use int

const (
	forWriting use = iota
	forReading
	// forListening waits until there is something to hear, and pings now and then (Listen).
	forListening
	// forMigrating may take long.
	forMigrating
)

// configured returns the configuration of a connection.
func (p *postgres) configured(use use) *pgx.ConnConfig {
	config := p.config.Copy()
	parameters := maps.Clone(limits)
	parameters["default_transaction_isolation"] = "read committed"
	answer := answerTime
	switch use {
	case forWriting:
		// The best plan of these statements does not depend on their values. With lists, the server would plan each time again, because a
		// list that it knows to be short looks cheaper.
		parameters["plan_cache_mode"] = "force_generic_plan"
	case forReading:
		parameters["default_transaction_read_only"], parameters["statement_timeout"] = "on", readLimit
		answer = readTime
	case forListening:
	case forMigrating:
		for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"} {
			delete(parameters, name)
		}
		answer = 0
	}
	if !p.watches {
		delete(parameters, connectionCheck)
	}
	maps.Copy(config.RuntimeParams, parameters)
	config.RuntimeParams["application_name"] = p.process
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil || answer == 0 {
			return conn, err
		}
		return &patient{Conn: conn, most: answer}, nil
	}
	return config
}

// dialer notices when a server's machine or network disappears silently.
var dialer = &net.Dialer{
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepIdle, Interval: keepEvery, Count: keepCount},
	Control: func(network, _ string, c syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return nil
		}
		var err error
		// Keep-alives are not sent while sent data awaits acknowledgement.
		set := func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout.Milliseconds()))
		}
		return errors.Join(c.Control(set), err)
	},
}

// patient is a connection that gives up when the rest of an answer does not arrive. A proxy or a tunnel may acknowledge everything and
// forward nothing: no keep-alive detects that.
type patient struct {
	net.Conn
	most time.Duration

	mu sync.Mutex
	// deadline is the driver's own read deadline; zero for none.
	deadline time.Time
}

func (c *patient) Read(b []byte) (int, error) {
	c.mu.Lock()
	until := time.Now().Add(c.most) //nolint:forbidigo // a socket takes a deadline by the wall clock, not a duration
	if !c.deadline.IsZero() && c.deadline.Before(until) {
		until = c.deadline
	}
	err := c.Conn.SetReadDeadline(until)
	c.mu.Unlock() // from here on a deadline that the driver sets applies to the current read
	if err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *patient) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetDeadline(t)
}

func (c *patient) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetReadDeadline(t)
}
