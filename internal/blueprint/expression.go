package blueprint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/bothy-env/bothy/internal/fleet"
)

// functions are the functions that an expression may call: their results depend on their arguments alone, and their cost is limited by
// arguments and result. None reads a file, the clock or a random number, and none produces much from little: bcrypt, range, setproduct,
// pow, formatlist, yamldecode and indent are excluded.
var functions = strings.Fields(`abs alltrue anytrue base64encode ceil chomp coalesce coalescelist compact concat contains
	distinct element endswith flatten floor format index join jsonencode keys length lookup lower max merge min one parseint
	replace reverse signum slice sort split startswith strcontains strrev substr sum title tobool tolist tomap tonumber toset
	tostring trim trimprefix trimspace trimsuffix try upper values zipmap`)

// typeFunctions are those of a type, and optional, of a variable.
var typeFunctions = []string{"list", "map", "object", "optional", "set", "tuple"}

// scope has the names that an expression may use besides those of the module.
type scope []string

// roots are the names with a meaning in a module; nothing else may have them.
var roots = []string{
	"var", "local", "each", "count", "self", "path", "terraform", "data", "module", "ephemeral",
	"docker_container", "docker_volume", "terraform_data",
}

// expression refuses what an expression may not contain, at any depth.
func (c *checker) expression(e hclsyntax.Expression, in scope) {
	switch e := e.(type) {
	case *hclsyntax.LiteralValueExpr:
		if length := e.SrcRange.End.Byte - e.SrcRange.Start.Byte; e.Val.Type() == cty.Number && !e.Val.IsNull() && !modest(e.Val, length) {
			c.fail(e.SrcRange, "the number "+c.text(e), "numbers of up to 18 digits")
		}
	case *hclsyntax.TemplateExpr:
		c.all(e.Parts, in)
	case *hclsyntax.TemplateWrapExpr:
		c.expression(e.Wrapped, in)
	case *hclsyntax.TemplateJoinExpr:
		c.expression(e.Tuple, in)
	case *hclsyntax.ParenthesesExpr:
		c.expression(e.Expression, in)
	case *hclsyntax.TupleConsExpr:
		c.all(e.Exprs, in)
	case *hclsyntax.ObjectConsExpr:
		for _, item := range e.Items {
			c.expression(item.KeyExpr, in)
			c.expression(item.ValueExpr, in)
		}
	case *hclsyntax.ObjectConsKeyExpr:
		if hcl.ExprAsKeyword(e.Wrapped) == "" || e.ForceNonLiteral {
			c.expression(e.Wrapped, in)
		}
	case *hclsyntax.ConditionalExpr:
		c.all([]hclsyntax.Expression{e.Condition, e.TrueResult, e.FalseResult}, in)
	case *hclsyntax.BinaryOpExpr:
		c.all([]hclsyntax.Expression{e.LHS, e.RHS}, in)
	case *hclsyntax.UnaryOpExpr:
		c.expression(e.Val, in)
	case *hclsyntax.IndexExpr:
		c.all([]hclsyntax.Expression{e.Collection, e.Key}, in)
	case *hclsyntax.SplatExpr:
		c.all([]hclsyntax.Expression{e.Source, e.Each}, in)
	case *hclsyntax.AnonSymbolExpr:
	case *hclsyntax.RelativeTraversalExpr:
		c.expression(e.Source, in)
	case *hclsyntax.ForExpr:
		c.loop(e, in)
	case *hclsyntax.FunctionCallExpr:
		c.call(e)
		c.all(e.Args, in)
	case *hclsyntax.ScopeTraversalExpr:
		c.reference(e, in)
	default:
		c.fail(e.Range(), "an expression of an unknown kind", "one that bothy knows")
	}
}

func (c *checker) all(list []hclsyntax.Expression, in scope) {
	for _, e := range list {
		c.expression(e, in)
	}
}

// modest reports whether a number has few digits: 1e999999999 would have a thousand million as text.
func modest(v cty.Value, length int) bool {
	exponent := v.AsBigFloat().MantExp(nil)
	return !v.AsBigFloat().IsInf() && length <= 20 && exponent > -64 && exponent < 64
}

func (c *checker) loop(e *hclsyntax.ForExpr, in scope) {
	inner := slices.Clone(in)
	for _, name := range []string{e.KeyVar, e.ValVar} {
		if slices.Contains(roots, name) {
			c.fail(e.SrcRange, "a loop over the name "+name, "another name: this one is reserved")
		}
		inner = append(inner, name)
	}
	c.expression(e.CollExpr, in)
	for _, one := range []hclsyntax.Expression{e.KeyExpr, e.ValExpr, e.CondExpr} {
		if one != nil {
			c.expression(one, inner)
		}
	}
}

// wide finds a width or precision of more than three digits in a format.
var wide = regexp.MustCompile(`%[^%a-zA-Z]*([0-9]{4}|\*)`)

