package blueprint

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/strictyaml"
)

// A blueprint's Terraform may contain what is on a list; everything else is refused, with its name and place, before anybody waits for
// Terraform. This check is not the wall. The wall is that Terraform and its provider can reach only this environment's objects, whatever
// the files say.
var (
	allowedSource    = "kreuzwerker/docker"
	allowedBlocks    = []string{"terraform", "provider", "variable", "output", "locals", "resource"}
	allowedResources = []string{"docker_container", "docker_volume", "terraform_data"}
)

// maxResources is how many resources a blueprint may create, including copies.
const maxResources = 16

// checker checks the Terraform files of one blueprint.
type checker struct {
	files  fileSet
	bodies map[string]*hclsyntax.Body // by file
	errs   Errors
	// more counts the problems beyond maxErrors.
	more int

	variables, outputs []string
	locals             map[string]hclsyntax.Expression
	resources          map[string]*hclsyntax.Block // by type.name
	provided           bool                        // the provider is required, with its source
	configured         bool                        // there is a provider block
	made               int64                       // resources, copies counted
	sizes              map[string]float64          // of locals, as far as they are known
	total              float64                     // sizes of all values

	// bp is the manifest; complete: all of it could be read.
	bp       fleet.Blueprint
	complete bool
	// sandbox is the container that the output names.
	sandbox     *hclsyntax.Block
	sandboxName string
	memory      float64         // of all containers, as a share of the size's
	cpus        int64           // of all containers, for a core of the size, in microseconds of each period
	named       map[string]bool // names of containers and volumes, as they are written
}

// checkTerraform returns every problem, and how many more there are than it lists. The files are compared with the manifest only if it is
// complete: an unreadable one says nothing.
func checkTerraform(files fileSet, bp fleet.Blueprint, complete bool) (Errors, int) {
	c := &checker{
		bp: bp, complete: complete, named: map[string]bool{},
		files: files, bodies: map[string]*hclsyntax.Body{}, locals: map[string]hclsyntax.Expression{},
		resources: map[string]*hclsyntax.Block{}, sizes: map[string]float64{},
	}
	budget := maxTokens
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".tf") || name == lockName {
			c.bodies[name] = c.parseHCL(name, &budget)
		}
	}
	if len(c.errs) > 0 {
		return c.errs, c.more
	}
	names := slices.Sorted(maps.Keys(c.bodies))
	for _, name := range names {
		if name != lockName {
			c.declarations(c.bodies[name])
		}
	}
	c.sandbox = c.resources["docker_container."+c.sandboxName]
	for _, name := range names {
		if name == lockName {
			c.lock(c.bodies[name])
		} else {
			c.root(c.bodies[name])
		}
	}
	if c.made > maxResources {
		c.failAt(names[0], hcl.InitialPos, fmt.Sprintf("%d resources, copies by count and for_each included", c.made), fmt.Sprintf("at most %d", maxResources))
	}
	if len(c.errs) == 0 {
		c.contract()
	}
	return c.errs, c.more
}

func (c *checker) fail(at hcl.Range, found, want string) {
	c.failAt(at.Filename, at.Start, found, want)
}

func (c *checker) failAt(file string, at hcl.Pos, found, want string) {
	if len(c.errs) == maxErrors {
		c.more++
		return
	}
	c.errs = append(c.errs, strictyaml.Error{File: file, Line: at.Line, Col: at.Column, Found: found, Want: want})
}

// attributes returns a body's attributes in the order of the file.
func attributes(body *hclsyntax.Body) []*hclsyntax.Attribute {
	return slices.SortedFunc(maps.Values(body.Attributes), func(a, b *hclsyntax.Attribute) int {
		return cmp.Compare(a.SrcRange.Start.Byte, b.SrcRange.Start.Byte)
	})
}

// labelled reports whether a block has n labels.
func labelled(b *hclsyntax.Block, n int) bool { return len(b.Labels) == n }

