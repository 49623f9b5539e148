package dialect

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

// Connections of one daemon. Together with the two for leading and listening, five daemons fit into a server's default limit of a
// hundred.
const (
	postgresWriters = 12
	postgresReaders = 4
)

// PostgresForm is the form of an address.
const PostgresForm = "postgres://user:password@host:5432/database"

// Advisory locks, which apply within one database: the class "both", and a number.
const (
	lockClass   = 0x626f7468
	migrateLock = 1
)

// oldestPostgres is the oldest supported version, as the server reports it.
const oldestPostgres = 13_00_00

// postgres is what a PostgreSQL database has besides its pools.
type postgres struct {
	config *pgx.ConnConfig
	// process tells this process's notifications from those of others.
	process string
	retries atomic.Uint32
	// watches: the server can check whether the client of a running statement is still connected.
	watches bool
}

// ProcessPrefix begins the application_name of each bothyd at the server.
const ProcessPrefix = "bothyd "

// OpenPostgres opens the database at an address and migrates its schema.
func OpenPostgres(ctx context.Context, dsn string, ask Ask) (*DB, error) {
	d, err := NewPostgres(dsn)
	if err != nil {
		return nil, err
	}
	if err := d.prepare(ctx, ask); err != nil {
		return nil, err
	}
	d.Write = d.pg.pool(postgresWriters, forWriting)
	d.Read = d.pg.pool(postgresReaders, forReading)
	return d, nil
}

// NewPostgres parses the address of a database. It does not connect.
func NewPostgres(dsn string) (*DB, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The cause is left out: it shows the address, which may contain a password.
		return nil, fleet.Errorf(fleet.CodeInvalid, "open store: the PostgreSQL address is invalid").
			WithHint("write it as %s", PostgresForm)
	}
	config.ConnectTimeout = ConnectTimeout
	return &DB{
		Where: path.Join(config.Host, config.Database), pg: &postgres{config: config},
		ForUpdate: " FOR NO KEY UPDATE", SkipLocked: " FOR NO KEY UPDATE SKIP LOCKED", ForShare: " FOR SHARE",
	}, nil
}

// pool returns a pool of up to n connections for a use. It does not connect yet.
func (p *postgres) pool(n int, use use) *sql.DB {
	db := stdlib.OpenDB(*p.configured(use), stdlib.OptionShouldPing(isCutOff))
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db
}

// Listen opens a separate, long-lived connection to PostgreSQL.
func (d *DB) Listen(ctx context.Context) (*pgx.Conn, error) {
	return pgx.ConnectConfig(ctx, d.pg.configured(forListening))
}

// Process tells this process's notifications from those of others.
func (d *DB) Process() string { return d.pg.process }

// Unbounded returns a pool of a few connections to PostgreSQL without timeouts.
func (d *DB) Unbounded() *sql.DB { return d.pg.pool(2, forMigrating) }

// Config is the connection's configuration. Treat it as read-only.
func (d *DB) Config() *pgx.ConnConfig { return d.pg.config }

// firstPause is the pause before the second try of a transaction that lost a conflict.
const firstPause = 2 * time.Millisecond

// Pause returns how long to wait before the next attempt. The store uses no randomness: a counter spreads the transactions that lost to
// each other.
func (d *DB) Pause(attempt int) time.Duration {
	return firstPause << attempt * time.Duration(8+d.pg.retries.Add(5)%8) / 8
}

// prepare checks the server and the database and migrates the schema, while other daemons that start wait.
func (d *DB) prepare(ctx context.Context, ask Ask) (err error) {
	db := d.Unbounded()
	defer func() {
		if closeErr := db.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("open store: %w", closeErr)
		}
	}()
	if err := d.checkServer(ctx, db); err != nil {
		return err
	}
	// The lock ends with its connection.
	lock, err := db.Conn(ctx)
	if err != nil {
		return d.Fault(ctx, "open store", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if _, err := lock.ExecContext(ctx, "SELECT pg_advisory_lock($1, $2)", lockClass, migrateLock); err != nil {
		return d.Fault(ctx, "open store: wait for another daemon's migration", err)
	}
	if ask != nil {
		if err := ask(ctx, d, db, PostgresTables); err != nil {
			return err
		}
	}
	p, err := migrations.PostgreSQL(db)
	if err != nil {
		return fmt.Errorf("open store: %w", err)
	}
	return d.migrate(ctx, p)
}

// checkServer refuses an unsupported server and registers a name for this process.
func (d *DB) checkServer(ctx context.Context, db *sql.DB) error {
	var version int64
	var encoding, id string
	err := db.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding')").
		Scan(&version, &encoding)
	switch {
	case err != nil:
		return d.Fault(ctx, "open store", err)
	case version < oldestPostgres:
		return fleet.Errorf(fleet.CodeUnavailable, "open store: PostgreSQL at %s is too old (version %d)", d.Where, version/10_000).
			WithHint("use PostgreSQL %d or newer", oldestPostgres/10_000)
	case encoding != "UTF8":
		return fleet.Errorf(fleet.CodeUnavailable, "open store: the database %s has the encoding %s", d.Where, encoding).
			WithHint("create a database that can store all text: createdb --encoding UTF8 --template template0 NAME")
	}
	if err := db.QueryRowContext(ctx, "SELECT gen_random_uuid()").Scan(&id); err != nil {
		return d.Fault(ctx, "open store", err)
	}
	d.pg.process = ProcessPrefix + id
	// From version 14 on, if the server's operating system supports it.
	_, err = db.ExecContext(ctx, "SELECT set_config($1, $2, false)", connectionCheck, limits[connectionCheck])
	d.pg.watches = err == nil
	return nil
}

// Apart returns a pause plus up to half of it, different for each daemon, so that daemons that lost the same server do not all reconnect
// at once.
func (d *DB) Apart(pause time.Duration) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(d.pg.process)) // never fails
	return pause + pause/2*time.Duration(h.Sum32()%16)/16
}
