// Package strictyaml reads the part of YAML that bothy's own files need, and
// refuses the rest with a place: maps with plain string keys, lists, strings,
// decimal numbers, true, false and null. No anchors, aliases, merge keys,
// tags, directives, second documents, duplicate keys, tabs or NaN. Size, depth and count
// are bounded before anything is expanded, so that hostile input costs little.
package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Limits of a file.
const (
	// MaxBytes is the most bytes of a file.
	MaxBytes = 256 << 10
	// MaxDepth is how deep maps and lists may lie in each other.
	MaxDepth = 20
	// MaxNodes is the most values of a file; a map, a list and each scalar count one.
	MaxNodes = 1000
)

// Error is one wrong place in a file.
type Error struct {
	// File is the name as it was given to Parse.
	File string `json:"file"`
	// Line and Col count from 1; Col counts characters.
	Line int `json:"line"`
	Col  int `json:"column"`
	// Path names the place: "sizes.small.cpus", "users[1]"; empty for the whole file.
	Path string `json:"path,omitempty"`
	// Found is what is there, Want what is allowed.
	Found string `json:"found"`
	Want  string `json:"want"`
}

// Error gives "bothy.yaml:6:10: size: got 100, want one of small, medium".
func (e Error) Error() string {
	path := ""
	if e.Path != "" {
		path = e.Path + ": "
	}
	return fmt.Sprintf("%s:%d:%d: %sgot %s, want %s", e.File, e.Line, e.Col, path, e.Found, e.Want)
}

// Errors are all wrong places of a file, in the order of the file. Parse
// never returns an empty one.
type Errors []Error

// Error gives one line for each.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Document is a file that could be read. What its readers find wrong is
// collected, so that a person sees everything at once.
type Document struct {
	// Root is the value of the file.
	Root *Node
	file string
	// nodes is the most values that it may have.
	nodes int
	errs  Errors
}

// Err gives everything found wrong so far, as Errors, or nil.
func (d *Document) Err() error {
	if len(d.errs) == 0 {
		return nil
	}
	errs := slices.Clone(d.errs)
	slices.SortStableFunc(errs, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return slices.Compact(errs)
}

func (d *Document) fail(line, col int, path, found, want string) {
	d.errs = append(d.errs, Error{File: d.file, Line: line, Col: col, Path: path, Found: found, Want: want})
}