// declarations collects what a file declares, before anything is checked: Terraform ignores the order.
func (c *checker) declarations(body *hclsyntax.Body) {
	for _, b := range body.Blocks {
		switch {
		case b.Type == "variable" && labelled(b, 1):
			c.variables = append(c.variables, b.Labels[0])
		case b.Type == "output" && labelled(b, 1):
			c.outputs = append(c.outputs, b.Labels[0])
			if a := b.Body.Attributes["value"]; a != nil && b.Labels[0] == "bothy" {
				c.sandboxName = containerOf(a.Expr)
			}
		case b.Type == "resource" && labelled(b, 2):
			c.resources[b.Labels[0]+"."+b.Labels[1]] = b
		case b.Type == "locals":
			for name, a := range b.Body.Attributes {
				c.locals[name] = a.Expr
			}
		case b.Type == "terraform":
			for _, inner := range b.Body.Blocks {
				if inner.Type == "required_providers" {
					c.requiredProviders(inner)
				}
			}
		case b.Type == "provider":
			c.configured = true
		}
	}
}

// requiredProviders accepts one form: docker = { source = "kreuzwerker/docker", version = "..." }.
func (c *checker) requiredProviders(b *hclsyntax.Block) {
	const want = `docker = { source = "kreuzwerker/docker", version = "..." } with no other key, written out`
	if c.provided {
		c.fail(b.TypeRange, "required_providers a second time", "it once")
	}
	for _, inner := range b.Body.Blocks {
		c.fail(inner.TypeRange, "a "+inner.Type+" block in required_providers", want)
	}
	for _, a := range attributes(b.Body) {
		if a.Name != "docker" {
			c.fail(a.NameRange, "provider "+a.Name, want)
			continue
		}
		object, ok := a.Expr.(*hclsyntax.ObjectConsExpr)
		if !ok {
			c.fail(a.NameRange, c.assigned(a), want)
			continue
		}
		c.provided = c.source(object, want)
	}
}

// source reports whether an object names the allowed source, with at most a version besides.
func (c *checker) source(object *hclsyntax.ObjectConsExpr, want string) bool {
	seen := map[string]string{}
	right := true
	for _, item := range object.Items {
		key := bareKey(item.KeyExpr)
		value, written := literal(item.ValueExpr)
		_, again := seen[key]
		if again || !written || key != "source" && key != "version" || key == "source" && value != allowedSource {
			c.fail(item.KeyExpr.Range(), "source of the provider: "+c.item(item), want)
			right = false
		}
		seen[key] = value
	}
	if seen["source"] == "" && right {
		c.fail(object.SrcRange, "provider docker without a source", want)
		right = false
	}
	return right
}

// bareKey returns the key of an object's item that is a plain word; "" for one in quotes or brackets, which could be anything.
func bareKey(e hclsyntax.Expression) string {
	key, ok := e.(*hclsyntax.ObjectConsKeyExpr)
	if !ok || key.ForceNonLiteral {
		return ""
	}
	return hcl.ExprAsKeyword(key.Wrapped)
}

func (c *checker) item(item hclsyntax.ObjectConsItem) string {
	return c.text(item.KeyExpr) + " = " + c.text(item.ValueExpr)
}

func (c *checker) root(body *hclsyntax.Body) {
	for _, a := range attributes(body) {
		c.fail(a.NameRange, "the attribute "+a.Name+" outside of any block", "blocks")
	}
	for _, b := range body.Blocks {
		switch b.Type {
		case "terraform":
			c.terraform(b)
		case "provider":
			c.provider(b)
		case "variable":
			c.variable(b)
		case "output":
			c.output(b)
		case "locals":
			c.body(b, &shape{attributes: map[string]rule{"": anything}}, nil)
		case "resource":
			c.resource(b)
		default:
			c.fail(b.TypeRange, "a "+b.Type+" block", "one of "+strings.Join(allowedBlocks, ", "))
		}
	}
}

