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

// NoGit reports that Dir is in a repository and that git, which selects the files, is not installed.
type NoGit struct{ Dir string }

// Error returns one sentence.
func (e *NoGit) Error() string {
	return fmt.Sprintf("cannot list files of repository %s: git is not on PATH", e.Dir)
}

// GitFailed reports that git could not list the files of a repository.
type GitFailed struct {
	Dir string
	// Said is the first line of git's output, Advice the command that git recommends; may be empty.
	Said, Advice string
	Err          error
}

// Error returns one sentence with git's message.
func (e *GitFailed) Error() string {
	return fmt.Sprintf("cannot list files of repository %s: git: %s", e.Dir, e.Said)
}

// Unwrap returns the error of the git process.
func (e *GitFailed) Unwrap() error { return e.Err }

// NoHistory reports that Dir has no .git directory.
type NoHistory struct{ Dir string }

// Error returns one sentence.
func (e *NoHistory) Error() string {
	return fmt.Sprintf("cannot copy .git of %s: it has no .git directory", e.Dir)
}

// chooser lists the files of a repository and of nested repositories with git.
type chooser struct {
	// history includes the .git of nested repositories.
	history bool
	tree    *Tree
}

// files lists the files that git does not ignore in dir, relative to dir; at is the path of dir in the outer repository, "" for the
// outer one. chosen is false if git does not apply: dir is in no repository, or is ignored as a whole.
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
		// A directory in git's list is a submodule or a nested repository, which lists its own files. A submodule that was never
		// fetched is no repository: git would list the outer one instead, with the same directory, forever.
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

// inner lists the files of a nested repository; none if sub is not a repository.
func (g *chooser) inner(ctx context.Context, sub, at string) ([]string, error) {
	info, err := os.Lstat(filepath.Join(sub, ".git"))
	if err != nil {
		return nil, nil //nolint:nilerr // a file, a submodule that was never fetched, or removed meanwhile
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
		return nil, fmt.Errorf("cannot open repository: %w", err)
	}
	defer func() { _ = root.Close() }() // opened to read
	history, err := g.tree.all(root, ".git", "", Options{History: true})
	return append(paths, history...), err
}

// isWorktree reports whether a .git file belongs to a linked working tree, not to a submodule.
func isWorktree(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // opened to read
	line, _ := io.ReadAll(io.LimitReader(f, maxName))
	return bytes.HasPrefix(line, []byte("gitdir:")) && bytes.Contains(line, []byte("/.git/worktrees/"))
}

// asFolder lists the files that git would not ignore if dir were an empty repository. If git cannot read the repository in dir, its
// .gitignore still applies.
func asFolder(ctx context.Context, git, dir string) (out string, warned []string, err error) {
	empty, err := os.MkdirTemp("", "bothy-git-")
	if err != nil {
		return "", nil, fmt.Errorf("cannot list %s: %w", dir, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(empty)) }()
	if _, _, err := run(ctx, git, empty, "init", "-q", "--bare", "--template=", "."); err != nil {
		return "", nil, err
	}
	return run(ctx, git, dir, "--git-dir="+empty, "--work-tree="+dir, "-c", "core.bare=false", "ls-files", "-z", "--others", "--exclude-standard")
}

// maxWarnings is the maximum number of git warnings to keep.
const maxWarnings = 5

// run runs git in dir and returns its output and warnings.
func run(ctx context.Context, git, dir string, args ...string) (out string, warned []string, err error) {
	// A repository may configure a program as file system monitor: listing files must not run it.
	cmd := exec.CommandContext(ctx, git, append([]string{"-C", dir, "-c", "core.fsmonitor=false"}, args...)...)
	// Git hooks set these variables for their repository, but dir is the one to list.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GIT_DIR=") || strings.HasPrefix(v, "GIT_WORK_TREE=") ||
			strings.HasPrefix(v, "GIT_INDEX_FILE=") || strings.HasPrefix(v, "GIT_PREFIX=")
	}), "LC_ALL=C") // the code below looks for git's advice
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
		// git prints a recommended command on its own line after a tab.
		if advice, found := strings.CutPrefix(line, "\t"); found {
			failed.Advice = advice
		}
	}
	return "", nil, failed
}

// Repository returns the root of the git working tree of dir, "" if there is none.
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
