package strictyaml_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/strictyaml"
)

// refused maps each kind of document that we do not take to what is said about it.
var refused = map[string]string{
	"a: &x 1\nb: *x\n":       "f:1:4: a: got an anchor (&), want a plain value; write it out\nf:2:4: b: got an alias (*), want a plain value; write it out",
	"&k a: 1\n":              `f:1:1: got an anchor, want a word as key`,
	"a: 1\n<<: {b: 2}\n":     `f:2:1: got a merge key, want a word as key`,
	"a: {b: 1, <<: {c: 1}}":  `f:1:11: a: got a merge key, want a word as key`,
	"a: !!str 1\n":           `f:1:4: a: got a tag (!), want a plain value without one`,
	"!x {a: 1}\n":            `f:1:1: got a tag (!), want a plain value without one`,
	"%YAML 1.2\n---\na: 1\n": `f:1:1: got a directive (%), want plain YAML without one`,
	"a: 1\n---\nb: 2\n":      `f:3:1: got a second document, want one document in a file`,
	"a: 1\nb: {c: 1}\na: 2":  `f:3:1: a: got this key a second time, want it once (line 1 has it)`,
	"a: {b: 1, \"b\": 2}":    `f:1:11: a.b: got this key a second time, want it once (line 1 has it)`,
	"a: .nan\nb: -.inf":      "f:1:4: a: got .nan, want a finite number\nf:2:4: b: got -.inf, want a finite number",
	"a: 0x1f\n":              `f:1:4: a: got 0x1f, want a decimal number that fits 64 bits; in quotes if text is meant`,
	"a: 1_000\n":             `f:1:4: a: got 1_000, want a decimal number that fits 64 bits; in quotes if text is meant`,
	"a: 99999999999999999999": `f:1:4: a: got 99999999999999999999, ` +
		`want a decimal number that fits 64 bits; in quotes if text is meant`,
	"a: 1e999\n":          `f:1:4: a: got 1e999, want a decimal number that fits 64 bits; in quotes if text is meant`,
	"a: True\n":           `f:1:4: a: got True, want true or false; in quotes if text is meant`,
	"1: 2\n":              `f:1:1: got the key 1, want a word as key`,
	"? a\n: b\n":          `f:1:1: got a key written with ?, want a word as key`,
	"a:\n\t- b\n":         "f:2:1: got a tab, want spaces (within double quotes, \\t)",
	"a: b # c\td\n":       "f:1:9: got a tab, want spaces (within double quotes, \\t)",
	"\uFEFFa: 1\n":        `f:1:1: got a byte order mark, want text in UTF-8 without one`,
	"a: \"x\xff\"\n":      `f:1:6: got the byte 0xff, want text in UTF-8`,
	"a: x\x00\n":          `f:1:5: got the control character U+0000, want printable text`,
	"a: x\ry\n":           `f:1:5: got the control character U+000D, want printable text`,
	"a: \"x\n":            `f:1:4: got text that is not valid YAML (could not find end character of double-quoted text), want "key: value" lines, indented with spaces`,
	"a: b: c\n":           `f:1:4: got text that is not valid YAML (mapping value is not allowed in this context), want "key: value" lines, indented with spaces`,
	"a: {\"b c\": &x 1}":  `f:1:12: a["b c"]: got an anchor (&), want a plain value; write it out`,
	"a: [x, {b: .nan}]\n": `f:1:12: a[1].b: got .nan, want a finite number`,
}

func TestRefusesWhatIsNotPlainAndSaysWhere(t *testing.T) {
	for doc, want := range refused {
		if got := problem(doc); got != want {
			t.Errorf("%q\n got %s\nwant %s", doc, got, want)
		}
	}
}

