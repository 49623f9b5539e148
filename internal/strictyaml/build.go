package strictyaml

import (
	"fmt"
	"math"
	"regexp"
	"strconv"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// builder turns the parser's tree into nodes and reports unsupported YAML.
type builder struct {
	doc   *Document
	nodes int
	over  bool // a limit was exceeded; nothing further is built
}

func (b *builder) file(f *ast.File) *Node {
	var body ast.Node
	docs := 0
	for _, d := range f.Docs {
		if d.Body == nil {
			continue
		}
		if _, directive := d.Body.(*ast.DirectiveNode); directive {
			b.doc.fail(1, 1, "", "a directive (%)", "plain YAML without one")
			continue
		}
		if docs++; docs > 1 {
			line, col := place(d.Body)
			b.doc.fail(line, col, "", "a second document", "one document in a file")
			break
		}
		body = d.Body
	}
	if body == nil {
		return &Node{Kind: Null, Line: 1, Col: 1, doc: b.doc}
	}
	return b.node(body, "", 1)
}

func (b *builder) node(n ast.Node, path string, depth int) *Node {
	line, col := place(n)
	out := &Node{Line: line, Col: col, Path: path, doc: b.doc}
	if b.nodes++; b.nodes > b.doc.nodes && !b.over {
		b.over = true
		b.doc.fail(line, col, "", fmt.Sprintf("more than %d values", b.doc.nodes), fmt.Sprintf("at most %d", b.doc.nodes))
	}
	if depth > MaxDepth && !b.over {
		b.over = true
		b.doc.fail(line, col, "", fmt.Sprintf("nesting deeper than %d", MaxDepth), fmt.Sprintf("at most %d levels", MaxDepth))
	}
	if b.over {
		return out
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		b.fields(out, n.Values, depth)
	case *ast.MappingValueNode:
		b.fields(out, []*ast.MappingValueNode{n}, depth)
	case *ast.SequenceNode:
		out.Kind = List
		for i, v := range n.Values {
			out.items = append(out.items, b.node(v, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
	default:
		b.scalar(out, n)
	}
	return out
}

func (b *builder) fields(out *Node, values []*ast.MappingValueNode, depth int) {
	out.Kind = Map
	seen := map[string]int{}
	for _, v := range values {
		line, col := place(v.Key)
		name, ok := b.key(v.Key, out.Path)
		if !ok {
			continue
		}
		if first, twice := seen[name]; twice {
			b.doc.fail(line, col, join(out.Path, name), "this key a second time", fmt.Sprintf("it once (line %d has it)", first))
			continue
		}
		seen[name] = line
		value := b.node(v.Value, join(out.Path, name), depth+1)
		if value.Kind == Null && value.Line < line {
			value.Line, value.Col = line, col
		}
		out.fields = append(out.fields, Field{Key: name, Line: line, Col: col, Value: value})
		if b.over {
			return
		}
	}
}

func (b *builder) key(k ast.MapKeyNode, path string) (string, bool) {
	line, col := place(k)
	found := ""
	switch k := k.(type) {
	case *ast.StringNode:
		return k.Value, true
	case *ast.MergeKeyNode:
		found = "a merge key"
	case *ast.AnchorNode:
		found = "an anchor"
	case *ast.AliasNode:
		found = "an alias"
	case *ast.TagNode:
		found = "a tag"
	case *ast.MappingKeyNode:
		found = "a key written with ?"
	default:
		found = "the key " + k.String()
	}
	b.doc.fail(line, col, path, found, "a word as key")
	return "", false
}

var (
	decimalInt   = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)
	decimalFloat = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)
	// numberLike matches plain scalars that the parser reads as text only because they do not fit 64 bits.
	numberLike = regexp.MustCompile(`^[+-]?[0-9][0-9_]*(\.[0-9]*)?([eE][+-]?[0-9]+)?$`)
)

func (b *builder) scalar(out *Node, n ast.Node) {
	text := ""
	if t := n.GetToken(); t != nil {
		text = t.Value
	}
	bad := func(found, want string) { b.doc.fail(out.Line, out.Col, out.Path, found, want) }
	const plain = "a plain value"
	switch n := n.(type) {
	case *ast.NullNode:
		out.Kind = Null
	case *ast.BoolNode:
		if text != "true" && text != "false" {
			bad(text, "true or false; in quotes if text is meant")
			return
		}
		out.Kind, out.Value, out.source = Bool, n.Value, text
	case *ast.IntegerNode, *ast.FloatNode:
		b.number(out, text)
	case *ast.StringNode:
		if n.Token.Type == token.StringType && numberLike.MatchString(n.Value) {
			b.number(out, n.Value)
			return
		}
		out.Kind, out.Value = String, n.Value
	case *ast.LiteralNode:
		out.Kind, out.Value = String, n.Value.Value
	case *ast.InfinityNode, *ast.NanNode:
		bad(text, "a finite number")
	case *ast.AnchorNode:
		bad("an anchor (&)", plain+"; write it out")
	case *ast.AliasNode:
		bad("an alias (*)", plain+"; write it out")
	case *ast.MergeKeyNode:
		bad("a merge key (<<)", plain+"; write it out")
	case *ast.TagNode:
		bad("a tag (!)", plain+" without one")
	default:
		bad("something that is neither a map, a list nor a scalar", plain)
	}
}

// number accepts only decimal numbers: 0x1f, 010 and 1_000 mean different things to different readers.
func (b *builder) number(out *Node, text string) {
	const want = "a decimal number that fits 64 bits; in quotes if text is meant"
	out.source = text
	if decimalInt.MatchString(text) {
		if i, err := strconv.ParseInt(text, 10, 64); err == nil {
			out.Kind, out.Value = Int, i
			return
		}
	} else if decimalFloat.MatchString(text) {
		if f, err := strconv.ParseFloat(text, 64); err == nil && !math.IsInf(f, 0) {
			out.Kind, out.Value = Float, f
			return
		}
	}
	b.doc.fail(out.Line, out.Col, out.Path, text, want)
}
