package record

import "time"

// PeriodsOf returns the UTC day ("2026-05-06") and month ("2026-05") in which spend at a moment counts.
func PeriodsOf(at time.Time) (day, month string) {
	at = at.UTC()
	return at.Format(time.DateOnly), at.Format("2006-01")
}
