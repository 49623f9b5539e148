package format

import (
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// mark begins what bothy itself tells a terminal: its colours, and the erasing of a line. Nobody who chose a name or a message
// knows it, as it is another one in each process and NewWriter lets none out.
var mark = "\x1b" + rand.Text() + ";"

// eraseLine is bothy's own order to begin the line anew.
const eraseLine = "K"

// Paint colours text, by an SGR code; a writer of NewWriter makes escape sequences of it.
func Paint(code, text string) string { return mark + code + "m" + text + mark + "0m" }

// EraseLine begins the line anew; a writer of NewWriter makes an escape sequence of it.
func EraseLine() string { return mark + eraseLine }

// unsafe covers controls and the marks that reorder text on screen.
func unsafe(r rune) bool {
	return r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}

// Clean makes text that somebody else chose safe to show in a line: what would act on a terminal, a newline included, is made
// visible as \u001b, which is also how JSON writes it. Newlines at the end are dropped, paint stays.
func Clean(s string) string { return clean(strings.TrimRight(s, "\r\n"), false, nil) }

// clean makes visible what is unsafe, but newlines with lines. own writes what stands after a mark; nil keeps marks as they are.
func clean(s string, lines bool, own func(string) string) string {
	bad := func(r rune) bool { return unsafe(r) && (r != '\n' || !lines) }
	if !strings.ContainsFunc(s, bad) && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		if code := ownCode(s[i:]); code != "" {
			if own != nil {
				b.WriteString(own(code))
			} else {
				b.WriteString(mark + code)
			}
			i += len(mark) + len(code)
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if bad(r) {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r) // utf8.RuneError for a byte that is no text
		}
		i += size
	}
	return b.String()
}

// ownCode is what stands after the mark that s begins with, "" when it begins with none.
func ownCode(s string) string {
	after, found := strings.CutPrefix(s, mark)
	if !found {
		return ""
	}
	return after[:strings.IndexAny(after, "mK")+1]
}

// sequence is the escape sequence of what stands after a mark.
func sequence(code string) string {
	if code == eraseLine {
		return "\r\x1b[K"
	}
	return "\x1b[" + code
}

// visible is a text's width without its paint.
func visible(s string) int {
	return utf8.RuneCountInString(clean(s, true, func(string) string { return "" }))
}

// NewWriter is the one door to a terminal, file or pipe for what commands print: whatever was forgotten before, nothing that acts
// on a terminal passes but bothy's own paint. Lines stay lines, and JSON stays JSON of the same meaning.
func NewWriter(w io.Writer) io.Writer { return &door{w: w} }

type door struct {
	mu   sync.Mutex
	w    io.Writer
	held []byte // the beginning of a character whose rest is to come
}

// Write gives len(p) when all of p, but the beginning of a character at its end, was written.
func (d *door) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	whole := slices.Concat(d.held, p)
	cut := len(whole)
	for n := 1; n < utf8.UTFMax && n <= len(whole); n++ {
		if at := len(whole) - n; utf8.RuneStart(whole[at]) {
			if !utf8.FullRune(whole[at:]) {
				cut = at
			}
			break
		}
	}
	text := clean(string(whole[:cut]), true, sequence)
	d.held = append([]byte(nil), whole[cut:]...)
	if _, err := io.WriteString(d.w, text); err != nil {
		return 0, err
	}
	return len(p), nil
}
