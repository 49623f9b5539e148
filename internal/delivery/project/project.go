// Package project recognises what a repository is by its files, and knows the usual steps to build and test each kind. It reads file
// names and a few small files, executes nothing, and believes nothing that it reads: what it returns is a proposal of commands to run
// in a sandbox.
package project

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
)

// Kind is a kind of project.
type Kind string

// The kinds that are recognised.
const (
	Debian    Kind = "debian"
	Go        Kind = "go"
	Python    Kind = "python"
	CMake     Kind = "cmake"
	Meson     Kind = "meson"
	Autotools Kind = "autotools"
	Make      Kind = "make"
	Node      Kind = "node"
)

// Step is a command of a pipeline.
type Step struct {
	// Name is unique within a pipeline: "build", "test".
	Name string
	// Run is a command line for sh -c, run in the root of the project.
	Run string
	// Root says that it runs as root, for example to install packages.
	Root bool
}

// Found is a kind that a repository appears to be.
type Found struct {
	Kind Kind
	// Why names the file that it was recognised by.
	Why string
	// Steps are the usual steps of the kind, in order.
	Steps []Step
}

// ErrUnknown means that no kind of project was recognised.
var ErrUnknown = errors.New("no known kind of project")

// maxRead is how much of a file is read, in bytes.
const maxRead = 1 << 20

// Recognise returns the kinds that the root of a repository appears to be, the most specific first: a Debian package of a Go program is
// built as a Debian package. The error wraps ErrUnknown if there is none.
func Recognise(root fs.FS) ([]Found, error) {
	entries, err := fs.ReadDir(root, ".")
	if err != nil {
		return nil, fmt.Errorf("cannot read the project's directory: %w", err)
	}
	t := tree{root: root, entries: map[string]fs.DirEntry{}}
	for _, e := range entries {
		t.entries[e.Name()] = e
	}
	var all []Found
	for _, r := range rules {
		why, steps, err := r.match(t)
		if err != nil {
			return nil, err
		}
		if why != "" && !slices.ContainsFunc(all, func(f Found) bool { return f.Kind == r.kind }) {
			all = append(all, Found{Kind: r.kind, Why: why, Steps: steps})
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: bothy looks for %s", ErrUnknown, lookedFor)
	}
	return all, nil
}

// tree is the root of a repository.
type tree struct {
	root    fs.FS
	entries map[string]fs.DirEntry
}

// file reports whether a regular file of that name is in the root.
func (t tree) file(name string) bool { e, ok := t.entries[name]; return ok && e.Type().IsRegular() }

// dir reports whether a directory of that name is in the root.
func (t tree) dir(name string) bool { e, ok := t.entries[name]; return ok && e.IsDir() }

// first returns the first of the names that is a file in the root, "" for none.
func (t tree) first(names ...string) string {
	for _, name := range names {
		if t.file(name) {
			return name
		}
	}
	return ""
}

// read returns the start of a regular file, at most maxRead bytes; nil if there is no such file. A name may have directories.
func (t tree) read(name string) ([]byte, error) {
	info, err := fs.Stat(t.root, name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil, nil // a FIFO would not end
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	f, err := t.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	var text bytes.Buffer
	_, err = io.Copy(&text, io.LimitReader(f, maxRead))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	return text.Bytes(), nil
}
