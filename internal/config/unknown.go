package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

const (
	prefix       = "BOTHY_"
	fileVariable = prefix + "CONFIG"
)

// foreign are BOTHY_* variables of the command line, setup and the tests, which
// the daemon must ignore.
var foreign = []string{
	fileVariable, "BOTHY_HOST", "BOTHY_TOKEN", "BOTHY_TOKEN_FILE", "BOTHY_CA_FILE", "BOTHY_OUTPUT",
	"BOTHY_CACHE", "BOTHY_BIN",
}

// foreignPrefixes are prefixes of further variables to ignore.
var foreignPrefixes = []string{"BOTHY_TEST_", "BOTHY_STORETEST_", "BOTHY_E2E_", "BOTHY_DEMO_", "BOTHY_BENCH_", "BOTHY_SETUP_"}

// environment is variables by name.
type environment map[string]string

func variablesOf(env []string) environment {
	all := environment{}
	for _, v := range env {
		if name, value, ok := strings.Cut(v, "="); ok {
			all[name] = value
		}
	}
	return all
}

func (e environment) get(name string) string { return e[name] }

// unknown reports unknown BOTHY_* variables.
func (e environment) unknown() []error {
	known := slices.Clone(foreign)
	for _, f := range fields {
		known = append(known, f.variable())
	}
	var problems []error
	for name := range e {
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) ||
			slices.ContainsFunc(foreignPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		problems = append(problems, fmt.Errorf("%s (environment): unknown variable%s", name, suggestion(name, known, known[len(foreign):])))
	}
	slices.SortFunc(problems, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return problems
}

// unknownKeys finds unknown keys of a file, with their lines. The second result is
// an error for a file that is not a mapping.
func unknownKeys(file string, text []byte) ([]error, error) {
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(parsed.Docs) > 1 {
		return nil, fmt.Errorf("%s: got %d YAML documents, want one", file, len(parsed.Docs))
	}
	if len(parsed.Docs) == 0 || empty(parsed.Docs[0].Body) {
		return nil, nil
	}
	c := &keyCheck{file: file}
	c.mapping("", parsed.Docs[0].Body)
	return c.problems, nil
}

func empty(n ast.Node) bool {
	if n == nil || n.Type() == ast.NullType {
		return true
	}
	_, comments := n.(*ast.CommentGroupNode)
	return comments
}

type keyCheck struct {
	file     string
	problems []error
}

func (c *keyCheck) wrong(n ast.Node, format string, args ...any) {
	place := fmt.Sprintf("%s:%d", c.file, n.GetToken().Position.Line)
	c.problems = append(c.problems, fmt.Errorf("%s: %w", place, fmt.Errorf(format, args...)))
}

func (c *keyCheck) mapping(section string, n ast.Node) {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		if section == "" {
			c.wrong(n, "want keys with values, for example state_dir: /var/lib/bothy")
		} else {
			c.wrong(n, "%s: got a value, want keys (%s)", section, strings.Join(keysUnder(section), ", "))
		}
		return
	}
	for _, v := range values {
		name := v.Key.GetToken().Value
		key := strings.TrimPrefix(section+"."+name, ".")
		switch {
		case strings.Contains(name, ".") && isKey(key):
			c.wrong(v.Key, "%s: write it as %s", key, strings.ReplaceAll(key, ".", ": "))
		case isKey(key):
		case len(keysUnder(key)) > 0:
			if !empty(v.Value) {
				c.mapping(key, v.Value)
			}
		default:
			listed := keys()
			if section != "" {
				listed = keysUnder(section)
			}
			c.wrong(v.Key, "%s: unknown key%s", key, suggestion(key, keys(), listed))
		}
	}
}

func keys() []string {
	var all []string
	for _, f := range fields {
		all = append(all, f.key)
	}
	return all
}

func isKey(key string) bool { return slices.Contains(keys(), key) }

func keysUnder(section string) []string {
	return slices.DeleteFunc(keys(), func(k string) bool { return !strings.HasPrefix(k, section+".") })
}

// UnknownFlag returns the error for an unknown flag of bothyd; known are its flags. All have their dashes.
func UnknownFlag(name string, known []string) error {
	return fmt.Errorf("%s: unknown flag%s", name, suggestion(name, known, known))
}

// suggestion names the nearest known name, or all listed names if none is near.
func suggestion(name string, known, listed []string) string {
	best, least := "", len(name)
	for _, k := range known {
		d := distance(strings.ToLower(name), strings.ToLower(k))
		if last(name) == last(k) { // the right key in the wrong section
			d = min(d, 1)
		}
		// A missing section in a variable or flag: tls_cert for listen.tls_cert.
		if _, rest, ok := cutAny(ownPart(k), "._-"); ok {
			d = min(d, 1+distance(ownPart(name), rest))
		}
		if d < least {
			best, least = k, d
		}
	}
	own := last(ownPart(name))
	if best == "" || least > max(2, len(own)/2) {
		return "; known: " + strings.Join(listed, ", ")
	}
	return fmt.Sprintf("; did you mean %s?", best)
}

// ownPart returns a name in lower case without the common prefix of its kind.
func ownPart(name string) string {
	return strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(name, prefix), "--"))
}

func cutAny(s, separators string) (before, after string, found bool) {
	if i := strings.IndexAny(s, separators); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func last(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// distance returns the Levenshtein distance of a and b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
