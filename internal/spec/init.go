package spec

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"
)

// Starter holds the values that Init writes. Every field may be empty.
type Starter struct {
	// Name of the environment.
	Name string
	// Blueprint to use, "build" if empty.
	Blueprint string
	// Sizes are the blueprint's sizes, DefaultSize its default.
	Sizes       []string
	DefaultSize string
	// TTL is the blueprint's default lease duration, MaxTTL the maximum, as text.
	TTL, MaxTTL string
	// Params are the blueprint's inputs.
	Params []StarterParam
}

// StarterParam is one input of the blueprint, shown as a comment.
type StarterParam struct {
	Name, Description string
	// Value is its default in YAML.
	Value string
}

var starter = template.Must(template.New(FileName).Funcs(template.FuncMap{"oneLine": oneLine, "quoted": quoted, "join": strings.Join}).Parse(
	`# The environment that "bothy up" creates for this repository. To check this file: bothy spec check
# Schema for editors: bothy spec schema > bothy.schema.json
version: 1
{{- if .Name}}
name: {{.Name}}
{{- else}}
# Name of the environment. Default: generated.
# name: my-project
{{- end}}

# Blueprint. To list blueprints: bothy blueprint ls
blueprint: {{quoted .Blueprint}}

# {{if .Sizes}}One of {{join .Sizes ", "}}.{{else}}One of the blueprint's sizes.{{end}} Prices: bothy blueprint show {{.Blueprint}}
size: {{.DefaultSize}}

# Lease duration{{if .MaxTTL}}, at most {{.MaxTTL}}{{end}}, for example 30m, 1h30m or 2d.
ttl: {{.TTL}}

# Expire earlier after this time without use. Default: never.
# idle: 15m

# Variables for every command in the environment. For secrets use "bothy up --secret".
# env:
#   CI: "1"

# Directory to copy to the workspace, relative to this file, or "none".
source: .

# Inputs of the blueprint.
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

// Init returns a commented spec that Parse accepts. An invalid value
// in the starter is an error.
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
		return nil, fmt.Errorf("cannot create %s: %w", FileName, err)
	}
	if _, err := Parse(FileName, out.Bytes()); err != nil {
		return nil, fmt.Errorf("cannot create %s: %w", FileName, err)
	}
	return out.Bytes(), nil
}

// quoted quotes a name such as 2048, 1e3 or true, which YAML would not read as text.
func quoted(name string) string {
	if name == "" || name != "true" && name != "false" && name != "null" && (name[0] < '0' || name[0] > '9') {
		return name
	}
	return `"` + name + `"`
}
