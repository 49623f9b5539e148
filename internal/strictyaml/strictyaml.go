// Package strictyaml reads the part of YAML that bothy's own files need, and refuses the rest with its place: maps with plain string
// keys, lists, strings, decimal numbers, true, false and null. No anchors, aliases, merge keys, tags, directives, second documents,
// duplicate keys, tabs or NaN. Size, depth and count are bounded before anything is expanded, so that hostile input costs little.
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
	// MaxDepth is the maximum nesting of maps and lists.
	MaxDepth = 20
	// MaxNodes is the most values of a file; a map, a list and each scalar count one.
	MaxNodes = 1000
)

// Error is one problem in a file.
type Error struct {
	// File is the name passed to Parse.
	File string `json:"file"`
	// Line and Col count from 1; Col counts characters.
	Line int `json:"line"`
	Col  int `json:"column"`
	// Path names the place: "sizes.small.cpus", "users[1]"; empty for the whole file.
	Path string `json:"path,omitempty"`
	// Found is the value found, Want what is allowed.
	Found string `json:"found"`
	Want  string `json:"want"`
}

// Error returns "bothy.yaml:6:10: size: got 100, want one of small, medium".
func (e Error) Error() string {
	path := ""
	if e.Path != "" {
		path = e.Path + ": "
	}
	return fmt.Sprintf("%s:%d:%d: %sgot %s, want %s", e.File, e.Line, e.Col, path, e.Found, e.Want)
}

// Errors are all problems of a file, in the order of the file. Parse never returns an empty one.
type Errors []Error

// Error returns one line for each problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Document is a parsed file. Its readers add the problems that they find, so that a person sees all of them at once.
type Document struct {
	// Root is the value of the file.
	Root *Node
	file string
	// nodes is the most values that it may have.
	nodes int
	errs  Errors
}

// Err returns all problems found so far, as Errors, or nil.
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
