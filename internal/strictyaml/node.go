package strictyaml

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Kind is the kind of a value.
type Kind int

// The kinds. Bad is a value already reported as wrong; reading it reports nothing further.
const (
	Bad Kind = iota
	Null
	Bool
	Int
	Float
	String
	List
	Map
)

// Node is one value with its place.
type Node struct {
	Kind Kind
	// Line and Col are where it begins, from 1.
	Line, Col int
	// Path names it from the root.
	Path string
	// Value is a scalar's value: bool, int64, float64 or string.
	Value any

	source string // a number as written
	fields []Field
	items  []*Node
	doc    *Document
}

// Field is one key of a map, with the key's place.
type Field struct {
	Key       string
	Line, Col int
	Value     *Node
}

// Fail reports the value as wrong.
func (n *Node) Fail(found, want string) {
	if n.Kind != Bad {
		n.doc.fail(n.Line, n.Col, n.Path, found, want)
	}
}

// Want reports the value as wrong: what it is, and what is allowed instead.
func (n *Node) Want(format string, args ...any) {
	n.Fail(n.describe(), fmt.Sprintf(format, args...))
}

// FailKey reports one of n's keys as wrong.
func (n *Node) FailKey(f Field, found, want string) {
	n.doc.fail(f.Line, f.Col, join(n.Path, f.Key), found, want)
}

// describe describes a value in few words.
func (n *Node) describe() string {
	switch n.Kind {
	case Null:
		return "nothing"
	case Bool, Int, Float:
		return n.source
	case String:
		return quote(n.Value.(string))
	case List:
		return "a list"
	case Map:
		return "a map"
	default:
		return "something unreadable"
	}
}

// Fields returns a map's keys in the order of the file; it reports a value that is not a map.
func (n *Node) Fields() []Field {
	if n.Kind != Map {
		n.Want("a map")
		return nil
	}
	return n.fields
}

// Object returns a map's values by key and reports unknown keys.
func (n *Node) Object(known ...string) map[string]*Node {
	values := map[string]*Node{}
	for _, f := range n.Fields() {
		if !slices.Contains(known, f.Key) {
			n.FailKey(f, "an unknown key", unknownWant(f.Key, known))
			continue
		}
		values[f.Key] = f.Value
	}
	return values
}

func unknownWant(key string, known []string) string {
	if near := fleet.Nearest(key, known); near != "" {
		return fmt.Sprintf("%q, or another of %s", near, strings.Join(known, ", "))
	}
	return "one of " + strings.Join(known, ", ")
}

// Missing reports required keys that a map lacks.
func (n *Node) Missing(values map[string]*Node, required ...string) {
	if n.Kind != Map {
		return
	}
	for _, key := range required {
		if values[key] == nil {
			n.doc.fail(n.Line, n.Col, join(n.Path, key), "nothing", "this key: it is required")
		}
	}
}

// Items returns a list's values; it reports a value that is not a list.
func (n *Node) Items() []*Node {
	if n.Kind != List {
		n.Want("a list")
		return nil
	}
	return n.items
}

// Str returns a string; it reports anything else.
func (n *Node) Str(want string) (string, bool) { return scalar[string](n, want) }

// Match returns a text that matches a pattern; want describes such texts. It reports anything else.
func (n *Node) Match(pattern *regexp.Regexp, want string) (string, bool) {
	v, ok := n.Str(want)
	if ok && !pattern.MatchString(v) {
		n.Want("%s", want)
		ok = false
	}
	return v, ok
}

// Int returns an integer; it reports anything else.
func (n *Node) Int(want string) (int64, bool) { return scalar[int64](n, want) }

// Number returns an integer or a decimal fraction; it reports anything else.
func (n *Node) Number(want string) (float64, bool) {
	if i, ok := n.Value.(int64); ok {
		return float64(i), true
	}
	return scalar[float64](n, want)
}

// Scalar returns a string, int64, float64 or bool; it reports anything else.
func (n *Node) Scalar(want string) (any, bool) {
	if n.Value == nil {
		n.Want("%s", want)
		return nil, false
	}
	return n.Value, true
}

func scalar[T any](n *Node, want string) (T, bool) {
	v, ok := n.Value.(T)
	if !ok {
		n.Want("%s", want)
	}
	return v, ok
}

// join returns the path of a key; one with unusual characters is quoted, so that a path stays on one line.
func join(path, key string) string {
	if plain := strings.IndexFunc(key, odd) < 0 && key != "" && len(key) <= maxQuoted; !plain {
		return path + "[" + quote(key) + "]"
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func odd(r rune) bool {
	letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
	return !letter && r != '_' && r != '-'
}

const maxQuoted = 60

// quote shows a string on one line, cut when long.
func quote(s string) string {
	if utf8.RuneCountInString(s) <= maxQuoted {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q...", string([]rune(s)[:maxQuoted]))
}
