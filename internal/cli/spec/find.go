package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	bothyspec "github.com/bothy-env/bothy/internal/spec"
)

// Find reads the bothy.yaml in dir or the nearest parent within the repository. found is false if there is none.
func Find(dir string) (s bothyspec.Spec, found bool, err error) {
	path, err := bothyspec.Find(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return bothyspec.Spec{}, false, called(dir)
	}
	if err != nil {
		return bothyspec.Spec{}, false, Fault(err)
	}
	s, err = Load(short(path))
	return s, err == nil, err
}

// called returns an error if there is a spec with a wrong file name, instead of ignoring it.
func called(dir string) error {
	path := bothyspec.Misnamed(dir)
	if path == "" {
		return nil
	}
	path = short(path)
	return &cmdutil.Error{Code: wire.CodeInvalid, Sentence: fmt.Sprintf("cannot use %s: the file must be named %s", path, bothyspec.FileName),
		Hint: fmt.Sprintf("mv %s %s", path, filepath.Join(filepath.Dir(path), bothyspec.FileName))}
}

// Load reads the spec at path. Its error lists every error with its place.
func Load(path string) (bothyspec.Spec, error) {
	s, err := bothyspec.Load(path)
	return s, Fault(err)
}

// Fault adds code and places to an error of package bothyspec; nil stays nil.
func Fault(err error) error {
	if err == nil {
		return nil
	}
	wrong, ok := errors.AsType[bothyspec.Errors](err)
	if !ok || len(wrong) == 0 {
		code := wire.CodeInvalid
		if errors.Is(err, fs.ErrNotExist) {
			code = wire.CodeNotFound
		}
		return &cmdutil.Error{Code: code, Sentence: err.Error(), Err: err}
	}
	e := &cmdutil.Error{Code: wire.CodeInvalid, Sentence: wrong[0].File + " has an error", Hint: "bothy spec schema    prints the allowed keys and values", Err: err}
	if len(wrong) > 1 {
		e.Sentence = fmt.Sprintf("%s has %d errors", wrong[0].File, len(wrong))
	}
	for _, w := range wrong {
		at := wire.FilePlace{File: w.File, Line: w.Line, Column: w.Col, Path: w.Path}
		e.Places = append(e.Places, cmdutil.WrongPlace(at, w.Found, w.Want))
	}
	return e
}

// short returns path relative to the current directory if it is below it, so that editors can jump to it.
func short(path string) string {
	here, err := filepath.Abs(".")
	if err != nil {
		return path
	}
	rel, err := filepath.Rel(here, path)
	if err != nil || !filepath.IsLocal(rel) {
		return path
	}
	return rel
}
