package spec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	bothyspec "github.com/bothy-env/bothy/internal/spec"
)

// CheckOptions are the arguments of `spec check`.
type CheckOptions struct {
	Factory *cmdutil.Factory
	// File is empty for the nearest bothy.yaml.
	File string
}

// Checked is what `spec check` prints with --output json. Empty fields are omitted.
type Checked struct {
	File        string            `json:"file"`
	Name        string            `json:"name,omitempty"`
	Blueprint   string            `json:"blueprint,omitempty"`
	Size        string            `json:"size,omitempty"`
	Share       string            `json:"share,omitempty"`
	TTLSeconds  int64             `json:"ttl_seconds,omitempty"`
	IdleSeconds int64             `json:"idle_seconds,omitempty"`
	Env         map[string]string `json:"env,omitempty"`
	Params      map[string]any    `json:"params,omitempty"`
	Source      string            `json:"source"`
}

// NewCmdCheck makes `bothy spec check`.
func NewCmdCheck(f *cmdutil.Factory, runF func(context.Context, *CheckOptions) error) *cobra.Command {
	opts := &CheckOptions{Factory: f}
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a bothy.yaml",
		Long: `Checks a bothy.yaml, by default the one in the current directory or the nearest parent within the repository. Prints every
error as FILE:LINE:COLUMN with the value found and the values allowed.

This command needs no daemon. Only up checks that the blueprint, size and inputs exist.`,
		Example: `  bothy spec check
  bothy spec check ci/bothy.yaml --output json`,
		Args: cmdutil.Args(0, 1, "at most one file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				opts.File = args[0]
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return checkRun(opts)
		},
	}
}

func checkRun(opts *CheckOptions) error {
	s, err := opts.load()
	if err != nil {
		return err
	}
	if _, err := s.SourceDir(); err != nil {
		code := wire.CodeInvalid
		if errors.Is(err, fs.ErrNotExist) {
			code = wire.CodeNotFound
		}
		return &cmdutil.Error{Code: code, Sentence: err.Error(), Err: err}
	}
	checked := Checked{
		File: s.File, Name: s.Name, Blueprint: s.Blueprint, Size: s.Size, Share: s.Share,
		TTLSeconds: int64(s.TTL.Seconds()), IdleSeconds: int64(s.Idle.Seconds()), Env: s.Env, Params: s.Params, Source: s.Source,
	}
	return opts.Factory.Print(checked, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s is valid\n", format.Clean(s.File))
		return err
	})
}

func (opts *CheckOptions) load() (bothyspec.Spec, error) {
	if opts.File != "" {
		return Load(opts.File)
	}
	s, found, err := Find(".")
	if err == nil && !found {
		err = &cmdutil.Error{Code: wire.CodeNotFound, Sentence: "cannot find bothy.yaml in this directory or its repository", Hint: "bothy spec init"}
	}
	return s, err
}
