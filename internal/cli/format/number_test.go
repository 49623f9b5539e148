package format_test

import (
	"math"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/cli/format"
)

func TestParseDecimalIsExactOrAnError(t *testing.T) {
	for _, c := range []struct {
		text   string
		digits int
		want   int64
	}{
		{"0", 0, 0}, {"7", 0, 7}, {"007", 0, 7}, {"0.05", 6, 50_000}, {"20", 6, 20_000_000}, {"1.5", 3, 1500}, {"0.001", 3, 1},
		{"9223372036854.775807", 6, math.MaxInt64}, {"0.000001", 6, 1}, {"0.100000", 6, 100_000},
	} {
		if got, err := format.ParseDecimal(c.text, c.digits); err != nil || got != c.want {
			t.Errorf("ParseDecimal(%q, %d) = %d, %v; want %d", c.text, c.digits, got, err, c.want)
		}
	}
	for _, c := range []struct {
		text   string
		digits int
	}{
		{"", 6}, {"-1", 6}, {"+1", 6}, {"-0", 6}, {"1e3", 6}, {"1e400", 6}, {"NaN", 6}, {"Inf", 6}, {"0x10", 6}, {"1_000", 6}, {"1,5", 6}, {" 1", 6},
		{".5", 6}, {"5.", 6}, {"1.5", 0}, {"0.0000001", 6}, {"9223372036854.775808", 6}, {"99999999999999999999", 0}, {"١", 0}, {"1\n", 0}, {"$1", 6},
	} {
		if got, err := format.ParseDecimal(c.text, c.digits); err == nil {
			t.Errorf("ParseDecimal(%q, %d) = %d, want an error", c.text, c.digits, got)
		}
	}
}

// What is printed is read back, and what is read is the number to the last digit.
func TestDecimalsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Min(0).Draw(t, "n")
		digits := rapid.IntRange(0, 6).Draw(t, "digits")
		text := format.Decimal(n, digits)
		exact, ok := new(big.Rat).SetString(text)
		if want := new(big.Rat).SetFrac(big.NewInt(n), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(digits)), nil)); !ok || exact.Cmp(want) != 0 {
			t.Fatalf("Decimal(%d, %d) = %q", n, digits, text)
		}
		if strings.Contains(text, ".") && strings.HasSuffix(text, "0") {
			t.Fatalf("Decimal(%d, %d) = %q ends in a zero", n, digits, text)
		}
		if got, err := format.ParseDecimal(text, digits); err != nil || got != n {
			t.Fatalf("ParseDecimal(%q, %d) = %d, %v; want %d", text, digits, got, err, n)
		}
	})
}

func TestCountNamesOneThingAlone(t *testing.T) {
	for n, want := range map[int]string{0: "0 files", 1: "1 file", 2: "2 files"} {
		if got := format.Count(n, "file"); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestPairsAreSortedAndClean(t *testing.T) {
	if got := format.Pairs(map[string]any{"b": 2, "a": "x\x1b[31m"}); got != `a=x\u001b[31m b=2` {
		t.Errorf("Pairs = %q", got)
	}
}
