package spec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	bothyspec "github.com/bothy-env/bothy/internal/spec"
)

// InitOptions are the flags of `spec init`.
type InitOptions struct {
	Factory         *cmdutil.Factory
	Blueprint, Name string
	Force           bool
}

// Written is what `spec init` prints with --output json.
type Written struct {
	File string `json:"file"`
}

// NewCmdInit makes `bothy spec init`.
func NewCmdInit(f *cmdutil.Factory, runF func(context.Context, *InitOptions) error) *cobra.Command {
	opts := &InitOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Create a bothy.yaml in the current directory",
		Long: `Creates a commented bothy.yaml in the current directory. If the daemon answers, the file contains the sizes, durations and
inputs of the blueprint. Otherwise it contains general defaults.`,
		Example: `  bothy spec init
  bothy spec init --blueprint build --name web`,
		Args:              cmdutil.Args(0, 0, "no arguments"),
		ValidArgsFunction: cmdutil.NoComplete,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return initRun(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&opts.Blueprint, "blueprint", "b", "build", "Blueprint `name`, or name@version")
	flags.StringVarP(&opts.Name, "name", "n", "", "Name of the environment (default: none)")
	flags.BoolVar(&opts.Force, "force", false, "Replace an existing file")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("blueprint", f.CompleteBlueprints(1)))
	return cmd
}

func initRun(ctx context.Context, opts *InitOptions) error {
	f := opts.Factory
	text, err := bothyspec.Init(opts.starter(ctx))
	if err != nil {
		return cmdutil.Usagef("%w", err)
	}
	mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if opts.Force {
		mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	file, err := os.OpenFile(bothyspec.FileName, mode, 0o644) //nolint:gosec // as any source file
	if errors.Is(err, fs.ErrExist) {
		return &cmdutil.Error{Code: wire.CodeConflict, Sentence: "cannot create " + bothyspec.FileName + ": the file exists", Hint: "bothy spec init --force    replaces the file", Err: err}
	}
	if err != nil {
		return fmt.Errorf("cannot write "+bothyspec.FileName+": %w", err)
	}
	_, err = file.Write(text)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("cannot write "+bothyspec.FileName+": %w", err)
	}
	return f.Print(Written{bothyspec.FileName}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Created %s. Next: bothy up\n", bothyspec.FileName)
		return err
	})
}

// starter fills in the blueprint's values from the daemon. If the daemon does not answer or does not know the blueprint, they are empty.
func (opts *InitOptions) starter(ctx context.Context) bothyspec.Starter {
	s := bothyspec.Starter{Name: opts.Name, Blueprint: opts.Blueprint}
	c, err := opts.Factory.Client()
	if err != nil {
		return s
	}
	ctx, cancel := cmdutil.Bounded(ctx)
	defer cancel()
	bp, err := c.Blueprint(ctx, opts.Blueprint)
	if err != nil {
		return s
	}
	for _, size := range bp.Sizes {
		s.Sizes = append(s.Sizes, size.Name)
	}
	s.DefaultSize = bp.DefaultSize
	s.TTL, s.MaxTTL = ttl(bp.DefaultTTLSeconds), ttl(bp.MaxTTLSeconds)
	for _, in := range bp.Inputs {
		value, err := json.Marshal(in.Default)
		if err != nil || in.Default == nil {
			value = []byte(`""`)
		}
		s.Params = append(s.Params, bothyspec.StarterParam{Name: in.Name, Description: in.Description, Value: string(value)})
	}
	return s
}

// ttl formats seconds as in a spec: "1h30m".
func ttl(seconds int64) string {
	s := (time.Duration(seconds) * time.Second).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