func (c *checker) terraform(b *hclsyntax.Block) {
	const want = "required_version and required_providers only: bothy keeps the state"
	for _, a := range attributes(b.Body) {
		if _, ok := literal(a.Expr); a.Name != "required_version" || !ok {
			c.fail(a.NameRange, c.assigned(a)+" in terraform", want)
		}
	}
	for _, inner := range b.Body.Blocks {
		if inner.Type != "required_providers" {
			c.fail(inner.TypeRange, "a "+inner.Type+" block in terraform", want)
		}
	}
}

func (c *checker) provider(b *hclsyntax.Block) {
	const want = "host = var.bothy.engine and nothing else"
	if !labelled(b, 1) || b.Labels[0] != "docker" || !c.provided {
		c.fail(b.TypeRange, "a provider block for "+strings.Join(b.Labels, " "), "one for a provider of required_providers")
	}
	for _, a := range attributes(b.Body) {
		if a.Name != "host" || !isReference(a.Expr, "var.bothy.engine") {
			c.fail(a.NameRange, c.assigned(a), want)
		}
	}
	for _, inner := range b.Body.Blocks {
		c.fail(inner.TypeRange, "a "+inner.Type+" block in provider", want)
	}
	if b.Body.Attributes["host"] == nil && len(b.Body.Attributes) == 0 {
		c.fail(b.TypeRange, "a provider without host", "host = var.bothy.engine")
	}
}

// variable checks the variables: bothy's own, and those that a person may set. The manifest checks their values, so validation messages
// are refused.
func (c *checker) variable(b *hclsyntax.Block) {
	const want = "type, description, default and nullable: limits of an input belong into " + ManifestName
	for _, a := range attributes(b.Body) {
		switch a.Name {
		case "type":
			c.typeOf(a.Expr)
		case "description", "default", "nullable":
			c.expression(a.Expr, nil)
		default:
			c.fail(a.NameRange, a.Name+" in variable", want)
		}
	}
	for _, inner := range b.Body.Blocks {
		c.fail(inner.TypeRange, "a "+inner.Type+" block in variable", want)
	}
}

// typeOf refuses what a type may not contain.
func (c *checker) typeOf(e hclsyntax.Expression) {
	switch e := e.(type) {
	case *hclsyntax.FunctionCallExpr:
		if !slices.Contains(typeFunctions, e.Name) {
			c.fail(e.NameRange, "the function "+e.Name+" in a type", "one of "+strings.Join(typeFunctions, ", "))
			return
		}
		for _, arg := range e.Args {
			c.typeOf(arg)
		}
	case *hclsyntax.ObjectConsExpr:
		for _, item := range e.Items {
			if bareKey(item.KeyExpr) == "" {
				c.fail(item.KeyExpr.Range(), "the key "+c.text(item.KeyExpr)+" in a type", "a plain name")
			}
			c.typeOf(item.ValueExpr)
		}
	case *hclsyntax.TupleConsExpr:
		for _, one := range e.Exprs {
			c.typeOf(one)
		}
	case *hclsyntax.LiteralValueExpr, *hclsyntax.TemplateExpr: // the default of optional
		c.expression(e, nil)
	default:
		if hcl.ExprAsKeyword(e) == "" {
			c.fail(e.Range(), c.text(e)+" in a type", "a type such as string, number, bool, list(string) or object({...})")
		}
	}
}

// output checks the output that bothy reads, which names a container of the blueprint.
func (c *checker) output(b *hclsyntax.Block) {
	const want = "{ id = docker_container.NAME.id } of a container of the blueprint, without count and for_each"
	if !labelled(b, 1) || b.Labels[0] != "bothy" {
		c.fail(b.TypeRange, "output "+strings.Join(b.Labels, " "), `output "bothy" alone`)
		return
	}
	for _, a := range attributes(b.Body) {
		_, written := literal(a.Expr)
		if a.Name != "value" && (a.Name != "description" || !written) || a.Name == "value" && !c.identified(a.Expr) {
			c.fail(a.NameRange, c.assigned(a)+" in output bothy", "value = "+want)
		}
	}
	for _, inner := range b.Body.Blocks {
		c.fail(inner.TypeRange, "a "+inner.Type+" block in output bothy", "value = "+want)
	}
}

