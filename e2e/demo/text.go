package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// elapsed prints a duration to the tenth of a second, cut and not rounded: "4.2s", "2m05.0s", "1h02m03s".
func elapsed(d time.Duration) string {
	if d < 0 {
		return "-" + elapsed(-d)
	}
	tenths := int64(d / (100 * time.Millisecond))
	s := tenths / 10
	switch {
	case s < 60:
		return fmt.Sprintf("%d.%ds", s, tenths%10)
	case s < 3600:
		return fmt.Sprintf("%dm%02d.%ds", s/60, s%60, tenths%10)
	default:
		return fmt.Sprintf("%dh%02dm%02ds", s/3600, s/60%60, s%60)
	}
}

// money prints millionths of a currency's unit to the last digit: "$0.001709".
func money(micros int64, currency string) string {
	sign, abs := "", uint64(micros)
	if micros < 0 {
		sign, abs = "-", -abs
	}
	amount := fmt.Sprintf("%d.%06d", abs/1e6, abs%1e6)
	if currency == "USD" {
		return sign + "$" + amount
	}
	return sign + amount + " " + currency
}

// plural is "1 test", "5 tests".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// longestLine bounds a shown line of output, in bytes; the log has it in full.
const longestLine = 300

// printable makes a line of output safe to show: without control characters, so that no escape sequence from a sandbox reaches the
// terminal, and not too long.
func printable(line string) string {
	line = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
	if len(line) > longestLine {
		cut := longestLine
		for !utf8.RuneStart(line[cut]) {
			cut--
		}
		line = line[:cut] + "..."
	}
	return line
}

// commandLine prints arguments as one would type them in a shell.
func commandLine(argv []string) string {
	quoted := make([]string, len(argv))
	for i, a := range argv {
		quoted[i] = quote(a)
	}
	return strings.Join(quoted, " ")
}

func quote(arg string) string {
	plain := func(r rune) bool {
		return r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./:=,@%+", r))
	}
	if arg != "" && strings.IndexFunc(arg, func(r rune) bool { return !plain(r) }) < 0 {
		return arg
	}
	return "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
}

// row is one line of the closing table.
type row struct {
	what, figure, note string
	// failed: a promise was broken.
	failed bool
}

// table lays out rows in columns, figures to the right; the lines have no newline.
func table(rows []row) []string {
	var what, figure int
	for _, r := range rows {
		what, figure = max(what, utf8.RuneCountInString(r.what)), max(figure, utf8.RuneCountInString(r.figure))
	}
	lines := make([]string, len(rows))
	for i, r := range rows {
		mark := "ok  "
		if r.failed {
			mark = "FAIL"
		}
		lines[i] = strings.TrimRight(fmt.Sprintf("%s  %-*s  %*s  %s", mark, what, r.what, figure, r.figure, r.note), " ")
	}
	return lines
}
