package fake

import (
	"strconv"
	"strings"
	"unicode"
)

// The shell knows commands with words, single and double quotes, $NAME, $$, $?,
// NAME=value, the joints ; && || and newline, and the redirections >&2 and >FILE. No more.

// simpleCommand is one command of a script.
type simpleCommand struct {
	words []string
	// after is the joint before it: ";", "&&" or "||".
	after string
	// toStderr and toFile redirect its output.
	toStderr bool
	toFile   string
}

// script runs a script and gives its last exit code.
func (p *process) script(text string) int {
	code := 0
	vars := func(name string) string { return p.vars[name] }
	for rest, joint := text, ";"; rest != "" && !p.exiting && p.ctx.Err() == nil; {
		var c simpleCommand
		var next string
		c, next, rest = parseCommand(rest, vars, code)
		c.after, joint = joint, next
		if len(c.words) == 0 || c.after == "&&" && code != 0 || c.after == "||" && code == 0 {
			continue
		}
		code = p.simple(c)
	}
	return code
}

func (p *process) simple(c simpleCommand) int {
	for len(c.words) > 0 {
		name, value, ok := strings.Cut(c.words[0], "=")
		if !ok || strings.ContainsFunc(name, notInName) || name == "" {
			break
		}
		p.vars[name], c.words = value, c.words[1:]
	}
	if len(c.words) == 0 {
		return 0
	}
	out := p.out
	defer func() { p.out = out }()
	switch {
	case c.toStderr:
		p.out = p.err
	case c.toFile != "":
		var text strings.Builder
		p.out = &text
		code := p.run(c.words)
		n := &node{Mode: 0o644, User: p.user, Data: []byte(text.String())}
		return max(code, p.change("sh", c.toFile, n))
	}
	return p.run(c.words)
}

func notInName(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }

// parseCommand reads up to the next joint; variables are expanded as they are now.
func parseCommand(text string, vars func(string) string, code int) (c simpleCommand, joint, rest string) {
	var word strings.Builder
	inWord, quote, redirect := false, byte(0), false
	end := func() {
		switch {
		case !inWord:
			return
		case redirect:
			c.toFile, redirect = word.String(), false
		default:
			c.words = append(c.words, word.String())
		}
		word.Reset()
		inWord = false
	}
	for i := 0; i < len(text); i++ {
		ch := text[i]
		switch {
		case quote == '\'' && ch != '\'', quote == '"' && ch != '"' && ch != '$':
			word.WriteByte(ch)
		case quote != 0 && ch == quote:
			quote = 0
		case quote == 0 && (ch == '\'' || ch == '"'):
			quote, inWord = ch, true
		case ch == '$':
			value, used := expand(text[i+1:], vars, code)
			word.WriteString(value)
			i += used
			inWord = true
		case strings.HasPrefix(text[i:], ">&2"):
			end()
			c.toStderr = true
			i += 2
		case ch == '>':
			end()
			redirect = true
		case ch == ';' || ch == '\n':
			end()
			return c, ";", text[i+1:]
		case strings.HasPrefix(text[i:], "&&") || strings.HasPrefix(text[i:], "||"):
			end()
			return c, text[i : i+2], text[i+2:]
		case ch == ' ' || ch == '\t':
			end()
		default:
			word.WriteByte(ch)
			inWord = true
		}
	}
	end()
	return c, ";", ""
}

// expand returns the value of the variable at the start of text, and how many bytes named it.
func expand(text string, vars func(string) string, code int) (string, int) {
	switch {
	case strings.HasPrefix(text, "$"):
		return "1", 1
	case strings.HasPrefix(text, "?"):
		return strconv.Itoa(code), 1
	case strings.HasPrefix(text, "{"):
		name, _, ok := strings.Cut(text[1:], "}")
		if ok {
			return vars(name), len(name) + 2
		}
	}
	n := strings.IndexFunc(text, notInName)
	if n < 0 {
		n = len(text)
	}
	if n == 0 {
		return "$", 0
	}
	return vars(text[:n]), n
}
