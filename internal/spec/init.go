package spec

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"
)

// Starter says what Init writes in. Every field may be empty.
type Starter struct {
	// Name of the environment.
	Name string
	// Blueprint to use, "build" when empty.
	Blueprint string
	// Sizes that the blueprint has, and which is its default.
	Sizes       []string
	DefaultSize string
	// TTL is the blueprint's default lease, MaxTTL its longest, as text.
	TTL, MaxTTL string
	// Params are the blueprint's inputs.
	Params []StarterParam
}

// StarterParam is one input of the blueprint, to be shown as a comment.
type StarterParam struct {
	Name, Description string
	// Value is its default as YAML writes it.
	Value string
}

var starter = template.Must(template.New(FileName).Funcs(template.FuncMap{"oneLine": oneLine, "quoted": quoted, "join": strings.Join}).Parse(
	`# What "bothy up" makes for this repository. Check: bothy spec check
# Editors complete it with: bothy spec schema > bothy.schema.json
version: 1
{{- if .Name}}
name: {{.Name}}
{{- else}}
# Name of the environment; made up when left out.
# name: my-project
{{- end}}

# The golden path to take: bothy blueprint ls
blueprint: {{quoted .Blueprint}}

# {{if .Sizes}}One of {{join .Sizes ", "}}.{{else}}One of the blueprint's sizes.{{end}} Prices: bothy blueprint show {{.Blueprint}}
size: {{.DefaultSize}}

# How long it is kept{{if .MaxTTL}}, at most {{.MaxTTL}}{{end}}: 30m, 1h30m, 2d.
ttl: {{.TTL}}

# End it sooner when nobody uses it.
# idle: 15m

# Variables of every command inside; secrets go to "bothy up --secret".
# env:
#   CI: "1"

# The folder to upload, relative to this file; "none" for an empty workspace.
source: .

# The blueprint's inputs.
{{- if .Params}}
# params:
{{- range .Params}}
{{- if .Description}}
#   # {{oneLine .Description}}
{{- end}}
#   {{.Name}}: {{oneLine .Value}}
{{- end}}
{{- else}}
# params:
#   name: value
{{- end}}
`))

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Init gives a commented starter file that Parse accepts; values of the
// starter that no spec may hold are an error.
func Init(s Starter) ([]byte, error) {
	if s.Blueprint == "" {
		s.Blueprint = "build"
	}
	if s.DefaultSize == "" {
		s.DefaultSize = "small"
	}
	if s.TTL == "" {
		s.TTL = "1h"
	}
	s.Name, s.DefaultSize = quoted(s.Name), quoted(s.DefaultSize)
	var out bytes.Buffer
	if err := starter.Execute(&out, s); err != nil {
		return nil, fmt.Errorf("write starter %s: %w", FileName, err)
	}
	if _, err := Parse(FileName, out.Bytes()); err != nil {
		return nil, fmt.Errorf("write starter %s: %w", FileName, err)
	}
	return out.Bytes(), nil
}

// quoted keeps a name such as 2048, 1e3 or true from being read as something else than text.
func quoted(name string) string {
	if name == "" || name != "true" && name != "false" && name != "null" && (name[0] < '0' || name[0] > '9') {
		return name
	}
	return `"` + name + `"`
}
