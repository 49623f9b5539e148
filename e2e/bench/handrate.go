package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// bareDatabase is a database without bothy.
type bareDatabase struct {
	driver, dsn string
	// writers is how many write at once; skip makes a query skip rows that others have locked.
	writers int
	skip    string
}

// bareSQLite is a file that syncs to disk like bothy's.
func bareSQLite(path string) bareDatabase {
	options := url.Values{"_pragma": {"journal_mode(WAL)", "synchronous(FULL)"}, "_txlock": {"immediate"}}
	name := url.URL{Scheme: "file", Path: path, OmitHost: true, RawQuery: options.Encode()}
	return bareDatabase{driver: "sqlite", dsn: name.String(), writers: 1}
}

func barePostgres(dsn string) bareDatabase {
	return bareDatabase{driver: "pgx", dsn: dsn, writers: clients, skip: " FOR UPDATE SKIP LOCKED"}
}

// handRate is the least that a script would do for the same result: a table of warm environments and a log, one transaction to claim one,
// another for the handover. No quotas, no cost, no API, no notifications.
func (b *bench) handRate(ctx context.Context, bare bareDatabase) (r rated, err error) {
	db, err := sql.Open(bare.driver, bare.dsn)
	if err != nil {
		return r, fmt.Errorf("open a database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(bare.writers)
	db.SetMaxIdleConns(bare.writers)
	b.say("claiming %d by hand", b.rate)
	err = inOne(ctx, db, func(tx *sql.Tx) error { return b.bareTables(ctx, tx) })
	if err != nil {
		return r, fmt.Errorf("fill a table by hand: %w", err)
	}
	take := `UPDATE warm SET state = 'claimed', holder = $1 WHERE id = (
		SELECT id FROM warm WHERE state = 'warm' ORDER BY ready_at, id LIMIT 1` + bare.skip + `) RETURNING id`
	claim := func(i, who int) error {
		var id string
		holder := fmt.Sprintf("user-%d", who)
		err := inOne(ctx, db, func(tx *sql.Tx) error {
			if err := tx.QueryRowContext(ctx, take, holder).Scan(&id); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO done (id, what, holder) VALUES ($1, 'claimed', $2)", id, holder)
			return err
		})
		if err != nil {
			return fmt.Errorf("claim %d by hand: %w", i, err)
		}
		return inOne(ctx, db, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, "UPDATE warm SET state = 'leased' WHERE id = $1", id); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO done (id, what, holder) VALUES ($1, 'ready', $2)", id, holder)
			return err
		})
	}
	return b.warmedUp(claim)
}

func (b *bench) bareTables(ctx context.Context, tx *sql.Tx) error {
	for _, statement := range []string{
		"CREATE TABLE warm (id TEXT PRIMARY KEY, state TEXT NOT NULL, holder TEXT NOT NULL, ready_at BIGINT NOT NULL)",
		"CREATE INDEX warm_ready ON warm (ready_at, id) WHERE state = 'warm'",
		"CREATE TABLE done (id TEXT NOT NULL, what TEXT NOT NULL, holder TEXT NOT NULL)",
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	for i := range b.rate {
		if _, err := tx.ExecContext(ctx, "INSERT INTO warm VALUES ($1, 'warm', '', $2)", fmt.Sprintf("env-%d", i), i); err != nil {
			return err
		}
	}
	return nil
}

// inOne runs fn in one transaction.
func inOne(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
