package blueprint

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/strictyaml"
)

// What a blueprint's Terraform may hold. A plan runs code, so whatever runs a
// program, reads this machine's files, or fetches anything has no place in it;
// and whatever the sweep by label cannot find again has none either. Networks are
// bothy's: it hands one out with its isolation already in place.
var (
	allowedSources   = []string{"kreuzwerker/docker"}
	allowedBlocks    = []string{"terraform", "provider", "variable", "output", "locals", "resource"}
	allowedResources = []string{"docker_container", "docker_volume", "terraform_data"}
	fileFunctions    = []string{
		"file", "filebase64", "filebase64sha256", "filebase64sha512", "fileexists", "filemd5", "fileset", "filesha1",
		"filesha256", "filesha512", "templatefile", "pathexpand", "abspath",
	}
)

// tfChecker looks at the Terraform files of one blueprint.
type tfChecker struct {
	file      string
	errs      Errors
	providers []string // local names with an allowed source
	variables []string
	outputs   []string
}

// checkTerraform gives everything that is not allowed. Inputs are compared with the variables only
// when complete: a manifest that could not be read has none.
func checkTerraform(files fileSet, inputs []string, complete bool) Errors {
	c := &tfChecker{}
	bodies := map[string]hclBody{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".tf") {
			continue
		}
		c.file = name
		body, err := parseHCL(string(files[name]))
		if e, ok := errors.AsType[*syntaxError](err); ok {
			c.fail(e.line, e.col, e.found, "Terraform that can be read")
		}
		bodies[name] = body
		c.declarations(body)
	}
	for _, name := range slices.Sorted(maps.Keys(bodies)) {
		c.file = name
		c.root(bodies[name])
	}
	c.file = ManifestName
	if len(c.errs) == 0 {
		c.contract(inputs, complete)
	}
	return c.errs
}

func (c *tfChecker) fail(line, col int, found, want string) {
	c.errs = append(c.errs, strictyaml.Error{File: c.file, Line: line, Col: col, Found: found, Want: want})
}

// declarations notes what a file declares, before anything is judged: order means nothing in Terraform.
func (c *tfChecker) declarations(body hclBody) {
	for _, b := range body.blocks {
		switch {
		case b.kind == "variable" && len(b.labels) == 1:
			c.variables = append(c.variables, b.labels[0])
		case b.kind == "output" && len(b.labels) == 1:
			c.outputs = append(c.outputs, b.labels[0])
		case b.kind == "terraform":
			for _, inner := range b.body.blocks {
				if inner.kind == "required_providers" {
					c.requiredProviders(inner.body)
				}
			}
		}
	}
}

func (c *tfChecker) requiredProviders(body hclBody) {
	for _, a := range body.attributes {
		source, times := memberString(a.value, "source")
		if times > 1 {
			c.fail(a.line, a.col, fmt.Sprintf("provider %s of source %q", a.name, source), "it once")
			continue
		}
		if !slices.Contains(allowedSources, source) {
			c.fail(a.line, a.col, fmt.Sprintf("provider %s of source %q", a.name, source), `{ source = "`+strings.Join(allowedSources, `" or "`)+`" }`)
			continue
		}
		c.providers = append(c.providers, a.name)
	}
}

// memberString finds name = "literal" in the tokens of an object: the last such
// literal, and how often the name is set to anything.
func memberString(value []hclToken, name string) (literal string, times int) {
	for i, t := range value {
		if t.text != name || t.kind == tokPunct || i+2 >= len(value) || !isPunct(value[i+1], "=") && !isPunct(value[i+1], ":") {
			continue
		}
		times++
		if v := value[i+2]; v.kind == tokString && !v.template {
			literal = v.text
		}
	}
	return literal, times
}

func (c *tfChecker) root(body hclBody) {
	for _, a := range body.attributes {
		c.fail(a.line, a.col, "the attribute "+a.name+" outside of any block", "blocks")
	}
	for _, b := range body.blocks {
		if !slices.Contains(allowedBlocks, b.kind) {
			c.fail(b.line, b.col, "a "+b.kind+" block", "one of "+strings.Join(allowedBlocks, ", "))
			continue
		}
		c.expressions(b.body)
		switch b.kind {
		case "terraform":
			c.terraform(b)
		case "provider":
			c.provider(b)
		case "resource":
			c.resource(b)
		}
	}
}

