package record

import (
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// EventColumns are bound to the fields of an Event by eventFields.
const EventColumns = "seq, at, environment_id, pool, host, tenant, team, owner, kind, message, data, actor"

func eventFields(e *fleet.Event) []any {
	return []any{
		&e.Seq, sqlkit.Time(&e.At), &e.EnvironmentID, &e.Pool, &e.Host, &e.Tenant, &e.Team, &e.User,
		&e.Kind, sqlkit.Text(&e.Message), (*string)(&e.Data), &e.Actor,
	}
}

// ScanEvent reads one event.
func ScanEvent(row sqlkit.Scanner) (e fleet.Event, err error) {
	err = row.Scan(eventFields(&e)...)
	return e, err
}

// EventRows returns events as rows of InsertEvents, each with its offset as its number.
func EventRows(events []fleet.Event) ([][]any, error) {
	rows := make([][]any, len(events))
	for i, e := range events {
		if err := e.Data.Check(); err != nil {
			return nil, fleet.Errorf(fleet.CodeInternal, "record event %s: %w", e.Kind, err)
		}
		e.Seq = placeFromLast(i, len(events))
		rows[i] = eventFields(&e)
	}
	return rows, nil
}
