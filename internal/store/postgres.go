package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
	"path"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

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

// postgres is what a store of a PostgreSQL database has beside its pools.
type postgres struct {
	config *pgx.ConnConfig
	// process tells this store's own notifications from those of others.
	process string
	retries atomic.Uint32
	// watches says that the server can look whether the daemon that waits for a statement is still there.
	watches bool
}

// processPrefix begins the name of each process of bothyd at the server.
const processPrefix = "bothyd "

func openPostgres(ctx context.Context, dsn string, checks []Check) (*Store, error) {
	s, err := newPostgres(dsn)
	if err != nil {
		return nil, err
	}
	if err := s.prepare(ctx, checks); err != nil {
		return nil, err
	}
	s.write = s.pg.pool(postgresWriters, forWriting)
	s.read = s.pg.pool(postgresReaders, forReading)
	return s, nil
}

// newPostgres reads the address of a database, and does not connect.
func newPostgres(dsn string) (*Store, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// Not the cause: it shows the address, which may hold a password.
		return nil, fleet.Errorf(fleet.CodeInvalid, "open store: the PostgreSQL address cannot be read").
			WithHint("write it as %s", postgresForm)
	}
	config.ConnectTimeout = connectTimeout
	return &Store{where: path.Join(config.Host, config.Database), dialect: postgresDialect, pg: &postgres{config: config}}, nil
}

// pool makes a pool of up to n connections for a use. It does not connect yet.
func (p *postgres) pool(n int, use use) *sql.DB {
	db := stdlib.OpenDB(*p.configured(use), stdlib.OptionShouldPing(isCutOff))
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db
}

// connect makes a connection of its own, for what lasts.
func (p *postgres) connect(ctx context.Context) (*pgx.Conn, error) {
	return pgx.ConnectConfig(ctx, p.configured(forListening))
}

// pause is how long to wait before the next attempt. Chance is not the store's to make: a counter
// spreads those that lost against each other.
func (p *postgres) pause(attempt int) time.Duration {
	return firstPause << attempt * time.Duration(8+p.retries.Add(5)%8) / 8
}

// prepare checks the server and the database and brings the schema up to date, while other daemons that start wait.
func (s *Store) prepare(ctx context.Context, checks []Check) (err error) {
	db := s.pg.pool(2, forMigrating)
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
	if err := s.ask(ctx, db, postgresTables, checks); err != nil {
		return err
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
	s.pg.process = processPrefix + id
	// From version 14 on, where the server's system can do it.
	_, err = db.ExecContext(ctx, "SELECT set_config($1, $2, false)", connectionCheck, limits[connectionCheck])
	s.pg.watches = err == nil
	return nil
}

// apart is a pause and up to half of it more, another for each daemon, so that those that lost the same server do not all come
// back to it at once.
func (p *postgres) apart(pause time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(p.process)) // it never fails
	return pause + pause/2*time.Duration(h.Sum32()%16)/16
}