func (c *checker) identified(e hclsyntax.Expression) bool {
	b := c.resources["docker_container."+containerOf(e)]
	return b != nil && b.Body.Attributes["count"] == nil && b.Body.Attributes["for_each"] == nil
}

// containerOf returns NAME of { id = docker_container.NAME.id }; "" for anything else.
func containerOf(e hclsyntax.Expression) string {
	object, ok := e.(*hclsyntax.ObjectConsExpr)
	if !ok || len(object.Items) != 1 || bareKey(object.Items[0].KeyExpr) != "id" {
		return ""
	}
	t, ok := object.Items[0].ValueExpr.(*hclsyntax.ScopeTraversalExpr)
	if !ok {
		return ""
	}
	names := steps(t.Traversal)
	if len(names) != 3 || names[0] != "docker_container" || names[2] != "id" {
		return ""
	}
	return names[1]
}

// lock checks the file of provider versions and hashes, which names the one provider.
func (c *checker) lock(body *hclsyntax.Body) {
	const want = "provider blocks of " + "kreuzwerker/docker with version, constraints and hashes, written out"
	for _, a := range attributes(body) {
		c.fail(a.NameRange, "the attribute "+a.Name, want)
	}
	for _, b := range body.Blocks {
		if b.Type != "provider" || !labelled(b, 1) || !slices.Contains(lockedProviders, b.Labels[0]) {
			c.fail(b.TypeRange, b.Type+" "+strings.Join(b.Labels, " "), want)
			continue
		}
		for _, a := range attributes(b.Body) {
			if !slices.Contains([]string{"version", "constraints", "hashes"}, a.Name) || !allWritten(a.Expr) {
				c.fail(a.NameRange, c.assigned(a), want)
			}
		}
		for _, inner := range b.Body.Blocks {
			c.fail(inner.TypeRange, "a "+inner.Type+" block", want)
		}
	}
}

var lockedProviders = []string{"registry.terraform.io/" + allowedSource, "registry.opentofu.org/" + allowedSource}

// allWritten reports whether an expression is a literal text, or a list of literal texts.
func allWritten(e hclsyntax.Expression) bool {
	if list, ok := e.(*hclsyntax.TupleConsExpr); ok {
		return !slices.ContainsFunc(list.Exprs, func(one hclsyntax.Expression) bool { _, ok := literal(one); return !ok })
	}
	_, ok := literal(e)
	return ok
}

// contract compares the module's variables and outputs with what bothy passes and reads.
func (c *checker) contract() {
	fail := func(found, want string) { c.failAt(ManifestName, hcl.InitialPos, found, want) }
	if !c.configured {
		fail(`no provider "docker" block in the *.tf files`, "it, with host = var.bothy.engine: without it the provider looks for an engine of its own")
	}
	if !slices.Contains(c.variables, "bothy") {
		fail(`no variable "bothy" in the *.tf files`, "it, declared: bothy passes name, limits, image, network and labels in it")
	}
	if !slices.Contains(c.outputs, "bothy") {
		fail(`no output "bothy" in the *.tf files`, "it, with the id of the container")
	}
	if !c.complete {
		return
	}
	inputs := make([]string, len(c.bp.Inputs))
	for i, in := range c.bp.Inputs {
		inputs[i] = in.Name
	}
	for _, name := range inputs {
		if !slices.Contains(c.variables, name) {
			fail(fmt.Sprintf("input %s without a variable of that name", name), "one in the *.tf files")
		}
	}
	for _, name := range c.variables {
		if name != "bothy" && !slices.Contains(inputs, name) {
			fail(fmt.Sprintf("variable %q without an input of that name", name), "one in "+ManifestName)
		}
	}
}