func (c *checker) call(e *hclsyntax.FunctionCallExpr) {
	if !slices.Contains(functions, e.Name) {
		want := "a function that is cheap for any arguments, such as join, lookup or merge"
		if strings.HasPrefix(e.Name, "file") || slices.Contains([]string{"templatefile", "templatestring", "pathexpand", "abspath", "dirname", "basename"}, e.Name) {
			want = "none that reads files"
		} else if near := fleet.Nearest(e.Name, functions); near != "" {
			want = near + ", or another " + want[2:]
		}
		c.fail(e.NameRange, "the function "+e.Name, want)
		return
	}
	if e.Name == "format" {
		format, ok := literal(firstOf(e.Args))
		if !ok || wide.MatchString(format) {
			c.fail(e.NameRange, c.text(e), "the function format with a literal format, and widths under 1000")
		}
	}
}

func firstOf(args []hclsyntax.Expression) hclsyntax.Expression {
	if len(args) == 0 {
		return nil
	}
	return args[0]
}

// reference refuses names that are neither the module's nor in scope, and parts of var.bothy and of resources that would leak the owner
// labels and their MAC.
func (c *checker) reference(e *hclsyntax.ScopeTraversalExpr, in scope) {
	names := steps(e.Traversal)
	switch root := names[0]; {
	case slices.Contains(in, root):
	case root == "var" && len(names) >= 2 && names[1] != "" && names[1] != "bothy":
	case root == "var" && len(names) >= 3 && names[1] == "bothy" && names[2] != "" && !slices.Contains(reservedParts, names[2]):
	case root == "var":
		c.fail(e.SrcRange, c.text(e), "var.NAME or var.bothy.NAME; var.bothy.labels only in labels, var.bothy.engine only in the provider")
	case root == "local" && len(names) >= 2:
	case root == "count" && len(names) == 2 && names[1] == "index":
	case root == "each" && len(names) == 2 && (names[1] == "key" || names[1] == "value"):
	case slices.Contains(allowedResources, root):
		if len(names) > 2 && names[2] == "" { // one of several
			names = slices.Delete(names, 2, 3)
		}
		if len(names) != 3 || !slices.Contains([]string{"id", "name", "output"}, names[2]) {
			c.fail(e.SrcRange, c.text(e), root+".NAME.id or "+root+".NAME.name")
		}
	default:
		c.fail(e.SrcRange, c.text(e), "var, local, a resource of the blueprint, count, each or the name of a loop")
	}
}

// reservedParts of var.bothy are allowed in one place each.
var reservedParts = []string{"labels", "engine"}

// steps returns the names of a reference; "" for an index.
func steps(t hcl.Traversal) []string {
	names := make([]string, len(t))
	for i, step := range t {
		switch step := step.(type) {
		case hcl.TraverseRoot:
			names[i] = step.Name
		case hcl.TraverseAttr:
			names[i] = step.Name
		}
	}
	return names
}

// isReference reports whether an expression is exactly a reference, such as var.bothy.name.
func isReference(e hclsyntax.Expression, want string) bool {
	t, ok := e.(*hclsyntax.ScopeTraversalExpr)
	return ok && strings.Join(steps(t.Traversal), ".") == want
}

// literal returns the text of an expression that is exactly a quoted text without computed parts.
func literal(e hclsyntax.Expression) (string, bool) {
	t, ok := e.(*hclsyntax.TemplateExpr)
	if !ok || len(t.Parts) > 1 {
		return "", false
	}
	if len(t.Parts) == 0 {
		return "", true
	}
	return piece(t.Parts[0])
}

// piece returns a literal part of a template.
func piece(part hclsyntax.Expression) (string, bool) {
	v, ok := part.(*hclsyntax.LiteralValueExpr)
	if !ok || v.Val.Type() != cty.String || v.Val.IsNull() {
		return "", false
	}
	return v.Val.AsString(), true
}

// number returns an expression that is exactly a whole number.
func number(e hclsyntax.Expression) (int64, bool) {
	sign := int64(1)
	if u, ok := e.(*hclsyntax.UnaryOpExpr); ok && u.Op == hclsyntax.OpNegate {
		e, sign = u.Val, -1
	}
	v, ok := e.(*hclsyntax.LiteralValueExpr)
	if !ok || v.Val.Type() != cty.Number || v.Val.IsNull() || !v.Val.AsBigFloat().IsInt() {
		return 0, false
	}
	n, _ := v.Val.AsBigFloat().Int64()
	return sign * n, true
}

// boolean returns an expression that is exactly true or false.
func boolean(e hclsyntax.Expression) (value, ok bool) {
	v, ok := e.(*hclsyntax.LiteralValueExpr)
	if !ok || v.Val.Type() != cty.Bool || v.Val.IsNull() {
		return false, false
	}
	return v.Val.True(), true
}

// text returns an expression's source, on one line.
func (c *checker) text(e hclsyntax.Expression) string {
	if text := c.written(e); text != "" {
		return oneLine(text, 60)
	}
	return "an expression"
}

// written returns an expression's source; "" for one without a place.
func (c *checker) written(e hclsyntax.Expression) string {
	r := e.Range()
	src := c.files[r.Filename]
	if r.Start.Byte > r.End.Byte || r.End.Byte > len(src) {
		return ""
	}
	return string(src[r.Start.Byte:r.End.Byte])
}

// assigned returns an attribute's source: name = value.
func (c *checker) assigned(a *hclsyntax.Attribute) string {
	return fmt.Sprintf("%s = %s", a.Name, c.text(a.Expr))
}
