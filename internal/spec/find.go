package spec

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bothy-env/bothy/internal/strictyaml"
)

// Find returns the path of the nearest bothy.yaml in dir or a parent within the
// repository. Outside of a repository it looks only in dir, so that it never uses
// another user's file in /tmp. If there is none the error is fs.ErrNotExist.
func Find(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("cannot find %s: %w", FileName, err)
	}
	top := root(dir)
	for at := dir; ; at = filepath.Dir(at) {
		file := filepath.Join(at, FileName)
		switch info, err := os.Stat(file); {
		case err == nil && info.Mode().IsRegular():
			return file, nil
		case err == nil:
			return "", fmt.Errorf("cannot read %s: not a regular file", file)
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("cannot find %s: %w", FileName, err)
		}
		if at == top {
			return "", fmt.Errorf("cannot find %s in %s or a parent within the repository: %w", FileName, dir, fs.ErrNotExist)
		}
	}
}

// misnamed are wrong names of a spec that other tools would accept.
var misnamed = []string{"bothy.yml", ".bothy.yaml", ".bothy.yml"}

// Misnamed returns the path of a file in Find's directories with a misspelt name, which Find ignores; "" if there is none.
func Misnamed(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	top := root(dir)
	for at := dir; ; at = filepath.Dir(at) {
		for _, name := range misnamed {
			if info, err := os.Stat(filepath.Join(at, name)); err == nil && info.Mode().IsRegular() {
				return filepath.Join(at, name)
			}
		}
		if at == top {
			return ""
		}
	}
}

// Above returns the path of the nearest bothy.yaml above dir that Find ignores because it is not in the same repository; "" if
// there is none.
func Above(dir string) string {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return ""
	}
	for at := filepath.Dir(root(dir)); ; at = filepath.Dir(at) {
		file := filepath.Join(at, FileName)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file
		}
		if at == filepath.Dir(at) {
			return ""
		}
	}
}

// root returns the nearest directory at or above dir that contains .git; dir itself if there is none.
func root(dir string) string {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Lstat(filepath.Join(at, ".git")); err == nil {
			return at
		}
		if at == filepath.Dir(at) {
			return dir
		}
	}
}

// Load reads and parses the spec at a path. It never reads more than the maximum size of a spec.
func Load(file string) (Spec, error) {
	f, err := os.Open(file)
	if err != nil {
		return Spec{}, fmt.Errorf("cannot read "+FileName+": %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, strictyaml.MaxBytes+1))
	if err != nil {
		return Spec{}, fmt.Errorf("cannot read "+FileName+": %w", err)
	}
	return Parse(file, data)
}

// SourceDir returns the absolute path of the source directory with links resolved, or "" for NoSource. A missing
// path, a file, or a path outside of the repository is an error.
func (s Spec) SourceDir() (string, error) {
	if s.Source == NoSource {
		return "", nil
	}
	base, err := filepath.Abs(filepath.Dir(s.File))
	if err != nil {
		return "", fmt.Errorf("cannot find source %s: %w", s.Source, err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(base, filepath.FromSlash(s.Source)))
	if err != nil {
		return "", fmt.Errorf("cannot find source %s of %s: %w", s.Source, s.File, err)
	}
	top, err := filepath.EvalSymlinks(root(base))
	if err != nil {
		return "", fmt.Errorf("cannot find source %s of %s: %w", s.Source, s.File, err)
	}
	if dir != top && !strings.HasPrefix(dir, strings.TrimSuffix(top, "/")+"/") {
		return "", fmt.Errorf("cannot use source %s of %s: it leads to %s, outside of %s", s.Source, s.File, dir, top)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("cannot find source %s of %s: %w", s.Source, s.File, err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("cannot use source %s of %s: not a directory", s.Source, s.File)
	}
	return dir, nil
}
