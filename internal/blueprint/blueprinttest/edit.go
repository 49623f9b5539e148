// Package blueprinttest has hostile blueprints for tests: the built-in one with one change each, by which a sandbox, its
// tenant or whoever wrote the blueprint would reach what is not theirs. The loader refuses each by the name of the
// attribute, and so must the walls behind it when the loader is left out.
package blueprinttest

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/bothy-env/bothy/modules"
)

// Hostile is a blueprint that must come to nothing.
type Hostile struct {
	// Name says what it does, as a test's name.
	Name string
	// Kind is what it abuses: "network", "mounts", ...
	Kind string
	// Files are the folder's, by name.
	Files map[string]string
	// Attribute is what a refusal must mention.
	Attribute string
}

// Builtin gives the files of the built-in blueprint build.
func Builtin() map[string]string {
	files := map[string]string{}
	entries, err := fs.ReadDir(modules.Builtin, "build")
	must(err)
	for _, e := range entries {
		data, err := fs.ReadFile(modules.Builtin, path.Join("build", e.Name()))
		must(err)
		files[e.Name()] = string(data)
	}
	return files
}

// must is for what is wrong with this package itself.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// edit changes the files of a blueprint.
type edit func(files map[string]string)

// in changes main.tf's container as a tree, so that the built-in blueprint may be written as it likes.
func in(change func(container *hclwrite.Body)) edit {
	return func(files map[string]string) {
		f, diags := hclwrite.ParseConfig([]byte(files["main.tf"]), "main.tf", hcl.InitialPos)
		if diags.HasErrors() {
			panic(diags)
		}
		block := f.Body().FirstMatchingBlock("resource", []string{"docker_container", "sandbox"})
		if block == nil {
			panic("the built-in blueprint has no container sandbox")
		}
		change(block.Body())
		files["main.tf"] = string(f.Bytes())
	}
}

func raw(text string) hclwrite.Tokens {
	return hclwrite.Tokens{{Type: hclsyntax.TokenIdent, Bytes: []byte(text)}}
}

// set gives an attribute of the container a value, in place of the one it has.
func set(name, value string) edit {
	return in(func(b *hclwrite.Body) { b.SetAttributeRaw(name, raw(value)) })
}

// put adds blocks or attributes to the container.
func put(text string) edit {
	return in(func(b *hclwrite.Body) { b.AppendUnstructuredTokens(raw("\n  " + text + "\n")) })
}

// drop takes blocks and attributes of a name out of the container.
func drop(name string) edit {
	return in(func(b *hclwrite.Body) {
		b.RemoveAttribute(name)
		for _, block := range b.Blocks() {
			if block.Type() == name || block.Type() == "dynamic" && block.Labels()[0] == name {
				b.RemoveBlock(block)
			}
		}
	})
}

// swap puts a block in the place of those of its name.
func swap(name, text string) edit { return then(drop(name), put(text)) }

// add appends to a file, or makes it.
func add(file, text string) edit {
	return func(files map[string]string) { files[file] += "\n" + text + "\n" }
}

// file makes a file, or replaces it.
func file(name, text string) edit {
	return func(files map[string]string) { files[name] = text }
}

// provider writes versions.tf anew.
func provider(required, block string) edit {
	return file("versions.tf", fmt.Sprintf("terraform {\n  required_version = \">= 1.4\"\n%s\n}\n\n%s\n", required, block))
}

const (
	goodRequired = "  required_providers {\n    docker = {\n      source  = \"kreuzwerker/docker\"\n      version = \">= 4.0, < 5.0\"\n    }\n  }"
	goodProvider = "provider \"docker\" {\n  host = var.bothy.engine\n}"
)

// input declares one more input, a text.
func input(name string) edit {
	return then(
		add("variables.tf", "variable \""+name+"\" {\n  type = string\n}"),
		add("blueprint.yaml", "  "+name+": {type: string, default: \"\"}"),
	)
}

// resource adds one more resource, with the owner labels when it can have them.
func resource(kind, name, body string) edit {
	labels := ""
	if kind == "docker_container" || kind == "docker_volume" {
		labels = "\n" + ownerLabels
	}
	return add("main.tf", fmt.Sprintf("resource %q %q {\n  %s%s\n}", kind, name, body, labels))
}

const ownerLabels = "  dynamic \"labels\" {\n    for_each = var.bothy.labels\n    content {\n      label = labels.key\n      value = labels.value\n    }\n  }"

func then(edits ...edit) edit {
	return func(files map[string]string) {
		for _, e := range edits {
			e(files)
		}
	}
}

// Corpus gives all hostile blueprints, each with files of its own and a name of its own.
func Corpus() []Hostile {
	var all []Hostile
	for _, c := range cases {
		files := Builtin()
		// Their own name: no folder may take a built-in blueprint's.
		files["blueprint.yaml"] = strings.Replace(files["blueprint.yaml"], "name: build", "name: "+c.name, 1)
		before := maps.Clone(files)
		c.edit(files)
		if maps.Equal(before, files) {
			panic(c.name + " changes nothing")
		}
		all = append(all, Hostile{Name: c.name, Kind: c.kind, Files: files, Attribute: c.attribute})
	}
	return all
}
