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

// Options say which files of a folder are meant.
type Options struct {
	// AllFiles takes the whole folder, also where git would choose.
	AllFiles bool
	// History takes the repository's .git as well.
	History bool
	// Exclude leaves files out, and folders with all that is in them.
	Exclude Exclude
}

// Exclude are patterns as of path.Match. One without a slash means the last part of a name, one with a slash all of it.
type Exclude []string

// Check returns an error for a pattern that is none.
func (e Exclude) Check() error {
	for _, pattern := range e {
		if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
			return fmt.Errorf("%q is not a pattern", pattern)
		}
	}
	return nil
}

// Match reports whether the name (relative, with slashes), or a folder that it is in, is left out.
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

// List finds the files of dir: those that git tracks, and untracked ones that it does not ignore, as they are
// now. Outside of a git repository, or when git ignores dir as a whole, it is everything but .git.
//
// Errors: *NoGit and *GitFailed when git cannot say what is meant, *Unreadable, *TooMany.
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
		return Tree{}, fmt.Errorf("find source: %w", err)
	}
	root, err := os.OpenRoot(abs)
	if info, statErr := os.Stat(abs); err != nil && statErr == nil && !info.IsDir() {
		err = &fs.PathError{Op: "open", Path: abs, Err: syscall.ENOTDIR} // which OpenRoot says in words only
	}
	if err != nil {
		return Tree{}, fmt.Errorf("open source: %w", err)
	}
	defer func() { _ = root.Close() }() // opened to read: nothing can be lost
	t := Tree{Dir: abs}
	paths, err := find(root, abs, &t)
	if err != nil {
		return Tree{}, fmt.Errorf("list source: %w", err)
	}
	if err := t.stat(root, paths, opts.Exclude); err != nil {
		return Tree{}, err
	}
	return t, nil
}

// all walks root from at and leaves out whatever is called without. With History that is nothing.
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
			return nil // it went meanwhile
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

// skip leaves an entry out, and all that is in it.
func skip(d fs.DirEntry) error {
	if d != nil && d.IsDir() {
		return fs.SkipDir
	}
	return nil
}
