package format

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var decimal = regexp.MustCompile(`^[0-9]{1,19}(\.[0-9]{1,18})?$`)

// ParseDecimal parses a non-negative number with at most digits decimals exactly: it returns 1500 for "1.5" and three
// digits. It never rounds: a number that does not fit is an error.
func ParseDecimal(s string, digits int) (int64, error) {
	wrong := fmt.Errorf("got %q, want a number from 0 with at most %d decimals, for example 1.5", s, digits)
	if digits == 0 {
		wrong = fmt.Errorf("got %q, want a whole number from 0", s)
	}
	whole, part, _ := strings.Cut(s, ".")
	if !decimal.MatchString(s) || len(part) > digits {
		return 0, wrong
	}
	n, err := strconv.ParseInt(whole+part+strings.Repeat("0", digits-len(part)), 10, 64)
	if err != nil {
		return 0, wrong
	}
	return n, nil
}

// Decimal formats a number for ParseDecimal, without trailing zeros: "1.5" for 1500 and three digits.
func Decimal(n int64, digits int) string {
	s := fmt.Sprintf("%0*d", digits+1, n)
	whole, part := s[:len(s)-digits], strings.TrimRight(s[len(s)-digits:], "0")
	if part == "" {
		return whole
	}
	return whole + "." + part
}

// Count formats a number with a noun: "1 file", "2 files".
func Count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
