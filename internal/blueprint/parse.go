package blueprint

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Limits of a blueprint's Terraform. They are checked before parsing: the parser uses a hundred bytes or more per token, and recurses
// with the nesting.
const (
	maxTokens = 30_000
	maxDepth  = 30
	// maxRun is how many tokens of one expression may follow each other without a comma, a newline or a text between them: operators nest
	// without brackets.
	maxRun = 250
	// maxErrors is how many problems are reported.
	maxErrors = 20
)

// parseHCL parses one file, if it is within the limits. budget is how many tokens the directory has left.
func (c *checker) parseHCL(name string, budget *int) *hclsyntax.Body {
	src := c.files[name]
	if at, what := oddCharacter(src); what != "" {
		c.failAt(name, position(src, at), what, "plain text: UTF-8 with line feeds")
		return nil
	}
	if *budget < 0 {
		return nil // it is reported
	}
	if *budget -= atMostTokens(src); *budget < 0 {
		c.failAt(name, hcl.InitialPos, fmt.Sprintf("more than %d words and signs in the blueprint's Terraform", maxTokens), "less of it")
		return nil
	}
	tokens, diags := hclsyntax.LexConfig(src, name, hcl.InitialPos)
	if !diags.HasErrors() {
		if at, what := tooDeep(tokens); what != "" {
			c.failAt(name, at, what, "simpler expressions")
			return nil
		}
		var file *hcl.File
		if file, diags = hclsyntax.ParseConfig(src, name, hcl.InitialPos); !diags.HasErrors() {
			body, _ := file.Body.(*hclsyntax.Body) // by ParseConfig's contract
			return body
		}
	}
	for _, d := range diags[:min(len(diags), maxErrors)] {
		at := hcl.InitialPos
		if d.Subject != nil {
			at = d.Subject.Start
		}
		c.failAt(name, at, oneLine(strings.ToLower(d.Summary[:1])+d.Summary[1:]+": "+d.Detail, 300), "Terraform that can be read")
	}
	c.more += max(0, len(diags)-maxErrors)
	return nil
}

// oddCharacter finds characters that Terraform would drop, or that are invisible in a text.
func oddCharacter(src []byte) (at int, what string) {
	for at < len(src) {
		r, size := utf8.DecodeRune(src[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			return at, fmt.Sprintf("the byte %#x, which is not UTF-8", src[at])
		case r == '\n' || r == '\t':
		case unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			return at, fmt.Sprintf("the character %U", r)
		}
		at += size
	}
	return 0, ""
}

// position returns the line and the column, in characters, of a byte.
func position(src []byte, at int) hcl.Pos {
	before := src[:at]
	begin := bytes.LastIndexByte(before, '\n') + 1
	return hcl.Pos{Line: 1 + bytes.Count(before, []byte("\n")), Column: 1 + utf8.RuneCount(before[begin:]), Byte: at}
}

// atMostTokens counts the tokens of a text without parsing it: never too few, and too many only for words in texts and comments. Each
// word counts one, and so does each sign.
func atMostTokens(src []byte) int {
	const other, digit, letter = 0, 1, 2
	n, last := 0, other
	for _, b := range src {
		kind := other
		switch {
		case b >= '0' && b <= '9':
			kind = digit
		case b >= 'a' && b <= 'z', b >= 'A' && b <= 'Z', b == '_':
			kind = letter
		}
		// A digit continues a name and a number, a letter only a name.
		continues := last == letter && kind != other || last == digit && kind == digit
		if !continues && b != ' ' && b != '\t' {
			n++
		}
		if !continues || last == digit {
			last = kind
		}
	}
	return n
}

// tooDeep finds brackets, texts or operators that nest too deeply.
func tooDeep(tokens hclsyntax.Tokens) (hcl.Pos, string) {
	type frame struct {
		run, directives int
		// lines: a newline ends an expression, except in lists, brackets, texts and "for".
		lines, begun bool
	}
	frames := []frame{{lines: true, begun: true}}
	for _, t := range tokens {
		top := &frames[len(frames)-1]
		if !top.begun && t.Type != hclsyntax.TokenNewline && t.Type != hclsyntax.TokenComment {
			top.begun = true
			top.lines = top.lines && string(t.Bytes) != "for"
		}
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc,
			hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			top.run++
			if t.Type == hclsyntax.TokenTemplateControl {
				top.directives++
			}
			frames = append(frames, frame{lines: t.Type == hclsyntax.TokenOBrace})
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc,
			hclsyntax.TokenTemplateSeqEnd:
			if len(frames) > 1 {
				frames = frames[:len(frames)-1]
			}
		case hclsyntax.TokenComma, hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit:
			top.run = 0
		case hclsyntax.TokenNewline, hclsyntax.TokenComment:
			if top.lines {
				top.run = 0
			}
		default:
			top.run++
		}
		switch {
		case len(frames) > maxDepth:
			return t.Range.Start, fmt.Sprintf("nesting deeper than %d", maxDepth)
		case top.run > maxRun:
			return t.Range.Start, fmt.Sprintf("an expression of more than %d parts in a row", maxRun)
		case top.directives > maxDepth:
			return t.Range.Start, fmt.Sprintf("more than %d template directives in one text", maxDepth)
		}
	}
	return hcl.Pos{}, ""
}

// oneLine makes a text fit a sentence.
func oneLine(text string, most int) string {
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) > most {
		text = string([]rune(text)[:most]) + "..."
	}
	return text
}
