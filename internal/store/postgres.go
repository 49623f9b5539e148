package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net"
	"path"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/migrations"
)

// Connections of one daemon; with the two that lead and listen, five daemons fit into a
// server's usual hundred.
const (
	postgresWriters = 12
	postgresReaders = 4
)

// postgresForm is how an address is written.
const postgresForm = "postgres://user:password@host:5432/database"

// oldestPostgres is the oldest version that is known to work, as the server gives it.
const oldestPostgres = 13_00_00

// limits of every connection of the pools, in the order in which they must come: a daemon that
// stopped in the middle of a transaction is cut off before those that wait for its locks give up.
var limits = map[string]string{
	"idle_in_transaction_session_timeout": "5s",
	"lock_timeout":                        "10s",
	"statement_timeout":                   "30s",
	"default_transaction_isolation":       "read committed",
}

// postgres is what a store of a PostgreSQL database has beside its pools.
type postgres struct {
	config *pgx.ConnConfig
	// process tells this store's own notifications from those of others.
	process string
	retries atomic.Uint32
}

func openPostgres(ctx context.Context, dsn string) (_ *Store, err error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// Not the cause: it shows the address, which may hold a password.
		return nil, fleet.Errorf(fleet.CodeInvalid, "open store: the PostgreSQL address cannot be read").
			WithHint("write it as %s", postgresForm)
	}
	config.ConnectTimeout = 5 * time.Second
	config.DialFunc = dialer.DialContext
	s := &Store{where: path.Join(config.Host, config.Database), dialect: postgresDialect, pg: &postgres{config: config}}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	writing := maps.Clone(limits)
	// The best plan of what writes does not depend on its values. The server would plan statements that are given lists again
	// each time, as a list looks cheaper to it when it knows that it is short.
	writing["plan_cache_mode"] = "force_generic_plan"
	s.write = s.pg.pool(postgresWriters, writing)
	readOnly := maps.Clone(limits)
	readOnly["default_transaction_read_only"] = "on"
	s.read = s.pg.pool(postgresReaders, readOnly)
	return s, nil
}

// dialer gives up a server whose machine or network is gone without a word after 20 seconds.
var dialer = &net.Dialer{
	KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3},
	Control: func(network, _ string, c syscall.RawConn) error {
		if !strings.HasPrefix(network, "tcp") {
			return nil
		}
		var err error
		// Keep-alives are not sent while sent data waits to be acknowledged.
		set := func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 20_000) }
		return errors.Join(c.Control(set), err)
	},
}

// pool makes a pool of up to n connections with parameters. It does not connect yet.
func (p *postgres) pool(n int, parameters map[string]string) *sql.DB {
	config := p.config.Copy()
	maps.Copy(config.RuntimeParams, parameters)
	config.RuntimeParams["application_name"] = p.process
	db := stdlib.OpenDB(*config)
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db
}

// connect makes a connection of its own, for what lasts.
func (p *postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	config := p.config.Copy()
	config.RuntimeParams["application_name"] = p.process
	return pgx.ConnectConfig(ctx, config)
}

// pause is how long to wait before the next attempt. Chance is not the store's to make: a counter
// spreads those that lost against each other.
func (p *postgres) pause(attempt int) time.Duration {
	return firstPause << attempt * time.Duration(8+p.retries.Add(5)%8) / 8
}

// prepare checks the server and brings the schema up to date, while other daemons that start wait.
func (s *Store) prepare(ctx context.Context) (err error) {
	// Without the limits: a migration may take long.
	db := s.pg.pool(2, nil)
	defer func() {
		if closeErr := db.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("open store: %w", closeErr)
		}
	}()
	if err := s.checkServer(ctx, db); err != nil {
		return err
	}
	// The lock goes with its connection.
	lock, err := db.Conn(ctx)
	if err != nil {
		return s.fault(ctx, "open store", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if _, err := lock.ExecContext(ctx, "SELECT pg_advisory_lock($1, $2)", lockClass, migrateLock); err != nil {
		return s.fault(ctx, "open store: wait for another daemon's migration", err)
	}
	p, err := migrations.PostgreSQL(db)
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	return s.migrate(ctx, p)
}

// checkServer refuses what cannot work and takes a name for this process.
func (s *Store) checkServer(ctx context.Context, db *sql.DB) error {
	var version int64
	var encoding, id string
	err := db.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding')").
		Scan(&version, &encoding)
	switch {
	case err != nil:
		return s.fault(ctx, "open store", err)
	case version < oldestPostgres:
		return fleet.Errorf(fleet.CodeUnavailable, "open store: PostgreSQL at %s is too old (version %d)", s.where, version/10_000).
			WithHint("use PostgreSQL %d or newer", oldestPostgres/10_000)
	case encoding != "UTF8":
		return fleet.Errorf(fleet.CodeUnavailable, "open store: the database %s has the encoding %s", s.where, encoding).
			WithHint("make one that keeps all text: createdb --encoding UTF8 --template template0 NAME")
	}
	if err := db.QueryRowContext(ctx, "SELECT gen_random_uuid()").Scan(&id); err != nil {
		return s.fault(ctx, "open store", err)
	}
	s.pg.process = "bothyd " + id
	return nil
}
