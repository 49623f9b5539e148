package blueprint

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This is as much of HCL's lexical structure as it takes to tell blocks,
// attributes, strings and expressions apart. Terraform itself parses the files afterwards;
// what is read here differently than there must be refused here, so anything
// unusual is an error.

type tokenKind int

const (
	tokWord   tokenKind = iota // an identifier or a number
	tokString                  // a quoted string or heredoc; text is its literal content
	tokPunct                   // one character of punctuation
	tokLine                    // the end of a line
)

type hclToken struct {
	kind      tokenKind
	text      string
	line, col int
	// inner holds what stands within ${ } and %{ } of a string; such a string is no literal.
	inner    []hclToken
	template bool
}

// syntaxError is a place where the lexer or the parser gave up.
type syntaxError struct {
	line, col int
	found     string
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%d:%d: %s", e.line, e.col, e.found) }

const maxTemplateDepth = 20

type hclLexer struct {
	src       string
	pos       int
	line, col int
	depth     int
}

func lexHCL(src string) (tokens []hclToken, err error) {
	l := &hclLexer{src: src, line: 1, col: 1}
	defer func() {
		if p := recover(); p != nil {
			e, ok := p.(*syntaxError)
			if !ok {
				panic(p)
			}
			err = e
		}
	}()
	return l.tokens(""), nil
}

func (l *hclLexer) fail(format string, args ...any) {
	panic(&syntaxError{line: l.line, col: l.col, found: fmt.Sprintf(format, args...)})
}

func (l *hclLexer) rest() string { return l.src[l.pos:] }

// step moves over n bytes.
func (l *hclLexer) step(n int) {
	for _, r := range l.src[l.pos : l.pos+n] {
		if l.col++; r == '\n' {
			l.line, l.col = l.line+1, 1
		}
	}
	l.pos += n
}

// tokens reads until the end of the file, or until the brace that closes a template.
func (l *hclLexer) tokens(closing string) []hclToken {
	var out []hclToken
	braces := 0
	for l.pos < len(l.src) {
		rest := l.rest()
		r, size := utf8.DecodeRuneInString(rest)
		t := hclToken{kind: tokPunct, text: string(r), line: l.line, col: l.col}
		switch {
		case r == '\n':
			t.kind = tokLine
			l.step(1)
		case r == ' ' || r == '\t' || strings.HasPrefix(rest, "\r\n"):
			l.step(1)
			continue
		case r == '#' || strings.HasPrefix(rest, "//"):
			l.step(lineLength(rest))
			continue
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				l.fail("a comment without an end")
			}
			l.step(end + 4)
			continue
		case r == '"':
			l.quoted(&t)
		case strings.HasPrefix(rest, "<<"):
			l.heredoc(&t)
		case wordStart(r) || unicode.IsDigit(r):
			n := strings.IndexFunc(rest, func(r rune) bool { return !wordStart(r) && !unicode.IsDigit(r) && r != '-' })
			if n < 0 {
				n = len(rest)
			}
			t.kind, t.text = tokWord, rest[:n]
			l.step(n)
		case r == '}' && closing != "" && braces == 0:
			return out
		case strings.ContainsRune("{}[]()=.,:?!<>+-*/%&|~", r):
			if r == '{' {
				braces++
			} else if r == '}' {
				braces--
			}
			l.step(size)
		default:
			l.fail("the character %q", r)
		}
		out = append(out, t)
	}
	if closing != "" {
		l.fail("a template without an end")
	}
	return out
}

func wordStart(r rune) bool { return r == '_' || unicode.IsLetter(r) }

func lineLength(s string) int {
	if n := strings.IndexByte(s, '\n'); n >= 0 {
		return n
	}
	return len(s)
}

func (l *hclLexer) quoted(t *hclToken) {
	t.kind, t.text = tokString, ""
	l.step(1)
	var text strings.Builder
	for {
		rest := l.rest()
		switch {
		case rest == "" || rest[0] == '\n':
			l.fail("a string without an end")
		case rest[0] == '"':
			l.step(1)
			t.text = text.String()
			return
		case rest[0] == '\\':
			if len(rest) < 2 || rest[1] == '\n' {
				l.fail("a string without an end")
			}
			// What it stands for does not matter here: no name that is allowed needs one.
			text.WriteString(rest[:2])
			l.step(2)
		case l.template(t):
		default:
			_, size := utf8.DecodeRuneInString(rest)
			text.WriteString(rest[:size])
			l.step(size)
		}
	}
}

// template reads ${...} or %{...} if one begins here; $${ and %%{ are text.
func (l *hclLexer) template(t *hclToken) bool {
	rest := l.rest()
	if strings.HasPrefix(rest, "$${") || strings.HasPrefix(rest, "%%{") {
		l.step(3)
		t.template = true
		return true
	}
	if !strings.HasPrefix(rest, "${") && !strings.HasPrefix(rest, "%{") {
		return false
	}
	t.template = true
	l.step(2)
	if l.depth++; l.depth > maxTemplateDepth {
		l.fail("templates nested deeper than %d", maxTemplateDepth)
	}
	t.inner = append(t.inner, l.tokens("}")...)
	l.depth--
	l.step(1)
	return true
}

func (l *hclLexer) heredoc(t *hclToken) {
	head := l.rest()[:lineLength(l.rest())]
	mark := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(head, "<<"), "-"), "\r")
	if mark == "" || strings.ContainsFunc(mark, func(r rune) bool { return !wordStart(r) && !unicode.IsDigit(r) && r != '-' }) {
		l.fail("<< that begins no text block")
	}
	t.kind, t.text = tokString, ""
	l.step(len(head))
	for l.pos < len(l.src) {
		if l.rest()[0] == '\n' {
			l.step(1)
			if line := l.rest()[:lineLength(l.rest())]; strings.TrimSpace(line) == mark {
				// The newline after the mark stays: it ends the attribute.
				l.step(len(line))
				return
			}
			continue
		}
		t.template = true // never taken for a plain name
		if !l.template(t) {
			_, size := utf8.DecodeRuneInString(l.rest())
			l.step(size)
		}
	}
	l.fail("a text block without its closing %s", mark)
}
