// Command mutate removes bothy's safeguards one at a time, on a copy of the tree, and runs the tests of each. If no test notices the
// removal of a safeguard, that safeguard is not proven, and mutate exits with 1.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

func main() {
	only := flag.String("only", "", "regular expression of the mutations to try; all when empty")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

// verdict is the result of one mutation.
type verdict struct {
	mutation
	// killedBy is the first test that failed; empty if all passed.
	killedBy string
	took     time.Duration
	err      error
}

func run(ctx context.Context, only string) (err error) {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("read -only: %w", err)
	}
	tree, err := copyTree(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tree)) }()

	var verdicts []verdict
	for _, m := range mutations {
		if !wanted.MatchString(m.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "trying without %s\n", m.name)
		v := m.try(ctx, tree)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		verdicts = append(verdicts, v)
		result, by := v.result()
		fmt.Fprintf(os.Stderr, "  %s: %s\n", result, by) // in case the rest is never reached
	}
	return report(verdicts)
}

const killed = "killed"

// result returns the result, and the test that decided it.
func (v verdict) result() (result, by string) {
	switch {
	case v.err != nil:
		return "not tried", strings.SplitN(v.err.Error(), "\n", 2)[0]
	case v.killedBy == "":
		return "SURVIVED", "-"
	}
	return killed, v.killedBy
}

// report prints the table, and returns an error unless every mutation was killed.
func report(verdicts []verdict) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "REMOVED\tRESULT\tBY\tSECONDS")
	survived := 0
	for _, v := range verdicts {
		result, by := v.result()
		if result != killed {
			survived++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%.0f\n", v.name, result, by, v.took.Seconds())
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("print the table: %w", err)
	}
	for _, v := range verdicts {
		if v.err != nil {
			fmt.Fprintf(os.Stderr, "\n%s: %v\n", v.name, v.err)
		}
	}
	if survived > 0 {
		return fmt.Errorf("%d of %d safeguards can be removed without a failing test", survived, len(verdicts))
	}
	return nil
}

// copyTree copies what git tracks or would add, so that uncommitted changes are included.
func copyTree(ctx context.Context) (dir string, err error) {
	root, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	from := strings.TrimSpace(string(root))
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = from
	names, err := list.Output()
	if err != nil {
		return "", fmt.Errorf("list the tree: %w", err)
	}
	if dir, err = os.MkdirTemp("", "bothy-mutate-"); err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		if err := copyFile(filepath.Join(from, name), filepath.Join(dir, name)); err != nil {
			return "", errors.Join(fmt.Errorf("copy the tree: %w", err), os.RemoveAll(dir))
		}
	}
	return dir, nil
}

func copyFile(from, to string) error {
	info, err := os.Stat(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil // tracked by git, but removed
	}
	if err != nil || info.IsDir() {
		return err
	}
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755) //nolint:gosec // a copy of world-readable files
	}
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, info.Mode().Perm())
}

// try removes one safeguard, runs its tests, and restores it.
func (m mutation) try(ctx context.Context, tree string) (v verdict) {
	v.mutation = m
	began := time.Now()
	defer func() { v.took = time.Since(began) }()
	if _, out, err := m.test(ctx, tree); err != nil {
		v.err = fmt.Errorf("its tests fail without the mutation: %w\n%s", err, out)
		return v
	}
	path := filepath.Join(tree, m.file)
	whole, err := os.ReadFile(path)
	if err != nil {
		v.err = err
		return v
	}
	without, err := m.apply(whole)
	if err == nil {
		err = os.WriteFile(path, without, 0o600)
	}
	if err != nil {
		v.err = err
		return v
	}
	defer func() { v.err = errors.Join(v.err, os.WriteFile(path, whole, 0o600)) }()
	if out, err := m.compiles(ctx, tree); err != nil {
		v.err = fmt.Errorf("the mutation does not compile: %w\n%s", err, out)
		return v
	}
	failed, out, err := m.test(ctx, tree)
	if err != nil && failed == "" {
		v.err = fmt.Errorf("no test failed, and yet: %w\n%s", err, out)
	}
	v.killedBy = failed
	return v
}

// apply removes the safeguard from its file, which must contain it exactly once.
func (m mutation) apply(text []byte) ([]byte, error) {
	if n := bytes.Count(text, []byte(m.old)); n != 1 {
		return nil, fmt.Errorf("%s: found %q %d times, want once: update the table of mutations", m.file, m.old, n)
	}
	return bytes.Replace(text, []byte(m.old), []byte(m.new), 1), nil
}

func (m mutation) compiles(ctx context.Context, tree string) (string, error) {
	return goTool(ctx, tree, "test", "-run", "^$", m.pkg)
}

// test runs the mutation's tests and returns the name of the first that failed.
func (m mutation) test(ctx context.Context, tree string) (failed, out string, err error) {
	out, err = goTool(ctx, tree, "test", "-count=1", "-failfast", "-timeout", "10m", "-run", m.run, m.pkg)
	if err == nil && strings.Contains(out, "no tests to run") {
		return "", out, errors.New("no such tests")
	}
	if found := failedTest.FindAllStringSubmatch(out, -1); err != nil && len(found) > 0 {
		// The innermost one: parents fail, too.
		failed = found[len(found)-1][1]
	}
	return failed, out, err
}

var failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

func goTool(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}
