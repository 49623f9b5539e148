package cmdutil

import (
	"math"
	"time"

	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/spec"
)

// microDigits are the decimals of an amount of money: millionths of the currency's unit.
const microDigits = 6

// MostCount is the greatest count that a flag takes.
const MostCount = 1_000_000

// Count reads a flag's whole number, from 0 to MostCount.
func Count(flag, text string) (int64, error) {
	n, err := format.ParseDecimal(text, 0)
	if err != nil || n > MostCount {
		return 0, Usagef("--%s: got %q, want a whole number from 0 to %d", flag, text, MostCount)
	}
	return n, nil
}

// Decimal reads a flag's number with at most digits decimals, in units of the last of them.
func Decimal(flag, text string, digits int) (int64, error) {
	n, err := format.ParseDecimal(text, digits)
	if err != nil {
		return 0, Usagef("--%s: %w", flag, err)
	}
	return n, nil
}

// Money reads an amount in millionths of the currency's unit; what names the flag or argument.
func Money(what, text string) (int64, error) {
	n, err := format.ParseDecimal(text, microDigits)
	if err != nil {
		return 0, Usagef("%s: got %q, want an amount from 0 to %s with at most %d decimals, such as 0.05", what, text, format.Decimal(math.MaxInt64, microDigits), microDigits)
	}
	return n, nil
}

// Span reads a flag's duration of whole seconds.
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

// Moment reads a flag's time, a duration ago or one as in RFC 3339: the zero time when text is empty. now is asked only for the
// first, and is the daemon's clock: what is compared was written by that.
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