func problem(doc string) string {
	d, err := strictyaml.Parse("f", []byte(doc))
	if err == nil {
		err = d.Err()
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestReadsPlainDocuments(t *testing.T) {
	doc := "---\r\n# comment\r\n\"a\": [1, -2.5, true, x, 'true', \"\\t\", 1.0.0, 2024-01-01]\r\nb:\r\n  - c: |\r\n      two\r\n      lines\r\n    d: ~\r\n  - {}\r\ne: é\r\n...\r\n"
	d, err := strictyaml.Parse("f", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"a": []any{int64(1), -2.5, true, "x", "true", "\t", "1.0.0", "2024-01-01"},
		"b": []any{map[string]any{"c": "two\nlines\n", "d": nil}, map[string]any{}},
		"e": "é",
	}
	if diff := cmp.Diff(want, plain(d.Root)); diff != "" || d.Err() != nil {
		t.Errorf("%v, -want +got:\n%s", d.Err(), diff)
	}
}

func plain(n *strictyaml.Node) any {
	switch n.Kind {
	case strictyaml.Map:
		m := map[string]any{}
		for _, f := range n.Fields() {
			m[f.Key] = plain(f.Value)
		}
		return m
	case strictyaml.List:
		l := []any{}
		for _, i := range n.Items() {
			l = append(l, plain(i))
		}
		return l
	}
	return n.Value
}

// bombs are inputs that grow, nest or confuse. Each must be refused quickly.
func bombs() map[string]string {
	lol := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'z'; c++ {
		lol += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*%c,", c-1), 9), ","))
	}
	stairs := ""
	for i := range 600 {
		stairs += strings.Repeat(" ", i) + "a:\n"
	}
	const n = strictyaml.MaxBytes
	return map[string]string{
		"billion laughs":   lol,
		"stairs":           stairs,
		"a byte too many":  strings.Repeat("#", n+1),
		"brackets":         strings.Repeat("[", n),
		"braces":           strings.Repeat("{", n),
		"dashes":           strings.Repeat("- ", n/2),
		"brackets, few":    strings.Repeat("[", 7900),
		"brackets, closed": strings.Repeat("[", 3900) + strings.Repeat("]", 3900),
		"braces, few":      strings.Repeat("{a: ", 1900) + strings.Repeat("}", 1900),
		"dashes, few":      strings.Repeat("- ", 3900),
		"question marks":   strings.Repeat("? ", 3900),
		"colons":           strings.Repeat("a: ", 2600),
		"anchors":          strings.Repeat("&a ", 3900),
		"tags":             strings.Repeat("! ", 3900),
		"many keys":        strings.Repeat("a: b\n", n/5),
		"1,001 values":     "a: [" + strings.Repeat("x,", 1000) + "]",
		"documents":        strings.Repeat("---\n", n/4),
		"directives":       strings.Repeat("%a\n", n/3),
		"an endless quote": "a: \"" + strings.Repeat("\n", n-4),
	}
}

func TestBombsAreRefusedQuickly(t *testing.T) {
	for name, doc := range bombs() {
		start := time.Now() // a bound on work, not a measure: two orders above what it takes
		got := problem(doc)
		if took := time.Since(start); took > time.Minute {
			t.Errorf("%s: answered after %v", name, took)
		}
		if name != "documents" && got == "" {
			t.Errorf("%s: accepted", name)
		}
		if len(got) > 300_000 {
			t.Errorf("%s: the answer has %d bytes", name, len(got))
		}
	}
}

func TestBoundsAreExact(t *testing.T) {
	nested := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	values := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("x,", n-1), ",") + "]" }
	blocks := func(depth int) string { return strings.Repeat("- ", depth-1) + "x" }
	for name, c := range map[string]struct{ good, bad, want string }{
		"depth":  {nested(strictyaml.MaxDepth), nested(strictyaml.MaxDepth + 1), "f:1:21: got nesting deeper than 20, want at most 20 levels"},
		"blocks": {blocks(strictyaml.MaxDepth), blocks(strictyaml.MaxDepth + 1), "f:1:41: got nesting deeper than 20, want at most 20 levels"},
		"values": {values(strictyaml.MaxNodes), values(strictyaml.MaxNodes + 1), "f:1:2000: got more than 1000 values, want at most 1000"},
		"bytes":  {"#" + strings.Repeat("x", strictyaml.MaxBytes-1), "#" + strings.Repeat("x", strictyaml.MaxBytes), "f:1:1: got 262145 bytes, want at most 262144"},
	} {
		if got := problem(c.good); got != "" {
			t.Errorf("%s: at the bound: %s", name, got)
		}
		if got := problem(c.bad); got != c.want {
			t.Errorf("%s: past the bound: got %s, want %s", name, got, c.want)
		}
	}
}

