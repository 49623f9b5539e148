// Package source finds the files of a working tree that go into an environment, and streams them as a tar.
package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/cli/links"
)

// Entry is one file, folder or symbolic link of a tree.
type Entry struct {
	// Path is relative to the tree's root, with slashes.
	Path string
	Mode fs.FileMode
	// Size in bytes; 0 unless the entry is a regular file.
	Size    int64
	ModTime time.Time
	// Link is the target of a symbolic link.
	Link string
}

// Tree is what List found.
type Tree struct {
	// Dir is the tree's root.
	Dir string
	// Git says that git chose the files; otherwise all but .git were taken.
	Git bool
	// Entries in order: a folder comes before what is in it.
	Entries []Entry
	// Files counts regular files and links, Bytes their sizes together.
	Files int
	Bytes int64
	// Skipped lists what has no place in an archive: sockets, pipes, devices.
	Skipped []string
}

// TooLarge says that a tree is over its limit. It names the biggest files.
type TooLarge struct {
	Tree   Tree
	Limit  int64
	format func(int64) string
}

// Error is one sentence with the figures.
func (e *TooLarge) Error() string {
	files := slices.Clone(e.Tree.Entries)
	slices.SortStableFunc(files, func(a, b Entry) int {
		switch {
		case a.Size > b.Size:
			return -1
		case a.Size < b.Size:
			return 1
		}
		return 0
	})
	var biggest []string
	for _, f := range files[:min(5, len(files))] {
		if f.Size > 0 {
			biggest = append(biggest, fmt.Sprintf("%s (%s)", f.Path, e.format(f.Size)))
		}
	}
	return fmt.Sprintf("source %s is %s in %d files, over the limit of %s; biggest: %s",
		e.Tree.Dir, e.format(e.Tree.Bytes), e.Tree.Files, e.format(e.Limit), strings.Join(biggest, ", "))
}

// LeadsOut says that a link of a tree leads out of it. Nothing else is wrong with the tree.
type LeadsOut struct {
	// Path is relative to the tree's root, with slashes; Link is what it leads to, as it is written.
	Path, Link string
}

// Error is one sentence with both.
func (e *LeadsOut) Error() string {
	return fmt.Sprintf("%s is a link to %s, which is outside of the source", e.Path, e.Link)
}

// Check returns a *TooLarge when the tree is over limit bytes. show prints sizes.
func (t Tree) Check(limit int64, show func(int64) string) error {
	if t.Bytes <= limit {
		return nil
	}
	return &TooLarge{Tree: t, Limit: limit, format: show}
}

// stat makes the entries of paths (relative, with slashes), their folders first. What is gone by now is left out.
func stat(root *os.Root, paths []string, t *Tree) error {
	slices.Sort(paths)
	paths = slices.Compact(paths)
	seen := map[string]bool{".": true}
	for _, p := range paths {
		if err := add(root, p, seen, t); err != nil {
			return err
		}
	}
	return nil
}

// add appends p, and its folders when they are new.
func add(root *os.Root, p string, seen map[string]bool, t *Tree) error {
	if seen[p] {
		return nil
	}
	if err := add(root, path.Dir(p), seen, t); err != nil {
		return err
	}
	info, err := root.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", p, err)
	}
	seen[p] = true
	e := Entry{Path: p, Mode: info.Mode(), ModTime: info.ModTime()}
	switch {
	case info.Mode().IsRegular():
		e.Size = info.Size()
		t.Files, t.Bytes = t.Files+1, t.Bytes+e.Size
	case info.IsDir():
	case info.Mode().Type() == fs.ModeSymlink:
		if e.Link, err = root.Readlink(p); err != nil {
			return fmt.Errorf("read link %s: %w", p, err)
		}
		if !links.StayInside(root, p, e.Link) {
			return &LeadsOut{Path: p, Link: e.Link}
		}
		t.Files++
	default:
		t.Skipped = append(t.Skipped, p)
		return nil
	}
	t.Entries = append(t.Entries, e)
	return nil
}
