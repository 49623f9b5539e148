package format_test

import (
	"math"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/cli/format"
)

func TestMoney(t *testing.T) {
	for _, c := range []struct {
		micros   int64
		currency string
		want     string
	}{
		{0, "USD", "$0.0000"},
		{12_300, "USD", "$0.0123"},
		{12_349, "USD", "$0.0123"},
		{12_350, "USD", "$0.0124"},
		{99, "USD", "$0.000099"},
		{1, "", "$0.000001"},
		{100, "USD", "$0.0001"},
		{999_950, "USD", "$1.0000"},
		{1_234_567_890, "USD", "$1234.5679"},
		{-12_300, "USD", "-$0.0123"},
		{12_300, "EUR", "0.0123 EUR"},
		{-1, "EUR", "-0.000001 EUR"},
		{math.MaxInt64, "USD", "$9223372036854.7758"},
		{math.MinInt64, "USD", "-$9223372036854.7758"},
	} {
		if got := format.Money(c.micros, c.currency); got != c.want {
			t.Errorf("Money(%d, %q) = %q, want %q", c.micros, c.currency, got, c.want)
		}
	}
	for currency, want := range map[string]string{"USD": "$0.0100/h", "CHF": "0.0100 CHF/h"} {
		if got := format.Rate(10_000, currency); got != want {
			t.Errorf("Rate(10000, %q) = %q, want %q", currency, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"},
		{999 * time.Millisecond, "0s"},
		{42 * time.Second, "42s"},
		{time.Minute, "1m"},
		{9*time.Minute + 5*time.Second, "9m 5s"},
		{59*time.Minute + 59*time.Second, "59m"},
		{time.Hour, "1h"},
		{62 * time.Minute, "1h 2m"},
		{24 * time.Hour, "1d"},
		{51*time.Hour + time.Minute, "2d 3h"},
		{-90 * time.Second, "-1m 30s"},
		{math.MinInt64, "-106751d 23h"},
	} {
		if got := format.Duration(c.d); got != c.want {
			t.Errorf("Duration(%v) = %q, want %q", c.d, got, c.want)
		}
	}
}

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 512: "512 B", 1024: "1 KiB", 1536: "1.5 KiB", 512 << 20: "512 MiB", math.MaxInt64: "8388608 TiB"} {
		if got := format.Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %q, want %q", n, got, want)
		}
	}
	for s, want := range map[string]int64{"0": 0, "1048576": 1 << 20, "512MiB": 512 << 20, "512 mib": 512 << 20, "2G": 2 << 30, "1.5GB": 3 << 29, "7B": 7, "3k": 3 << 10} {
		if got, err := format.ParseBytes(s); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "MiB", "-1", "lots", "1XiB", "NaN", "Inf", "9e18TiB", "1MiBMiB"} {
		if got, err := format.ParseBytes(s); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", s, got)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		s     string
		width int
		want  string
	}{{"hello", 5, "hello"}, {"hello", 4, "hel…"}, {"häuser", 3, "hä…"}, {"x", 0, ""}, {"", 0, ""}, {"hello", -3, ""}} {
		if got := format.Fit(c.s, c.width); got != c.want {
			t.Errorf("Fit(%q, %d) = %q, want %q", c.s, c.width, got, c.want)
		}
	}
}

func TestWord(t *testing.T) {
	for s, want := range map[string]string{
		"/a/b-c_d.e/.": "/a/b-c_d.e/.", "/with space/.": "'/with space/.'", "it's": `'it'\''s'`, "": "''", "$HOME": "'$HOME'", "~": "'~'", "é": "'é'",
	} {
		if got := format.Word(s); got != want {
			t.Errorf("Word(%q) = %s, want %s", s, got, want)
		}
	}
}
