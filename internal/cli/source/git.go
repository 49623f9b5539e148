package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// NoGit says that dir is in a repository, and that no git is installed that could choose its files.
type NoGit struct{ Dir string }

// Error is one sentence.
func (e *NoGit) Error() string {
	return fmt.Sprintf("cannot choose the files of repository %s: git is not on PATH", e.Dir)
}

// GitFailed says that git could not list a repository's files.
type GitFailed struct {
	Dir string
	// Said is git's first line, Advice the command that it tells to run; may be empty.
	Said, Advice string
	Err          error
}

// Error is one sentence with git's own.
func (e *GitFailed) Error() string {
	return fmt.Sprintf("git cannot list the files of %s: %s", e.Dir, e.Said)
}

// Unwrap gives what became of git's process.
func (e *GitFailed) Unwrap() error { return e.Err }

// NoHistory says that dir has no .git folder of its own.
type NoHistory struct{ Dir string }

// Error is one sentence.
func (e *NoHistory) Error() string {
	return fmt.Sprintf("cannot copy the history of %s: it has no .git folder of its own", e.Dir)
}

// chooser asks git for the files of a repository and of those inside it.
type chooser struct {
	// history takes the .git of inner repositories.
	history bool
	tree    *Tree
}

// files lists what git would keep of dir, relative to it; at is where dir is in the outer one, "" for that itself. chosen is false
// when git has no say: dir is in no repository, or is ignored as a whole.
func (g *chooser) files(ctx context.Context, dir, at string) (paths []string, chosen bool, err error) {
	repository := Repository(dir)
	if repository == "" {
		return nil, false, nil
	}
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, false, &NoGit{repository}
	}
	out, warned, err := run(ctx, git, dir, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil && at != "" && context.Cause(ctx) == nil {
		g.tree.Broken = append(g.tree.Broken, at)
		out, warned, err = asFolder(ctx, git, dir)
	}
	if err != nil {
		return nil, false, err
	}
	g.tree.Warnings = append(g.tree.Warnings, warned...)
	if out == "" {
		if _, _, err := run(ctx, git, dir, "check-ignore", "-q", dir); err == nil {
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
		inner, err := g.inner(ctx, filepath.Join(dir, filepath.FromSlash(name)), path.Join(at, name))
		if err != nil {
			return nil, false, err
		}
		for _, p := range inner {
			paths = append(paths, path.Join(name, p))
		}
		paths = append(paths, name)
	}
	return paths, true, nil
}

// inner lists the files of a repository inside another one; none when sub is no repository.
func (g *chooser) inner(ctx context.Context, sub, at string) ([]string, error) {
	info, err := os.Lstat(filepath.Join(sub, ".git"))
	if err != nil {
		return nil, nil //nolint:nilerr // a file, a folder that was never fetched, or gone by now
	}
	if info.Mode().IsRegular() && isWorktree(filepath.Join(sub, ".git")) {
		g.tree.Worktrees = append(g.tree.Worktrees, at)
	}
	paths, _, err := g.files(ctx, sub, at)
	if err != nil || !g.history {
		return paths, err
	}
	if !info.IsDir() {
		return append(paths, ".git"), nil
	}
	root, err := os.OpenRoot(sub)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	defer func() { _ = root.Close() }() // opened to read
	history, err := g.tree.all(root, ".git", "", Options{History: true})
	return append(paths, history...), err
}

// isWorktree reports whether a .git file is that of a further working tree of some repository, not of a submodule.
func isWorktree(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // opened to read
	line, _ := io.ReadAll(io.LimitReader(f, maxName))
	return bytes.HasPrefix(line, []byte("gitdir:")) && bytes.Contains(line, []byte("/.git/worktrees/"))
}

// asFolder lists what an empty repository in dir would call new and not ignored: where git cannot read the one that is there, its
// .gitignore still says what is not meant to leave the folder.
func asFolder(ctx context.Context, git, dir string) (out string, warned []string, err error) {
	empty, err := os.MkdirTemp("", "bothy-git-")
	if err != nil {
		return "", nil, fmt.Errorf("list %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(empty)) }()
	if _, _, err := run(ctx, git, empty, "init", "-q", "--bare", "--template=", "."); err != nil {
		return "", nil, err
	}
	return run(ctx, git, dir, "--git-dir="+empty, "--work-tree="+dir, "-c", "core.bare=false", "ls-files", "-z", "--others", "--exclude-standard")
}

// maxWarnings is how many of git's warnings are kept.
const maxWarnings = 5

// run runs git in dir and gives what it printed, and what it warned of.
func run(ctx context.Context, git, dir string, args ...string) (out string, warned []string, err error) {
	// A repository may name a program as its file system monitor: listing files must not run it.
	cmd := exec.CommandContext(ctx, git, append([]string{"-C", dir, "-c", "core.fsmonitor=false"}, args...)...)
	// In a hook git sets these for its own repository; dir says which one is meant.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GIT_DIR=") || strings.HasPrefix(v, "GIT_WORK_TREE=") ||
			strings.HasPrefix(v, "GIT_INDEX_FILE=") || strings.HasPrefix(v, "GIT_PREFIX=")
	}), "LC_ALL=C") // what it advises is read here
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	said := strings.Split(strings.TrimSpace(stderr.String()), "\n")
	if err == nil {
		for _, line := range said[:min(maxWarnings, len(said))] {
			if line != "" {
				warned = append(warned, line)
			}
		}
		return string(stdout), warned, nil
	}
	if cause := context.Cause(ctx); cause != nil {
		return "", nil, cause
	}
	failed := &GitFailed{Dir: dir, Said: said[0], Err: err}
	if failed.Said == "" {
		failed.Said = err.Error()
	}
	for _, line := range said {
		// A command to run stands on a line of its own behind a tab.
		if advice, found := strings.CutPrefix(line, "\t"); found {
			failed.Advice = advice
		}
	}
	return "", nil, failed
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