// Every value is reported at the line and column it was written at, whatever stands around it.
func TestPlacesAreRight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var doc strings.Builder
		type place struct{ line, col int }
		want := map[string]place{}
		line := 1
		write := func(s string) { doc.WriteString(s); line += strings.Count(s, "\n") }
		for i := range rapid.IntRange(1, 12).Draw(t, "keys") {
			key := fmt.Sprintf("k%d", i)
			write(rapid.SampledFrom([]string{"", "\n", "# note\n", "\r\n", "  # é: [\n"}).Draw(t, "before"))
			switch rapid.IntRange(0, 4).Draw(t, "shape") {
			case 0:
				gap := rapid.IntRange(1, 4).Draw(t, "gap")
				want[key] = place{line, len(key) + 2 + gap}
				write(key + ":" + strings.Repeat(" ", gap) + "7 # é\n")
			case 1:
				want[key+".in"] = place{line + 1, 7}
				write(key + ":\n  in: 7\n")
			case 2:
				want[key+"[1]"] = place{line + 2, 3}
				write(key + ":\n- x\n- 7\n")
			case 3:
				want[key+".b"] = place{line, len(key) + 13}
				write(key + ": {a: é, b: 7}\n")
			case 4:
				write(key + ": |\n  text: 7\n\n  more\n")
			}
		}
		d, err := strictyaml.Parse("f", []byte(doc.String()))
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc.String())
		}
		got := map[string]place{}
		var walk func(n *strictyaml.Node)
		walk = func(n *strictyaml.Node) {
			switch n.Kind {
			case strictyaml.Map:
				for _, f := range n.Fields() {
					walk(f.Value)
				}
			case strictyaml.List:
				for _, i := range n.Items() {
					walk(i)
				}
			case strictyaml.Int:
				got[n.Path] = place{n.Line, n.Col}
			}
		}
		walk(d.Root)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(place{})); diff != "" {
			t.Fatalf("-want +got:\n%s\nof\n%s", diff, doc.String())
		}
	})
}

func FuzzParse(f *testing.F) {
	for doc := range refused {
		f.Add([]byte(doc))
	}
	for _, doc := range bombs() {
		f.Add([]byte(doc[:min(len(doc), 2000)]))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := strictyaml.Parse("f", data)
		if err == nil {
			plain(d.Root)
			err = d.Err()
		}
		if err == nil {
			return
		}
		for _, e := range err.(strictyaml.Errors) { //nolint:errorlint // the contract: this very type
			if e.Line < 1 || e.Col < 1 || e.Line > strings.Count(string(data), "\n")+2 || e.Found == "" || e.Want == "" {
				t.Fatalf("an error without a place in the file: %+v", e)
			}
		}
	})
}

// A file that its keeper is trusted with may be longer; a user's may not.
func TestParseUpToRaisesTheBoundOnValues(t *testing.T) {
	list := func(n int) []byte { return []byte("a: [" + strings.Repeat("1, ", n-1) + "1]\n") }
	if _, err := strictyaml.Parse("f", list(strictyaml.MaxNodes)); err == nil {
		t.Error("a user's file of too many values was read")
	}
	if _, err := strictyaml.ParseUpTo(5000, "f", list(4000)); err != nil {
		t.Error(err)
	}
	if _, err := strictyaml.ParseUpTo(5000, "f", list(5000)); err == nil || !strings.Contains(err.Error(), "want at most 5000") {
		t.Errorf("beyond the raised bound: %v", err)
	}
}
