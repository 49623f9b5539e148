package source_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/cli/source"
)

// TestFoldersThatBecameLinksOrFiles: what the index has below them is gone, as git status says.
func TestFoldersThatBecameLinksOrFiles(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	plant(t, dir, map[string]string{".claude/skills/demo/SKILL.md": "hi", "cfg/a": "1", "file": "2", ".agents/": ""})
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "a")
	for from, to := range map[string]string{".claude/skills": ".agents/skills", "cfg": "old"} {
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	plant(t, dir, map[string]string{".claude/skills": "-> ../.agents/skills", "cfg": "new", "file/in": "3"})
	want := []string{
		".agents", ".agents/skills", ".agents/skills/demo", ".agents/skills/demo/SKILL.md", ".claude", ".claude/skills",
		"cfg", "file", "file/in", "old", "old/a",
	}
	if diff := cmp.Diff(want, paths(list(t, dir))); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

// TestWithoutGitARepositoryIsNotSent: its .gitignore names secrets.
func TestWithoutGitARepositoryIsNotSent(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{".git/HEAD": "x", ".gitignore": ".env", ".env": "SECRET=1", "main.c": "1"})
	t.Setenv("PATH", t.TempDir())
	_, err := source.List(t.Context(), dir, source.Options{})
	if none, ok := errors.AsType[*source.NoGit](err); !ok || none.Dir != dir {
		t.Errorf("error = %v, want that there is no git", err)
	}
	tree, err := source.List(t.Context(), dir, source.Options{AllFiles: true})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".env", ".gitignore", "main.c"}, paths(tree)); diff != "" || tree.Git {
		t.Errorf("all files, git = %v (-want +got):\n%s", tree.Git, diff)
	}
}

// TestGitsAdviceIsKept: what git says of a repository that it does not trust has the command to run on a later line.
func TestGitsAdviceIsKept(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	plant(t, dir, map[string]string{"a": "1"})
	t.Setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
	_, err := source.List(t.Context(), dir, source.Options{})
	failed, ok := errors.AsType[*source.GitFailed](err)
	if !ok || !strings.Contains(failed.Said, "dubious ownership") || failed.Advice != "git config --global --add safe.directory "+dir {
		t.Errorf("error = %v (advice %q), want git's words and its advice", err, failed.Advice)
	}
	broken := t.TempDir()
	plant(t, broken, map[string]string{".git": "gitdir: /nowhere", "a": "1"})
	if _, err := source.List(t.Context(), broken, source.Options{}); err == nil || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("a worktree whose repository is gone: error = %v, want git's words", err)
	}
}

// TestAnInnerRepositoryThatGitCannotReadIsAFolder: the outer one is sent as git says, the inner one by its .gitignore, with a note.
func TestAnInnerRepositoryThatGitCannotReadIsAFolder(t *testing.T) {
	lib, dir := t.TempDir(), t.TempDir()
	git(t, lib, "init", "-q")
	plant(t, lib, map[string]string{"lib.c": "1", ".gitignore": ".env\n"})
	git(t, lib, "add", "-A")
	git(t, lib, "commit", "-qm", "x")
	git(t, dir, "init", "-q")
	git(t, dir, "submodule", "--quiet", "add", lib, "vendor/lib")
	if err := os.RemoveAll(filepath.Join(dir, ".git/modules")); err != nil {
		t.Fatal(err)
	}
	plant(t, dir, map[string]string{"vendor/lib/.env": "SECRET=1", "main.c": "2", ".gitignore": "*.o", "main.o": "3"})
	tree := list(t, dir)
	want := []string{".gitignore", ".gitmodules", "main.c", "vendor", "vendor/lib", "vendor/lib/.gitignore", "vendor/lib/lib.c"}
	if diff := cmp.Diff(want, paths(tree)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"vendor/lib"}, tree.Broken); diff != "" {
		t.Errorf("broken (-want +got):\n%s", diff)
	}
}

// TestWorktreesInTheFolderAreTold: they are copies of the whole repository.
func TestWorktreesInTheFolderAreTold(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	plant(t, dir, map[string]string{"a": "1"})
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "x")
	git(t, dir, "worktree", "add", "-q", ".claude/worktrees/one")
	tree := list(t, dir)
	if diff := cmp.Diff([]string{".claude/worktrees/one"}, tree.Worktrees); diff != "" {
		t.Errorf("worktrees (-want +got):\n%s", diff)
	}
	plant(t, dir, map[string]string{".gitignore": ".claude/worktrees"})
	if tree = list(t, dir); len(tree.Worktrees) > 0 || tree.Files != 2 {
		t.Errorf("ignored: worktrees %v, %d files", tree.Worktrees, tree.Files)
	}
}

// TestHistoryIsTakenOnRequest: .git and those of submodules go along.
func TestHistoryIsTakenOnRequest(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	plant(t, dir, map[string]string{"a": "1", "sub/b": "2"})
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-qm", "x")
	tree, err := source.List(t.Context(), dir, source.Options{History: true})
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	for _, e := range tree.Entries {
		to := filepath.Join(copied, e.Path)
		switch {
		case e.Mode.IsDir():
			err = os.Mkdir(to, 0o755)
		case e.Mode.IsRegular():
			var content []byte
			if content, err = os.ReadFile(filepath.Join(dir, e.Path)); err == nil {
				err = os.WriteFile(to, content, 0o600)
			}
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			t.Fatal(err)
		}
	}
	git(t, copied, "log", "-1")
	git(t, copied, "diff", "--stat", "--exit-code")
	_, err = source.List(t.Context(), filepath.Join(dir, "sub"), source.Options{History: true})
	if _, ok := errors.AsType[*source.NoHistory](err); !ok {
		t.Errorf("of a folder in the repository: error = %v, want that it has no history of its own", err)
	}
}
