package blueprint

import (
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// maxValue bounds the size of a blueprint's value, in bytes of its text. Templates can produce much from little: if each local repeats
// the one before it twice, the thirtieth is a thousand million times as long.
const maxValue = 1 << 20

// maxValues bounds all of them together.
const maxValues = 16 << 20

// The assumed sizes of values from outside, in bytes.
const outside = 4096

// size returns the most bytes that an expression's value may have, and with it the cost of computing it. in has the sizes of the names of
// loops. It never returns too little; too much is harmless for ordinary blueprints.
func (c *checker) size(e hclsyntax.Expression, in map[string]float64) float64 {
	sum := func(list ...hclsyntax.Expression) (n float64) {
		for _, one := range list {
			n += c.size(one, in)
		}
		return n
	}
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		return float64(e.SrcRange.End.Byte-e.SrcRange.Start.Byte) + 1
	case *hclsyntax.TemplateExpr:
		return sum(e.Parts...)
	case *hclsyntax.TemplateWrapExpr:
		return sum(e.Wrapped)
	case *hclsyntax.TemplateJoinExpr:
		return sum(e.Tuple)
	case *hclsyntax.ParenthesesExpr:
		return sum(e.Expression)
	case *hclsyntax.TupleConsExpr:
		return 2 + sum(e.Exprs...)
	case *hclsyntax.ObjectConsExpr:
		n := 2.0
		for _, item := range e.Items {
			n += sum(item.KeyExpr, item.ValueExpr)
		}
		return n
	case *hclsyntax.ObjectConsKeyExpr:
		if bareKey(e) != "" {
			return float64(len(bareKey(e)))
		}
		return sum(e.Wrapped)
	case *hclsyntax.ConditionalExpr:
		return sum(e.Condition) + max(sum(e.TrueResult), sum(e.FalseResult))
	case *hclsyntax.BinaryOpExpr:
		const digits = 200 // for a division, which is computed to 512 bits
		return digits + sum(e.LHS, e.RHS)
	case *hclsyntax.UnaryOpExpr:
		return 1 + sum(e.Val)
	case *hclsyntax.IndexExpr:
		return sum(e.Collection, e.Key)
	case *hclsyntax.SplatExpr:
		return sum(e.Source) * 2
	case *hclsyntax.RelativeTraversalExpr:
		return sum(e.Source)
	case *hclsyntax.ForExpr:
		return c.loopSize(e, in)
	case *hclsyntax.FunctionCallExpr:
		return c.callSize(e, in)
	case *hclsyntax.ScopeTraversalExpr:
		names := steps(e.Traversal)
		if n, ok := in[names[0]]; ok {
			return n
		}
		if names[0] == "local" && len(names) > 1 {
			return c.localSize(names[1])
		}
	}
	return outside
}

func (c *checker) localSize(name string) float64 {
	if n, known := c.sizes[name]; known {
		return n
	}
	c.sizes[name] = 0 // Terraform refuses a local that refers to itself
	if e := c.locals[name]; e != nil {
		c.sizes[name] = c.size(e, nil)
	}
	return c.sizes[name]
}

// loopSize: each element of the list produces one of the result, which may be as long as the whole list.
func (c *checker) loopSize(e *hclsyntax.ForExpr, in map[string]float64) float64 {
	list := c.size(e.CollExpr, in)
	rounds := list
	switch literal := e.CollExpr.(type) {
	case *hclsyntax.TupleConsExpr:
		rounds = float64(len(literal.Exprs))
	case *hclsyntax.ObjectConsExpr:
		rounds = float64(len(literal.Items))
	}
	inner := map[string]float64{e.KeyVar: list, e.ValVar: list}
	for name, n := range in {
		if _, hidden := inner[name]; !hidden {
			inner[name] = n
		}
	}
	each := 1.0
	for _, one := range []hclsyntax.Expression{e.KeyExpr, e.ValExpr, e.CondExpr} {
		if one != nil {
			each += c.size(one, inner)
		}
	}
	return list + rounds*each
}

// callSize: join and replace insert one argument between or in place of the pieces of another; the other functions produce a few bytes at
// most for each byte of their arguments.
func (c *checker) callSize(e *hclsyntax.FunctionCallExpr, in map[string]float64) float64 {
	product, n := 1.0, 0.0
	for _, arg := range e.Args {
		size := c.size(arg, in)
		n += size
		product *= 1 + size
	}
	switch e.Name {
	case "join", "replace":
		return n + product
	case "format":
		// A verb may refer to any argument, and be as wide as allowed.
		format, _ := literal(firstOf(e.Args))
		return n + float64(strings.Count(format, "%"))*(1000+n)
	case "jsonencode":
		return 8 * n
	}
	return 2*n + 32
}
