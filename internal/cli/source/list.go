package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
)

// Options select files of a directory.
type Options struct {
	// AllFiles includes every file, even if git ignores it.
	AllFiles bool
	// History includes .git.
	History bool
	// Exclude skips files, and directories with their content.
	Exclude Exclude
}

// Exclude are patterns of path.Match. A pattern without a slash matches the last element of a name, one with a slash the whole name.
type Exclude []string

// Check returns an error for an invalid pattern.
func (e Exclude) Check() error {
	for _, pattern := range e {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("got %q, want a pattern, for example *.o", pattern)
		}
	}
	return nil
}

// Match reports whether a pattern matches the name (relative, with slashes) or one of its parents.
func (e Exclude) Match(name string) bool {
	for _, pattern := range e {
		for at := name; at != "." && at != "/"; at = path.Dir(at) {
			if whole, _ := path.Match(pattern, at); whole {
				return true
			}
			if last, _ := path.Match(pattern, path.Base(at)); last {
				return true
			}
		}
	}
	return false
}

// List finds the current files of dir: files that git tracks, and untracked files that git does not ignore. Outside of a git
// repository, or if git ignores dir as a whole, it finds everything but .git.
//
// Errors: *NoGit and *GitFailed if git cannot list the files, *Unreadable, *TooMany.
func List(ctx context.Context, dir string, opts Options) (Tree, error) {
	return list(dir, opts, func(root *os.Root, abs string, t *Tree) (paths []string, err error) {
		if !opts.AllFiles {
			g := &chooser{history: opts.History, tree: t}
			if paths, t.Git, err = g.files(ctx, abs, ""); err != nil {
				return nil, err
			}
		}
		if !t.Git {
			return t.all(root, ".", ".git", opts)
		}
		if opts.History {
			if info, err := root.Lstat(".git"); err != nil || !info.IsDir() {
				return nil, &NoHistory{Dir: abs}
			}
			history, err := t.all(root, ".git", "", opts)
			return append(paths, history...), err
		}
		return paths, nil
	})
}

// Folder finds everything in dir. Errors: *Unreadable, *TooMany.
func Folder(dir string, exclude Exclude) (Tree, error) {
	opts := Options{AllFiles: true, History: true, Exclude: exclude}
	return list(dir, opts, func(root *os.Root, _ string, t *Tree) ([]string, error) { return t.all(root, ".", "", opts) })
}

func list(dir string, opts Options, find func(*os.Root, string, *Tree) ([]string, error)) (Tree, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Tree{}, fmt.Errorf("cannot find source: %w", err)
	}
	root, err := os.OpenRoot(abs)
	if info, statErr := os.Stat(abs); err != nil && statErr == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: abs, Err: syscall.ENOTDIR} // OpenRoot has no error value for this
	}
	if err != nil {
		return Tree{}, fmt.Errorf("cannot open source: %w", err)
	}
	defer func() { _ = root.Close() }() // read only
	t := Tree{Dir: abs}
	paths, err := find(root, abs, &t)
	if err != nil {
		return Tree{}, fmt.Errorf("cannot list source: %w", err)
	}
	if err := t.stat(root, paths, opts.Exclude); err != nil {
		return Tree{}, err
	}
	return t, nil
}

// all walks root from at and skips every entry named without, unless History is set.
func (t *Tree) all(root *os.Root, at, without string, opts Options) ([]string, error) {
	var paths []string
	if opts.History {
		without = ""
	}
	err := fs.WalkDir(root.FS(), at, func(p string, d fs.DirEntry, err error) error {
		switch {
		case p != "." && opts.Exclude.Match(p):
			return skip(d)
		case errors.Is(err, fs.ErrPermission) && d != nil && p != ".":
			t.unreadable.add(p)
			return fs.SkipDir
		case errors.Is(err, fs.ErrNotExist) && p != ".":
			return nil // removed meanwhile
		case err != nil:
			return err
		case without != "" && d.Name() == without:
			t.LeftHistory = append(t.LeftHistory, path.Dir(p))
			return skip(d)
		case p != ".":
			paths = append(paths, p)
		}
		return nil
	})
	return paths, err
}

// skip skips an entry and its content.
func skip(d fs.DirEntry) error {
	if d != nil && d.IsDir() {
		return fs.SkipDir
	}
	return nil
}
