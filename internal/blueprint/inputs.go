package blueprint

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/strictyaml"
)

var inputTypes = []string{"string", "integer", "number", "boolean"}

const maxInputs = 50

// reserved names cannot be inputs: bothy's own variable, and names that Terraform reserves in modules.
var reserved = []string{"bothy", "source", "version", "providers", "count", "for_each", "lifecycle", "depends_on", "locals"}

func (m *manifest) inputs(n *strictyaml.Node) {
	fields := n.Fields()
	if len(fields) > maxInputs {
		n.Fail(fmt.Sprintf("%d inputs", len(fields)), fmt.Sprintf("at most %d", maxInputs))
		return
	}
	for _, f := range fields {
		if !inputRE.MatchString(f.Key) || slices.Contains(reserved, f.Key) {
			n.FailKey(f, "this key", `a name of a-z, 0-9 and "_", beginning with a letter, none of `+strings.Join(reserved, ", "))
		}
		m.bp.Inputs = append(m.bp.Inputs, readInput(f))
	}
}

func readInput(field strictyaml.Field) fleet.Input {
	in := fleet.Input{Name: field.Key}
	n := field.Value
	f := n.Object("type", "description", "default", "enum", "pattern", "min", "max")
	n.Missing(f, "type")
	if t := f["type"]; t != nil {
		want := "one of " + strings.Join(inputTypes, ", ")
		if v, ok := t.Str(want); ok && !slices.Contains(inputTypes, v) {
			t.Want("%s", want)
		} else {
			in.Type = v
		}
	}
	if d := f["description"]; d != nil {
		if v, ok := d.Str("one line of up to 200 bytes"); ok && (len(v) > 200 || strings.Contains(v, "\n")) {
			d.Want("one line of up to 200 bytes")
		} else {
			in.Description = v
		}
	}
	limits(&in, f)
	if in.Type == "" {
		return in
	}
	// Without enum and default at first, so that each is checked against the limits alone.
	if e := f["enum"]; e != nil {
		var allowed []any
		for _, item := range e.Items() {
			if v, ok := typed(in, item); ok {
				allowed = append(allowed, v)
			}
		}
		if e.Kind == strictyaml.List && len(e.Items()) == 0 {
			e.Fail("an empty list", "at least one value")
		}
		in.Enum = allowed
	}
	if d := f["default"]; d != nil {
		in.Default, _ = typed(in, d)
	}
	return in
}

// limits reads pattern, min and max, each only if it applies to the type.
func limits(in *fleet.Input, f map[string]*strictyaml.Node) {
	if p := f["pattern"]; p != nil {
		const want = "a regular expression (RE2) that the whole text must match"
		v, ok := p.Str(want)
		switch _, err := regexp.Compile(`^(?:` + v + `)$`); {
		case !ok:
		case in.Type != "string":
			p.Fail("a pattern", "none: only a string input has one")
		case err != nil || len(v) > 500:
			p.Want(want)
		default:
			in.Pattern = v
		}
	}
	for key, to := range map[string]**float64{"min": &in.Min, "max": &in.Max} {
		b := f[key]
		if b == nil {
			continue
		}
		v, ok := b.Number("a number")
		if ok && in.Type == "boolean" {
			b.Fail("a bound", "none: a boolean input has no bounds")
		} else if ok {
			*to = &v
		}
	}
	if in.Min != nil && in.Max != nil && *in.Min > *in.Max {
		f["min"].Want("at most max, %v", *in.Max)
	}
}

// typed returns a value of the manifest in the input's type. Its YAML type must match already: text is converted only on a command line,
// for convenience.
func typed(in fleet.Input, n *strictyaml.Node) (any, bool) {
	v, ok := n.Scalar(in.Allowed())
	if !ok {
		return nil, false
	}
	if _, isText := v.(string); isText && in.Type != "string" {
		n.Want("%s", in.Allowed())
		return nil, false
	}
	out, err := in.Check(v)
	if err != nil {
		n.Want("%s", in.Allowed())
		return nil, false
	}
	return out, true
}
