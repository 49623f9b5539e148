package cmdutil

import (
	"math"
	"time"

	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/spec"
)

// microDigits are the decimals of an amount of money: millionths of the currency's unit.
const microDigits = 6

// MostCount is the greatest count that a flag accepts.
const MostCount = 1_000_000

// Count parses a flag's whole number, from 0 to MostCount.
func Count(flag, text string) (int64, error) {
	n, err := format.ParseDecimal(text, 0)
	if err != nil || n > MostCount {
		return 0, Usagef("--%s: got %q, want a whole number from 0 to %d", flag, text, MostCount)
	}
	return n, nil
}

// Decimal parses a flag's number with at most digits decimals, in units of the last decimal.
func Decimal(flag, text string, digits int) (int64, error) {
	n, err := format.ParseDecimal(text, digits)
	if err != nil {
		return 0, Usagef("--%s: %w", flag, err)
	}
	return n, nil
}

// Money parses an amount into millionths of the currency's unit; what names the flag or argument.
func Money(what, text string) (int64, error) {
	n, err := format.ParseDecimal(text, microDigits)
	if err != nil {
		return 0, Usagef("%s: got %q, want an amount from 0 to %s with at most %d decimals, such as 0.05", what, text, format.Decimal(math.MaxInt64, microDigits), microDigits)
	}
	return n, nil
}

// Span parses a flag's duration of whole seconds.
func Span(flag, text string) (time.Duration, error) {
	d, err := spec.ParseTTL(text)
	if err != nil {
		return 0, Usagef("--%s: %w", flag, err)
	}
	if d < time.Second {
		return 0, Usagef("--%s: got %q, want at least 1s", flag, text)
	}
	return d, nil
}

// Moment parses a flag's time, a duration ago or an RFC 3339 time; empty text is the zero time. It calls now, the daemon's clock,
// only for a duration, because the daemon wrote the times to compare with.
func Moment(flag, text string, now func() (time.Time, error)) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	d, err := spec.ParseTTL(text)
	if err != nil {
		return time.Time{}, Usagef("--%s: got %q, want a duration such as 10m or a time such as 2026-01-31T15:04:05Z", flag, text)
	}
	at, err := now()
	return at.Add(-d), err
}
