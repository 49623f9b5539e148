// Package system holds the commands about bothy itself, one file per verb.
package system

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
)

// VersionOptions are the flags of version.
type VersionOptions struct {
	Factory *cmdutil.Factory
	Client  bool
}

// Versions is what version prints with --output json.
type Versions struct {
	Client string `json:"client"`
	// Daemon is omitted with --client, and if the daemon does not answer.
	Daemon *wire.Version `json:"daemon,omitempty"`
}

// NewCmdVersion makes `bothy version`.
func NewCmdVersion(f *cmdutil.Factory, runF func(context.Context, *VersionOptions) error) *cobra.Command {
	opts := &VersionOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of bothy and bothyd",
		Example: `  bothy version
  bothy version --client`,
		Args:              cmdutil.Args(0, 0, "no arguments"),
		ValidArgsFunction: cmdutil.NoComplete,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return versionRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVar(&opts.Client, "client", false, "Print only the version of bothy, without calling the daemon")
	return cmd
}

func versionRun(ctx context.Context, opts *VersionOptions) error {
	f := opts.Factory
	v := Versions{Client: f.Version}
	var daemonErr error
	if !opts.Client {
		v.Daemon, daemonErr = daemonVersion(ctx, f)
	}
	// Print the known versions even if the daemon does not answer.
	err := f.Print(v, func(w io.Writer) error {
		fmt.Fprintf(w, "bothy   %s\n", v.Client)
		if v.Daemon != nil {
			fmt.Fprintf(w, "bothyd  %s (instance %s)\n", format.Clean(v.Daemon.Version), format.Clean(v.Daemon.Instance))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return daemonErr
}

func daemonVersion(ctx context.Context, f *cmdutil.Factory) (*wire.Version, error) {
	c, err := f.Client()
	if err != nil {
		return nil, err
	}
	v, err := c.Version(ctx)
	if err != nil {
		return nil, err
	}
	return &v, nil
}
