package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestElapsed(t *testing.T) {
	for _, c := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0.0s"},
		{99 * time.Millisecond, "0.0s"},
		{4250 * time.Millisecond, "4.2s"},
		{59999 * time.Millisecond, "59.9s"},
		{time.Minute, "1m00.0s"},
		{2*time.Minute + 5*time.Second + 70*time.Millisecond, "2m05.0s"},
		{time.Hour - time.Millisecond, "59m59.9s"},
		{time.Hour + 2*time.Minute + 3*time.Second, "1h02m03s"},
		{100 * time.Hour, "100h00m00s"},
		{-1500 * time.Millisecond, "-1.5s"},
	} {
		if got := elapsed(c.d); got != c.want {
			t.Errorf("elapsed(%s) = %q, want %q", c.d, got, c.want)
		}
	}
}

func TestMoney(t *testing.T) {
	for _, c := range []struct {
		micros   int64
		currency string
		want     string
	}{
		{0, "USD", "$0.000000"},
		{1709, "USD", "$0.001709"},
		{12_345_678, "USD", "$12.345678"},
		{-5, "USD", "-$0.000005"},
		{1_000_000, "EUR", "1.000000 EUR"},
		{-1 << 63, "USD", "-$9223372036854.775808"},
	} {
		if got := money(c.micros, c.currency); got != c.want {
			t.Errorf("money(%d, %s) = %q, want %q", c.micros, c.currency, got, c.want)
		}
	}
}

func TestPlural(t *testing.T) {
	for n, want := range map[int]string{0: "0 tests", 1: "1 test", 5: "5 tests"} {
		if got := plural(n, "test"); got != want {
			t.Errorf("plural(%d) = %q, want %q", n, got, want)
		}
	}
}

// What comes out of a sandbox is shown on somebody's terminal.
func TestPrintableLetsNoControlThrough(t *testing.T) {
	if got, want := printable("\x1b[31mred\x1b[0m\ta\x00b\u202ec"), "[31mred[0m abc"; got != want {
		t.Errorf("printable = %q, want %q", got, want)
	}
	rapid.Check(t, func(t *rapid.T) {
		line := string(rapid.SliceOfN(rapid.Byte(), 0, 2*longestLine).Draw(t, "line"))
		got := printable(line)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("printable(%q) = %q has control characters", line, got)
		}
		if len(got) > longestLine+len("...") {
			t.Fatalf("printable gives %d bytes, want %d at most", len(got), longestLine+3)
		}
	})
}

// The shell is the judge: what is shown, when typed, gives the same arguments.
func TestCommandLineIsWhatTheShellReads(t *testing.T) {
	argv := []string{"plain", "--user", "a b", "", "it's", `"`, `\`, "$HOME", "`id`", "*", "a;b", "line\nbreak", "é", "hello:f_1.0-1.deb", "#", "~", "!x", "a=b", "-"}
	out, err := exec.Command("sh", "-c", `printf '%s\0' `+commandLine(argv)).Output()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(argv, strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")); diff != "" {
		t.Errorf("the shell read other arguments (-given +read):\n%s", diff)
	}
	if got, want := commandLine([]string{"bothy", "cp", "hello:a_1.0-1.deb", "."}), "bothy cp hello:a_1.0-1.deb ."; got != want {
		t.Errorf("command line %q, want it unquoted where that will do: %q", got, want)
	}
}

func TestTable(t *testing.T) {
	got := strings.Join(table([]row{
		{what: "time to ready", figure: "3.2s", note: "bothy up"},
		{what: "left", figure: "12", note: "network é", failed: true},
		{what: "é", figure: "1m27.4s"},
	}), "\n")
	want := strings.TrimPrefix(`
ok    time to ready     3.2s  bothy up
FAIL  left                12  network é
ok    é              1m27.4s`, "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	if got := table(nil); len(got) != 0 {
		t.Errorf("a table of nothing has lines: %q", got)
	}
}