func (c *tfChecker) terraform(b hclBlock) {
	for _, a := range b.body.attributes {
		if a.name != "required_version" {
			c.fail(a.line, a.col, a.name+" in terraform", "required_version and required_providers only")
		}
	}
	for _, inner := range b.body.blocks {
		if inner.kind != "required_providers" {
			c.fail(inner.line, inner.col, "a "+inner.kind+" block in terraform", "required_version and required_providers only: bothy keeps the state")
		}
	}
}

func (c *tfChecker) provider(b hclBlock) {
	if len(b.labels) != 1 || !slices.Contains(c.providers, b.labels[0]) {
		c.fail(b.line, b.col, "a provider block for "+strings.Join(b.labels, " "), "one for a provider of required_providers")
	}
	host := false
	for _, a := range b.body.attributes {
		if a.name == "host" && spelled(a.value) == "var.bothy.engine" {
			host = true
			continue
		}
		c.fail(a.line, a.col, fmt.Sprintf("%s = %s", a.name, spelled(a.value)), "host = var.bothy.engine and nothing else")
	}
	for _, inner := range b.body.blocks {
		c.fail(inner.line, inner.col, "a "+inner.kind+" block in provider", "host = var.bothy.engine and nothing else")
	}
	if !host && len(b.body.attributes) == 0 {
		c.fail(b.line, b.col, "a provider without host", "host = var.bothy.engine")
	}
}

// spelled gives the tokens of an expression without spaces.
func spelled(value []hclToken) string {
	var s strings.Builder
	for _, t := range value {
		if t.kind == tokString {
			fmt.Fprintf(&s, "%q", t.text)
		} else if t.kind != tokLine {
			s.WriteString(t.text)
		}
	}
	return s.String()
}

func (c *tfChecker) resource(b hclBlock) {
	if len(b.labels) != 2 || !slices.Contains(allowedResources, b.labels[0]) {
		c.fail(b.line, b.col, "resource "+strings.Join(b.labels, " "), "one of "+strings.Join(allowedResources, ", "))
		return
	}
	// Without a source of its own, Terraform would take a provider of that name from its own namespace.
	if local, _, _ := strings.Cut(b.labels[0], "_"); local != "terraform" && !slices.Contains(c.providers, local) {
		c.fail(b.line, b.col, "a resource of provider "+local, "that provider in required_providers, with its source")
	}
	for _, a := range b.body.attributes {
		if a.name == "provider" && !slices.Contains(c.providers, spelled(a.value)) {
			c.fail(a.line, a.col, "provider = "+spelled(a.value), "a provider of required_providers")
		}
	}
	if b.labels[0] == "docker_container" && !networked(b.body) {
		c.fail(b.line, b.col, "a container on the engine's default network", "network_mode = var.bothy.network")
	}
	c.settings(b, "")
}

// expressions refuses functions that read files of the machine that runs Terraform.
func (c *tfChecker) expressions(body hclBody) {
	for _, a := range body.attributes {
		c.calls(a.value)
	}
	for _, b := range body.blocks {
		c.expressions(b.body)
	}
}

func (c *tfChecker) calls(tokens []hclToken) {
	for i, t := range tokens {
		c.calls(t.inner)
		if t.kind == tokWord && slices.Contains(fileFunctions, t.text) && i+1 < len(tokens) && isPunct(tokens[i+1], "(") {
			c.fail(t.line, t.col, "the function "+t.text, "none that reads files")
		}
	}
}

// contract compares what the module takes and gives with what bothy passes and reads.
func (c *tfChecker) contract(inputs []string, complete bool) {
	if !slices.Contains(c.variables, "bothy") {
		c.fail(1, 1, `no variable "bothy" in the *.tf files`, "it, declared: bothy passes name, limits, image, network and labels in it")
	}
	if !slices.Contains(c.outputs, "bothy") {
		c.fail(1, 1, `no output "bothy" in the *.tf files`, "it, with the id of the container")
	}
	if !complete {
		return
	}
	for _, name := range inputs {
		if !slices.Contains(c.variables, name) {
			c.fail(1, 1, fmt.Sprintf("input %s without a variable of that name", name), "one in the *.tf files")
		}
	}
	for _, name := range c.variables {
		if name != "bothy" && !slices.Contains(inputs, name) {
			c.fail(1, 1, fmt.Sprintf("variable %q without an input of that name", name), "one in "+ManifestName)
		}
	}
}
