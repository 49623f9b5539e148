package record

import (
	"database/sql/driver"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/sqlkit"
)

// failureField binds a column to an environment's failure.
type failureField struct{ failure **fleet.Failure }

// failureJSON stores the time like every other time.
type failureJSON struct {
	Code     fleet.Code `json:"code"`
	Sentence string     `json:"sentence"`
	Hint     string     `json:"hint,omitempty"`
	At       int64      `json:"at"`
}

// Scan reads a JSON object, "" for none.
func (f failureField) Scan(src any) error {
	var kept *failureJSON
	if err := sqlkit.ReadJSON(src, &kept); err != nil {
		return err
	}
	*f.failure = nil
	if kept != nil {
		*f.failure = &fleet.Failure{Code: kept.Code, Sentence: kept.Sentence, Hint: kept.Hint, At: sqlkit.FromMicros(kept.At)}
	}
	return nil
}

// Value returns a JSON object, "" for none.
func (f failureField) Value() (driver.Value, error) {
	failure := *f.failure
	if failure == nil {
		return "", nil
	}
	return sqlkit.WriteJSON(failureJSON{
		Code: failure.Code, Sentence: sqlkit.Prose(failure.Sentence), Hint: sqlkit.Prose(failure.Hint), At: sqlkit.Micros(failure.At),
	})
}
