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

// Find gives the path of the nearest bothy.yaml: in dir, or above it up to the
// root of the repository that dir is in. Outside of a repository only dir itself counts, so that
// nobody else's file in /tmp is taken. Without one the error is fs.ErrNotExist.
func Find(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find %s: %w", FileName, err)
	}
	top := root(dir)
	for at := dir; ; at = filepath.Dir(at) {
		file := filepath.Join(at, FileName)
		switch info, err := os.Stat(file); {
		case err == nil && info.Mode().IsRegular():
			return file, nil
		case err == nil:
			return "", fmt.Errorf("read %s: it is not a regular file", file)
		case !errors.Is(err, fs.ErrNotExist):
			return "", fmt.Errorf("find %s: %w", FileName, err)
		}
		if at == top {
			return "", fmt.Errorf("find %s in %s or above it in the repository: %w", FileName, dir, fs.ErrNotExist)
		}
	}
}

// misnamed are what people call a spec besides FileName, as other tools take.
var misnamed = []string{"bothy.yml", ".bothy.yaml", ".bothy.yml"}

// Misnamed gives the path of a file where Find looks that is called almost as a spec is, and is not read; "" when there is none.
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

// Above gives the path of the nearest bothy.yaml above dir that Find leaves out because no repository holds both; "" when
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

// root is the nearest folder at or above dir that holds .git; dir itself when there is none.
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

// Load reads and parses the spec at a path. It never reads more than a spec may hold.
func Load(file string) (Spec, error) {
	f, err := os.Open(file)
	if err != nil {
		return Spec{}, fmt.Errorf("read spec: %w", err)
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(f, strictyaml.MaxBytes+1))
	if err != nil {
		return Spec{}, fmt.Errorf("read spec: %w", err)
	}
	return Parse(file, data)
}

// SourceDir gives the absolute folder that the spec's source names, links
// followed, or "" for NoSource. One that is not there, is no folder, or leads out of the repository is an error.
func (s Spec) SourceDir() (string, error) {
	if s.Source == NoSource {
		return "", nil
	}
	base, err := filepath.Abs(filepath.Dir(s.File))
	if err != nil {
		return "", fmt.Errorf("find source %s: %w", s.Source, err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Join(base, filepath.FromSlash(s.Source)))
	if err != nil {
		return "", fmt.Errorf("find source %s of %s: %w", s.Source, s.File, err)
	}
	top, err := filepath.EvalSymlinks(root(base))
	if err != nil {
		return "", fmt.Errorf("find source %s of %s: %w", s.Source, s.File, err)
	}
	if dir != top && !strings.HasPrefix(dir, strings.TrimSuffix(top, "/")+"/") {
		return "", fmt.Errorf("source %s of %s leads to %s, outside of %s", s.Source, s.File, dir, top)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return "", fmt.Errorf("find source %s of %s: %w", s.Source, s.File, err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("source %s of %s is not a folder", s.Source, s.File)
	}
	return dir, nil
}
