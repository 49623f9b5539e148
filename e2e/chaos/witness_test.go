package chaos_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// witness writes down, by triggers inside the database, what every committed transaction did to rows and
// usage. It is no part of bothy, so it shows also what bothy itself would not.
type witness struct{ db *sql.DB }

// witnessSQLite and witnessPostgres note each move of a state, each generation that goes back, each value
// of a scope's usage, and how many members of a pool exist whenever one is added.
var witnessSQLite = []string{
	`CREATE TABLE witness (seq INTEGER PRIMARY KEY, what TEXT NOT NULL, id TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL, n BIGINT NOT NULL)`,
	`CREATE TRIGGER witness_state AFTER UPDATE ON environments WHEN OLD.state <> NEW.state BEGIN
		INSERT INTO witness (what, id, old, new, n) VALUES ('state', NEW.id, OLD.state, NEW.state, 0); END`,
	`CREATE TRIGGER witness_back AFTER UPDATE ON environments
		WHEN NEW.work_generation < OLD.work_generation OR NEW.revision <> OLD.revision + 1 AND NEW.revision <> OLD.revision BEGIN
		INSERT INTO witness (what, id, old, new, n) VALUES ('back', NEW.id, '', '', NEW.revision); END`,
	`CREATE TRIGGER witness_member AFTER INSERT ON environments WHEN NEW.pool <> '' BEGIN
		INSERT INTO witness (what, id, old, new, n) SELECT 'member', NEW.pool, '', '', COUNT(*) FROM environments
		WHERE pool = NEW.pool AND state IN ('pending', 'provisioning', 'warm'); END`,
	`CREATE TRIGGER witness_usage AFTER UPDATE ON usage BEGIN
		INSERT INTO witness (what, id, old, new, n) VALUES ('usage', NEW.kind || '/' || NEW.tenant || '/' || NEW.name, '', '', NEW.environments); END`,
	`CREATE TRIGGER witness_usage_first AFTER INSERT ON usage BEGIN
		INSERT INTO witness (what, id, old, new, n) VALUES ('usage', NEW.kind || '/' || NEW.tenant || '/' || NEW.name, '', '', NEW.environments); END`,
}

var witnessPostgres = []string{
	`CREATE TABLE witness (seq BIGSERIAL PRIMARY KEY, what TEXT NOT NULL, id TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL, n BIGINT NOT NULL)`,
	`CREATE FUNCTION witness_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF TG_OP = 'INSERT' THEN
			IF NEW.pool <> '' THEN
				INSERT INTO witness (what, id, old, new, n) SELECT 'member', NEW.pool, '', '', COUNT(*) FROM environments
				WHERE pool = NEW.pool AND state IN ('pending', 'provisioning', 'warm');
			END IF;
			RETURN NEW;
		END IF;
		IF OLD.state <> NEW.state THEN
			INSERT INTO witness (what, id, old, new, n) VALUES ('state', NEW.id, OLD.state, NEW.state, 0);
		END IF;
		IF NEW.work_generation < OLD.work_generation OR NEW.revision <> OLD.revision + 1 AND NEW.revision <> OLD.revision THEN
			INSERT INTO witness (what, id, old, new, n) VALUES ('back', NEW.id, '', '', NEW.revision);
		END IF;
		RETURN NEW;
	END $$`,
	`CREATE TRIGGER witness_row AFTER INSERT OR UPDATE ON environments FOR EACH ROW EXECUTE FUNCTION witness_row()`,
	`CREATE FUNCTION witness_usage() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		INSERT INTO witness (what, id, old, new, n)
		VALUES ('usage', NEW.kind || '/' || NEW.tenant || '/' || NEW.name, '', '', NEW.environments);
		RETURN NEW;
	END $$`,
	`CREATE TRIGGER witness_usage AFTER INSERT OR UPDATE ON usage FOR EACH ROW EXECUTE FUNCTION witness_usage()`,
}

// openWitness makes the schema, when it is not there, and the triggers.
func openWitness(ctx context.Context, dsn string) (w *witness, err error) {
	migrated, err := store.Open(ctx, dsn)
	if err != nil {
		return nil, err
	}
	if err := migrated.Close(); err != nil {
		return nil, err
	}
	w, statements := &witness{}, witnessPostgres
	if path, ok := strings.CutPrefix(dsn, "sqlite://"); ok {
		name := url.URL{Scheme: "file", Path: path, OmitHost: true, RawQuery: "_pragma=busy_timeout(10000)"}
		w.db, err = sql.Open("sqlite", name.String())
		statements = witnessSQLite
	} else {
		w.db, err = sql.Open("pgx", dsn)
	}
	if err != nil {
		return nil, err
	}
	w.db.SetMaxOpenConns(2)
	for _, statement := range statements {
		if _, err := w.db.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("call the witness: %w: %s", err, statement), w.db.Close())
		}
	}
	return w, nil
}

func (w *witness) close() error { return w.db.Close() }

// highest gives the most that was ever committed of a kind of count, for one id.
func (w *witness) highest(ctx context.Context, what, id string) (n int64, err error) {
	err = w.db.QueryRowContext(ctx, "SELECT COALESCE(MAX(n), 0) FROM witness WHERE what = $1 AND id = $2", what, id).Scan(&n)
	return n, err
}

// claims counts how often any warm environment was given to somebody.
func (w *witness) claims(ctx context.Context) (n int, err error) {
	err = w.db.QueryRowContext(ctx, "SELECT COUNT(*) FROM witness WHERE what = 'state' AND old = 'warm' AND new = 'leased'").Scan(&n)
	return n, err
}

// histories checks every environment's states, from the first to the last.
func (w *witness) histories(ctx context.Context) (wrong []string, err error) {
	rows, err := w.db.QueryContext(ctx, "SELECT what, id, old, new, n FROM witness WHERE what IN ('state', 'back') ORDER BY seq")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	leased := map[string]int{}
	for rows.Next() {
		var what, id string
		var old, next fleet.State
		var n int64
		if err := rows.Scan(&what, &id, &old, &next, &n); err != nil {
			return nil, err
		}
		switch {
		case what == "back":
			wrong = append(wrong, fmt.Sprintf("%s: its generation went back, or its revision is not the next one: %d", id, n))
		case !old.CanBecome(next):
			wrong = append(wrong, fmt.Sprintf("%s: %s became %s", id, old, next))
		case next == fleet.Leased:
			if leased[id]++; leased[id] > 1 {
				wrong = append(wrong, fmt.Sprintf("%s: it was handed over %d times", id, leased[id]))
			}
		}
	}
	return wrong, rows.Err()
}

// patience bounds every wait; a busy machine must not fail a test. How long it took is told beside each result.
const patience = 2 * time.Minute
