package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// tokensPerNode bounds the parser's input: a value in a flow-style map has four tokens, an indented one no more.
const tokensPerNode = 8

// Parse parses a file. The error is of type Errors. Problems that do not prevent parsing the rest (a duplicate key, an alias) are
// collected in the Document.
func Parse(file string, data []byte) (*Document, error) { return ParseUpTo(MaxNodes, file, data) }

// ParseUpTo is Parse for a file of up to nodes values: longer than users' files, because its author is trusted with it.
func ParseUpTo(nodes int, file string, data []byte) (doc *Document, err error) {
	d := &Document{file: file, nodes: nodes}
	if d.scan(data); len(d.errs) > 0 {
		return nil, d.Err()
	}
	defer func() {
		// The parser is a third party's and has panicked on odd input before; a file must not crash a daemon.
		if p := recover(); p != nil {
			d.fail(1, 1, "", fmt.Sprintf("text that cannot be read as YAML (%v)", p), "plain maps, lists and scalars")
			doc, err = nil, d.Err()
		}
	}()
	tokens := lexer.Tokenize(string(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))))
	if d.weigh(tokens); len(d.errs) > 0 {
		return nil, d.Err()
	}
	tree, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return nil, d.Err()
	}
	b := builder{doc: d}
	d.Root = b.file(tree)
	if b.over {
		return nil, d.Err()
	}
	return d, nil
}

// scan refuses characters that no file may have.
func (d *Document) scan(data []byte) {
	if len(data) > MaxBytes {
		d.fail(1, 1, "", fmt.Sprintf("%d bytes", len(data)), fmt.Sprintf("at most %d", MaxBytes))
		return
	}
	line, col := 1, 1
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			d.fail(line, col, "", fmt.Sprintf("the byte 0x%02x", data[i]), "text in UTF-8")
			return
		case r == '\uFEFF':
			d.fail(line, col, "", "a byte order mark", "text in UTF-8 without one")
			return
		case r == '\t':
			d.fail(line, col, "", "a tab", `spaces (within double quotes, \t)`)
			return
		case r == '\n', r == '\r' && bytes.HasPrefix(data[i+1:], []byte("\n")):
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			d.fail(line, col, "", fmt.Sprintf("the control character %U", r), "printable text")
			return
		}
		i += size
		if col++; r == '\n' {
			line, col = line+1, 1
		}
	}
}

// weigh bounds the parser's work: it recurses, and its time grows with the square of the input.
func (d *Document) weigh(tokens token.Tokens) {
	count := 0
	for _, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		if count++; count > tokensPerNode*d.nodes {
			d.fail(t.Position.Line, t.Position.Column, "", fmt.Sprintf("more than %d values", d.nodes), fmt.Sprintf("at most %d", d.nodes))
			return
		}
	}
}

func (d *Document) syntax(err error) {
	line, col := 1, 1
	message := err.Error()
	if e, ok := errors.AsType[yaml.Error](err); ok {
		message = e.GetMessage()
		if t := e.GetToken(); t != nil && t.Position != nil {
			line, col = max(t.Position.Line, 1), max(t.Position.Column, 1)
		}
	}
	message, _, _ = strings.Cut(message, "\n")
	d.fail(line, col, "", "text that is not valid YAML ("+message+")", `"key: value" lines, indented with spaces`)
}

// place returns where a node begins. A map begins at its first key, not at its colon.
func place(n ast.Node) (line, col int) {
	switch n := n.(type) {
	case nil:
		return 1, 1
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return place(n.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return place(n.Key)
	}
	t := n.GetToken()
	if t == nil || t.Position == nil {
		return 1, 1
	}
	return max(t.Position.Line, 1), max(t.Position.Column, 1)
}
