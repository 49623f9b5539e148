package migrations

import (
	"context"
	"database/sql"

	"github.com/pressly/goose/v3"
)

// wakes makes PostgreSQL notify every daemon of each committed change, on the channel "bothy": the writer's application_name, a newline,
// and the id of the environment, empty for a change of something else. Every change by a decision has an event. SQLite has one daemon and
// nobody to notify.
func wakes(dialect goose.Dialect) *goose.Migration {
	var up, down []string
	if dialect == goose.DialectPostgres {
		up = []string{
			`CREATE FUNCTION bothy_wake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF TG_TABLE_NAME = 'events' THEN
					PERFORM pg_notify('bothy', current_setting('application_name') || E'\n' || NEW.environment_id);
				ELSE
					PERFORM pg_notify('bothy', current_setting('application_name') || E'\n' || NEW.id);
				END IF;
				RETURN NULL;
			END $$`,
			// A heartbeat keeps the revision, and nobody needs to know of it.
			`CREATE TRIGGER bothy_wake_insert AFTER INSERT ON environments FOR EACH ROW EXECUTE FUNCTION bothy_wake()`,
			`CREATE TRIGGER bothy_wake_update AFTER UPDATE ON environments FOR EACH ROW
				WHEN (OLD.revision <> NEW.revision) EXECUTE FUNCTION bothy_wake()`,
			`CREATE TRIGGER bothy_wake_event AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION bothy_wake()`,
		}
		down = []string{
			"DROP TRIGGER bothy_wake_event ON events",
			"DROP TRIGGER bothy_wake_update ON environments",
			"DROP TRIGGER bothy_wake_insert ON environments",
			"DROP FUNCTION bothy_wake()",
		}
	}
	return goose.NewGoMigration(6, &goose.GoFunc{RunTx: statements(up)}, &goose.GoFunc{RunTx: statements(down)})
}

func statements(all []string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		for _, one := range all {
			if _, err := tx.ExecContext(ctx, one); err != nil {
				return err
			}
		}
		return nil
	}
}
