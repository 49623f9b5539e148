// Package source finds the files of a working tree that go into an environment, and streams them as a tar.
package source

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// maxEntries, maxName and maxParts are what bothyd takes of one copy: entries, bytes of a name and parts of one.
	maxEntries = 1_000_000
	maxName    = 4096
	maxParts   = 255
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
	// SetID lists files whose set-user-ID and set-group-ID bits are left out, Attributes those with extended attributes.
	SetID, Attributes []string
	// Sparse lists files that seem to have long holes.
	Sparse []string
	// Broken lists repositories in the folder that git cannot read, which were taken as folders.
	Broken []string
	// LeftHistory lists folders whose .git is left out where git did not choose the files.
	LeftHistory []string
	// Worktrees lists working trees of a repository that lie in the folder and are copied with it.
	Worktrees []string
	// Warnings are git's own.
	Warnings []string

	unreadable names
}

// names are names of a kind: the first few, and how many there are.
type names struct {
	first []string
	count int
}

const maxNamed = 5

func (n *names) add(name string) {
	n.count++
	if len(n.first) < maxNamed {
		n.first = append(n.first, name)
	}
}

// Few is a list of names for people: a few of them, and how many more there are.
func Few(all []string) string {
	if len(all) <= maxNamed {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:maxNamed], ", "), len(all)-maxNamed)
}

// Unreadable says that files of a tree cannot be read. It names the first of them.
type Unreadable struct {
	Dir   string
	Paths []string
	Count int
}

// Error is one sentence that names them.
func (e *Unreadable) Error() string {
	more := ""
	if e.Count > len(e.Paths) {
		more = fmt.Sprintf(" and %d more", e.Count-len(e.Paths))
	}
	return fmt.Sprintf("cannot read files of %s: permission denied: %s%s", e.Dir, strings.Join(e.Paths, ", "), more)
}

// Is makes it a want of rights.
func (e *Unreadable) Is(target error) bool { return target == fs.ErrPermission }

// TooMany says that a tree has more entries, or a longer or deeper name, than one copy may have.
type TooMany struct{ Dir, Why string }

// Error is one sentence.
func (e *TooMany) Error() string { return fmt.Sprintf("cannot copy %s: %s", e.Dir, e.Why) }

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

// Check returns a *TooLarge when the tree is over limit bytes. show prints sizes.
func (t Tree) Check(limit int64, show func(int64) string) error {
	if t.Bytes <= limit {
		return nil
	}
	return &TooLarge{Tree: t, Limit: limit, format: show}
}

// stat makes the entries of paths (relative, with slashes), their folders first. What is gone by now is left out, as is what lies
// below something that is no folder any more: to git it is gone as well.
func (t *Tree) stat(root *os.Root, paths []string, exclude Exclude) error {
	slices.Sort(paths)
	paths = slices.Compact(paths)
	s := &statter{root: root, tree: t, exclude: exclude, seen: map[string]found{".": folder}}
	for _, p := range paths {
		if _, err := s.add(p); err != nil {
			return err
		}
	}
	if n := t.unreadable; n.count > 0 {
		return &Unreadable{Dir: t.Dir, Paths: n.first, Count: n.count}
	}
	if len(t.Entries) > maxEntries {
		return &TooMany{t.Dir, fmt.Sprintf("it has %d entries, and one copy may have %d", len(t.Entries), maxEntries)}
	}
	return nil
}

// found is what was found of a path.
type found byte

const (
	none found = iota + 1
	folder
	leaf
)

type statter struct {
	root    *os.Root
	tree    *Tree
	exclude Exclude
	seen    map[string]found
}

// add appends p, and its folders when they are new.
func (s *statter) add(p string) (found, error) {
	if was := s.seen[p]; was != 0 {
		return was, nil
	}
	above, err := s.add(path.Dir(p))
	if err != nil {
		return 0, err
	}
	is := none
	if above == folder && !s.exclude.Match(p) {
		if is, err = s.look(p); err != nil {
			return 0, err
		}
	}
	s.seen[p] = is
	return is, nil
}

// look appends p, which is in a folder.
func (s *statter) look(p string) (found, error) {
	t := s.tree
	info, err := s.root.Lstat(p)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return none, nil
	case errors.Is(err, fs.ErrPermission):
		t.unreadable.add(p)
		return none, nil
	case err != nil:
		return 0, fmt.Errorf("read %s: %w", p, err)
	}
	if len(p) > maxName || strings.Count(p, "/") >= maxParts {
		return 0, &TooMany{t.Dir, fmt.Sprintf("a name in it has more than %d bytes or %d parts: %.100s...", maxName, maxParts, p)}
	}
	e, is := Entry{Path: p, Mode: info.Mode(), ModTime: info.ModTime()}, leaf
	switch {
	case info.Mode().IsRegular():
		e.Size = info.Size()
		t.Files, t.Bytes = t.Files+1, t.Bytes+e.Size
		if unreadable(filepath.Join(t.Dir, p)) {
			t.unreadable.add(p)
		}
	case info.IsDir():
		is = folder
	case info.Mode().Type() == fs.ModeSymlink:
		if e.Link, err = s.root.Readlink(p); err != nil {
			return 0, fmt.Errorf("read link %s: %w", p, err)
		}
		if len(e.Link) > maxName || strings.Count(e.Link, "/") >= maxParts {
			return 0, &TooMany{t.Dir, fmt.Sprintf("the link %s leads to a name of more than %d bytes or %d parts", p, maxName, maxParts)}
		}
		t.Files++
	default:
		t.Skipped = append(t.Skipped, p)
		return none, nil
	}
	t.Entries = append(t.Entries, e)
	t.tell(e, info)
	return is, nil
}
