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

// mark starts bothy's own terminal sequences: colours, and erasing a line. Text from elsewhere cannot contain it, because it is random
// in each process and NewWriter never prints it.
var mark = "\x1b" + rand.Text() + ";"

// eraseLine is bothy's own sequence to restart the line.
const eraseLine = "K"

// Paint colours text with an SGR code; a writer of NewWriter converts it to escape sequences.
func Paint(code, text string) string { return mark + code + "m" + text + mark + "0m" }

// EraseLine restarts the line; a writer of NewWriter converts it to an escape sequence.
func EraseLine() string { return mark + eraseLine }

// unsafe reports control characters and marks that reorder text on the screen.
func unsafe(r rune) bool {
	return r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}

// Clean makes text from elsewhere safe to show in a line: it escapes characters that act on a terminal, including newlines, as JSON
// does (\u001b). It drops trailing newlines and keeps paint.
func Clean(s string) string { return clean(strings.TrimRight(s, "\r\n"), false, nil) }

// clean escapes unsafe characters, except newlines if lines is set. own converts the code after a mark; nil keeps marks.
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
			b.WriteRune(r) // utf8.RuneError for an invalid byte
		}
		i += size
	}
	return b.String()
}

// ownCode returns the code after the mark at the start of s, "" without a mark.
func ownCode(s string) string {
	after, found := strings.CutPrefix(s, mark)
	if !found {
		return ""
	}
	return after[:strings.IndexAny(after, "mK")+1]
}

// sequence returns the escape sequence of a code.
func sequence(code string) string {
	if code == eraseLine {
		return "\r\x1b[K"
	}
	return "\x1b[" + code
}

// visible returns the width of a text without its paint.
func visible(s string) int {
	return utf8.RuneCountInString(clean(s, true, func(string) string { return "" }))
}

// NewWriter returns the only writer for the output of commands. It passes nothing that acts on a terminal except bothy's own paint,
// even if a command forgot to clean its text. Lines stay lines, and JSON keeps its meaning.
func NewWriter(w io.Writer) io.Writer { return &door{w: w} }

type door struct {
	mu   sync.Mutex
	w    io.Writer
	held []byte // an incomplete character
}

// Write returns len(p) once it has written p, except an incomplete character at the end, which it holds back.
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
