package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// List finds the files of dir: those that git tracks, and untracked ones that it does not ignore, as they are
// now. Outside of a git repository, without git, or when git ignores dir as a whole, it is everything but .git.
// A link that leads out of dir is an error that names it.
func List(ctx context.Context, dir string) (Tree, error) {
	return list(dir, func(root *os.Root, abs string) ([]string, bool, error) {
		paths, chosen, err := gitFiles(ctx, abs)
		if err != nil || chosen {
			return paths, chosen, err
		}
		paths, err = allFiles(root, ".git")
		return paths, false, err
	})
}

// Folder finds everything in dir. A link that leads out of dir is an error that names it.
func Folder(dir string) (Tree, error) {
	return list(dir, func(root *os.Root, _ string) ([]string, bool, error) {
		paths, err := allFiles(root, "")
		return paths, false, err
	})
}

func list(dir string, find func(root *os.Root, abs string) (paths []string, git bool, err error)) (Tree, error) {
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
	paths, git, err := find(root, abs)
	if err != nil {
		return Tree{}, fmt.Errorf("list source: %w", err)
	}
	t := Tree{Dir: abs, Git: git}
	if err := stat(root, paths, &t); err != nil {
		return Tree{}, err
	}
	return t, nil
}

// allFiles walks root and leaves out whatever is called without.
func allFiles(root *os.Root, without string) ([]string, error) {
	var paths []string
	err := fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.Name() == without {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if p != "." {
			paths = append(paths, p)
		}
		return nil
	})
	return paths, err
}

// gitFiles lists what git would keep of dir, relative to it. chosen is false when git has no say: dir is in no
// repository, is ignored as a whole, or git is missing.
func gitFiles(ctx context.Context, dir string) (paths []string, chosen bool, err error) {
	if Repository(dir) == "" {
		return nil, false, nil
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, false, nil //nolint:nilerr // without git the folder is taken as it is
	}
	out, err := run(ctx, git, dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return nil, false, fmt.Errorf("ask git for the files of %s: %w", dir, err)
	}
	if out == "" {
		if _, err := run(ctx, git, dir, "check-ignore", "-q", dir); err == nil {
			return nil, false, nil
		}
	}
	for name := range strings.SplitSeq(out, "\x00") {
		if name == "" {
			continue
		}
		// A folder in git's list is a submodule, or a repository of its own: its own git knows what is in it. A submodule
		// that was never fetched has none; the outer one would answer in its place, with the same folder, for ever.
		name = strings.TrimSuffix(name, "/")
		sub := filepath.Join(dir, filepath.FromSlash(name))
		if _, err := os.Lstat(filepath.Join(sub, ".git")); err == nil {
			inner, _, err := gitFiles(ctx, sub)
			if err != nil {
				return nil, false, err
			}
			for _, p := range inner {
				paths = append(paths, path.Join(name, p))
			}
		}
		paths = append(paths, name)
	}
	return paths, true, nil
}

// run runs git in dir and gives what it printed.
func run(ctx context.Context, git, dir string, args ...string) (string, error) {
	// A repository may name a program as its file system monitor: listing files must not run it.
	cmd := exec.CommandContext(ctx, git, append([]string{"-C", dir, "-c", "core.fsmonitor=false"}, args...)...)
	// In a hook git sets these for its own repository; dir says which one is meant.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GIT_DIR=") || strings.HasPrefix(v, "GIT_WORK_TREE=") ||
			strings.HasPrefix(v, "GIT_INDEX_FILE=") || strings.HasPrefix(v, "GIT_PREFIX=")
	})
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return "", cause
		}
		said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("%w: %s", err, said)
	}
	return string(out), nil
}

// Repository is the root of the git working tree that dir is in, "" when it is in none.
func Repository(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for {
		_, err := os.Lstat(filepath.Join(dir, ".git"))
		if err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir || !errors.Is(err, fs.ErrNotExist) {
			return ""
		}
		dir = parent
	}
}
