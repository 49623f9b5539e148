package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Advisory locks, which count within one database: the class "both", and a number.
const (
	lockClass   = 0x626f7468
	migrateLock = 1
	leadLock    = 2
)

// A leader looks whether its connection still lives that often, and gives it that long to answer.
const (
	leadCheck  = 2 * time.Second
	leadAnswer = 3 * time.Second
)

// Lead tries to become the one controller among the daemons of this database. On PostgreSQL that is
// who holds an advisory lock, on a connection of its own, until resign; lost is closed when the
// connection broke, at most 5 s after another may lead. On SQLite it is always true, and lost nil.
// Leading is for thrift, not for safety: what a controller records is checked against revisions.
// resign waits until another may lead.
func (s *Store) Lead(ctx context.Context) (lead bool, lost <-chan struct{}, resign func(), err error) {
	if s.pg == nil {
		return true, nil, func() {}, nil
	}
	if led, err := s.led(ctx); err != nil || led {
		return false, nil, nil, s.fault(ctx, "elect controller", err)
	}
	conn, err := s.pg.connect(ctx)
	if err != nil {
		return false, nil, nil, s.fault(ctx, "elect controller", err)
	}
	if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1, $2)", lockClass, leadLock).Scan(&lead); err != nil || !lead {
		_ = conn.Close(ctx) // nothing was held by it
		return false, nil, nil, s.fault(ctx, "elect controller", err)
	}
	gone, watched := make(chan struct{}), make(chan struct{})
	until, stop := context.WithCancel(context.Background())
	go func() {
		defer close(watched)
		if watch(until, conn) != nil {
			close(gone)
		}
	}()
	resign = func() {
		stop()
		<-watched
	}
	return true, gone, resign, nil
}

// led reports whether some daemon leads. It spares those that ask again and again a connection each time.
func (s *Store) led(ctx context.Context) (led bool, err error) {
	const query = `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = $1 AND objid = $2
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`
	err = s.read.QueryRowContext(ctx, query, lockClass, leadLock).Scan(&led)
	return led, err
}

// watch keeps the leader's connection until a context ends, and then gives up the lead; or it gives why the
// connection broke. Either way it is closed then.
func watch(until context.Context, conn *pgx.Conn) error {
	defer func() {
		last, cancel := context.WithTimeout(context.Background(), leadAnswer)
		defer cancel()
		_ = conn.Close(last) // the server frees the lock when it is gone, however it went
	}()
	for {
		if err := quiet(until, conn); err != nil {
			return err
		}
		if until.Err() != nil {
			// A server that is only told good-bye frees the lock a moment later.
			return ask(conn, "SELECT pg_advisory_unlock($1, $2)", lockClass, leadLock)
		}
		if err := ask(conn, "SELECT 1"); err != nil {
			return err
		}
	}
}

// quiet waits for leadCheck, or until a context ends. A connection that breaks meanwhile is noticed at once.
func quiet(until context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(until, leadCheck)
	defer cancel()
	// Nothing is listened to on this connection: the wait ends by the time or by an error.
	if _, err := conn.WaitForNotification(ctx); err != nil && (ctx.Err() == nil || conn.IsClosed()) {
		return fmt.Errorf("wait: %w", err)
	}
	return nil
}

// ask gives the server leadAnswer to answer.
func ask(conn *pgx.Conn, statement string, args ...any) error {
	ctx, cancel := context.WithTimeout(context.Background(), leadAnswer)
	defer cancel()
	_, err := conn.Exec(ctx, statement, args...)
	return err
}
