package format_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/cli/format"
)

func TestCleanShowsWhatWouldActOnATerminal(t *testing.T) {
	for _, c := range []struct{ text, clean, strip string }{
		{"plain\ttext", "plain\ttext", "plain\ttext"},
		{"\x1b[31mred\x1b[0m", `\u001b[31mred\u001b[0m`, "red"},
		{"\x1b]0;title\x07after", `\u001b]0;title\u0007after`, "after"},
		{"\x1b]8;;http://x\x1b\\link", `\u001b]8;;http://x\u001b\link`, "link"},
		{"a\rb\nc\x00d\x7f\x9b", "a\\u000db\\u000ac\\u0000d\\u007f\ufffd", "abcd\ufffd"},
		{"\u202egnp.exe", `\u202egnp.exe`, "gnp.exe"},
		{"\x1b", `\u001b`, ""},
		{"\x1bP never ends", `\u001bP never ends`, ""},
		{"\xff\xfe", "\ufffd\ufffd", "\ufffd\ufffd"},
		{"gr\u00fc\u00dfe \u4e16\u754c", "gr\u00fc\u00dfe \u4e16\u754c", "gr\u00fc\u00dfe \u4e16\u754c"},
		{"\u009b31mC1", `\u009b31mC1`, "31mC1"},
		{"a line's end\r\n", "a line's end", "a line's end"},
	} {
		if got := format.Clean(c.text); got != c.clean {
			t.Errorf("Clean(%q) = %q, want %q", c.text, got, c.clean)
		}
		if got := format.Strip(c.text); got != c.strip {
			t.Errorf("Strip(%q) = %q, want %q", c.text, got, c.strip)
		}
	}
}

// nasty draws text of what acts on terminals, is cut in the middle of characters, or looks like paint.
func nasty() *rapid.Generator[string] {
	piece := rapid.SampledFrom([]string{
		"\x1b", "[", "]0;", "\a", "\x9b", "\xc2", "\u009b", "\u202e", "\u2066", "\r", "\n", "\t", "\x00", "\x7f", "m", "31m", "K", "a", "\\", `"`, "\u4e16", "\xe4\xb8",
		";", "\x1bAAAAAAAAAAAAAAAAAAAAAAAAAA;31m",
	})
	return rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOf(piece).Draw(t, "pieces"), "") })
}

func acts(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return r != '\t' && r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
	}) || !utf8.ValidString(s)
}

// TestNothingPassesTheDoor: in whatever pieces it is written, and JSON means the same after it.
func TestNothingPassesTheDoor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := nasty().Draw(t, "text")
		if got := format.Clean(text); acts(got) || strings.Contains(got, "\n") {
			t.Fatalf("Clean left %q", got)
		}
		var whole, parts strings.Builder
		w := format.NewWriter(&parts)
		for rest := text; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "n")
			if wrote, err := w.Write([]byte(rest[:n])); err != nil || wrote != n {
				t.Fatal(wrote, err)
			}
			rest = rest[n:]
		}
		if _, err := format.NewWriter(&whole).Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if acts(parts.String()) || parts.String() != whole.String() {
			t.Fatalf("in parts %q, at once %q", parts.String(), whole.String())
		}
		var b strings.Builder
		enc := json.NewEncoder(format.NewWriter(&b))
		enc.SetEscapeHTML(false)
		if err := enc.Encode(map[string]string{text: text}); err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		valid := strings.ToValidUTF8(text, "\ufffd")
		if err := json.Unmarshal([]byte(b.String()), &got); err != nil || acts(b.String()) || len(got) != 1 {
			t.Fatalf("JSON %q: %v", b.String(), err)
		}
		for k, v := range got {
			if k != v || strings.ReplaceAll(v, "\ufffd", "") != strings.ReplaceAll(valid, "\ufffd", "") {
				t.Fatalf("JSON means %q, want %q", v, valid)
			}
		}
	})
}

// TestPaintPassesTheDoor: bothy's own colours do, at once and in cells, and take no room.
func TestPaintPassesTheDoor(t *testing.T) {
	var b strings.Builder
	w := format.NewWriter(&b)
	rows := [][]string{{"NAME", "STATE"}, {format.Paint("1", "web\x1b[2J"), "ok\nforged"}, {"a-long-long-long-name", ""}}
	if err := format.Table(w, rows); err != nil {
		t.Fatal(err)
	}
	want := "NAME                   STATE\n\x1b[1mweb\\u001b[2J\x1b[0m           ok\\u000aforged\na-long-long-long-name\n"
	if b.String() != want {
		t.Errorf("Table = %q, want %q", b.String(), want)
	}
	b.Reset()
	if _, err := w.Write([]byte(format.EraseLine() + format.Paint("32", "x"))); err != nil || b.String() != "\r\x1b[K\x1b[32mx\x1b[0m" {
		t.Errorf("paint = %q, %v", b.String(), err)
	}
}
