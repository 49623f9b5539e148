package blueprint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
)

// CheckOptions are the arguments of `blueprint check`.
type CheckOptions struct {
	Factory *cmdutil.Factory
	Dir     string
}

// Checked is what `blueprint check` prints with --output json.
type Checked struct {
	Folder  string `json:"folder"`
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// NewCmdCheck makes `bothy blueprint check`.
func NewCmdCheck(f *cmdutil.Factory, runF func(context.Context, *CheckOptions) error) *cobra.Command {
	opts := &CheckOptions{Factory: f}
	return &cobra.Command{
		Use:   "check DIR",
		Short: "Check the directory of a blueprint",
		Long: `Checks blueprint.yaml and the *.tf files in a directory against the rules of the daemon, without a daemon. Prints every error as
FILE:LINE:COLUMN with the value found and the values allowed, and exits with code 2.

The daemon also refuses directories that other users may write, and runs terraform validate. This command does neither.`,
		Example: `  bothy blueprint check ./blueprints/web
  bothy blueprint check . --output json`,
		Args: cmdutil.Args(1, 1, "the directory of one blueprint"),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Dir = args[0]
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return checkRun(opts)
		},
	}
}

func checkRun(opts *CheckOptions) error {
	bp, err := blueprint.Check(opts.Dir)
	if err != nil {
		return fault(opts.Dir, err)
	}
	checked := Checked{Folder: opts.Dir, Name: bp.Ref.Name, Version: bp.Ref.Version, Digest: bp.Ref.Digest}
	return opts.Factory.Print(checked, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: blueprint %s is valid\n", format.Clean(opts.Dir), format.Clean(bp.Ref.String()))
		return err
	})
}

// fault adds code and places to an error of package blueprint.
func fault(dir string, err error) error {
	e := &cmdutil.Error{Code: wire.CodeInvalid, Sentence: err.Error(), Err: err}
	if errors.Is(err, fs.ErrNotExist) {
		e.Code = wire.CodeNotFound
		return e
	}
	refusal, ok := errors.AsType[*blueprint.Refusal](err)
	if !ok {
		return e
	}
	switch n := len(refusal.Errors) + refusal.More; {
	case n == 1:
		e.Sentence = "the blueprint in " + dir + " has an error"
	case refusal.More == 0:
		e.Sentence = fmt.Sprintf("the blueprint in %s has %d errors", dir, n)
	default:
		e.Sentence = fmt.Sprintf("the blueprint in %s has %d errors, of which the first %d are", dir, n, len(refusal.Errors))
	}
	e.Hint = "fix the errors, or trust the blueprint as it is: add its digest to trusted_blueprints of bothyd: " + refusal.Digest
	for _, w := range refusal.Errors {
		at := wire.FilePlace{File: w.File, Line: w.Line, Column: w.Col, Path: w.Path}
		e.Places = append(e.Places, cmdutil.WrongPlace(at, w.Found, w.Want))
	}
	return e
}
