// Package source finds the files of a working tree to copy to an environment, and streams them as a tar.
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
	// maxEntries, maxName and maxParts are the limits of bothyd for one copy: entries, bytes of a name, and elements of a name.
	maxEntries = 1_000_000
	maxName    = 4096
	maxParts   = 255
)

// Entry is one file, directory or symbolic link of a tree.
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

// Tree is the result of List.
type Tree struct {
	// Dir is the tree's root.
	Dir string
	// Git reports that git selected the files; otherwise the tree has everything but .git.
	Git bool
	// Entries are sorted: a directory comes before its content.
	Entries []Entry
	// Files counts regular files and links, Bytes their sizes together.
	Files int
	Bytes int64
	// Skipped lists entries that a tar cannot contain: sockets, pipes, devices.
	Skipped []string
	// SetID lists files whose set-user-ID and set-group-ID bits are dropped, Attributes files whose extended attributes are.
	SetID, Attributes []string
	// Sparse lists files that seem to have long holes.
	Sparse []string
	// Broken lists nested repositories that git cannot read, which are treated as directories.
	Broken []string
	// LeftHistory lists directories whose .git is skipped although git did not select the files.
	LeftHistory []string
	// Worktrees lists nested working trees that are included.
	Worktrees []string
	// Warnings are the warnings of git.
	Warnings []string

	unreadable names
}

// names holds the first few names of a kind, and their total number.
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

// Few formats a list of names for people: the first few, and the number of the others.
func Few(all []string) string {
	if len(all) <= maxNamed {
		return strings.Join(all, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(all[:maxNamed], ", "), len(all)-maxNamed)
}

// Unreadable reports that files of a tree cannot be read, and names the first ones.
type Unreadable struct {
	Dir   string
	Paths []string
	Count int
}

// Error returns one sentence that names them.
func (e *Unreadable) Error() string {
	more := ""
	if e.Count > len(e.Paths) {
		more = fmt.Sprintf(" and %d more", e.Count-len(e.Paths))
	}
	return fmt.Sprintf("cannot read files in %s: permission denied: %s%s", e.Dir, strings.Join(e.Paths, ", "), more)
}

// Is makes it an fs.ErrPermission.
func (e *Unreadable) Is(target error) bool { return target == fs.ErrPermission }

// TooMany reports that a tree has more entries, or a longer or deeper name, than the daemon accepts in one copy.
type TooMany struct{ Dir, Why string }

// Error returns one sentence.
func (e *TooMany) Error() string { return fmt.Sprintf("cannot copy %s: %s", e.Dir, e.Why) }

// TooLarge reports that a tree exceeds its limit, and names the largest files.
type TooLarge struct {
	Tree   Tree
	Limit  int64
	format func(int64) string
}

// Error returns one sentence with the sizes.
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
	return fmt.Sprintf("cannot copy %s: %s in %d files exceeds the limit of %s; largest files: %s",
		e.Tree.Dir, e.format(e.Tree.Bytes), e.Tree.Files, e.format(e.Limit), strings.Join(biggest, ", "))
}

// Check returns a *TooLarge if the tree exceeds limit bytes. show formats sizes.
func (t Tree) Check(limit int64, show func(int64) string) error {
	if t.Bytes <= limit {
		return nil
	}
	return &TooLarge{Tree: t, Limit: limit, format: show}
}

// stat creates the entries of paths (relative, with slashes), parents first. It skips paths that were removed meanwhile, and paths
// below something that is no longer a directory: git treats them as removed too.
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
		return &TooMany{t.Dir, fmt.Sprintf("it has %d entries, and the limit is %d per copy", len(t.Entries), maxEntries)}
	}
	return nil
}

// found is the kind of entry at a path.
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

// add appends p and its parents, each once.
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

// look appends p, whose parent is a directory.
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
		return 0, &TooMany{t.Dir, fmt.Sprintf("it contains a name of more than %d bytes or %d elements: %.100s...", maxName, maxParts, p)}
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
			return 0, &TooMany{t.Dir, fmt.Sprintf("the target of link %s has more than %d bytes or %d elements", p, maxName, maxParts)}
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
