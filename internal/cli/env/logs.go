package env

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// LogsOptions are the flags of logs.
type LogsOptions struct {
	Factory *cmdutil.Factory
	Name    string
	Follow  bool
	Since   string
}

// NewCmdLogs makes `bothy logs`.
func NewCmdLogs(f *cmdutil.Factory, runF func(context.Context, *LogsOptions) error) *cobra.Command {
	opts := &LogsOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "logs ENV",
		Short: "Show the log of an environment",
		Long: `Shows the log of an environment: messages of bothy, Terraform and the sandbox. The log is still available after the
environment is deleted. With --output json, each line is a JSON object.`,
		Example: `  bothy logs web
  bothy logs web -f --since 10m
  bothy logs web --since 2026-01-31T15:04:05Z`,
		Args:              cmdutil.Args(1, 1, "the name of one environment"),
		ValidArgsFunction: f.CompleteEnvironments(1, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return logsRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVarP(&opts.Follow, "follow", "f", false, "Stream new lines until the environment is deleted")
	cmd.Flags().StringVar(&opts.Since, "since", "", "Show only newer lines: a `duration` such as 10m, or an RFC 3339 time")
	return cmd
}

func logsRun(ctx context.Context, opts *LogsOptions) error {
	f := opts.Factory
	c, err := f.Client()
	if err != nil {
		return err
	}
	since, err := cmdutil.Moment("since", opts.Since, func() (time.Time, error) { return c.Clock(ctx) })
	if err != nil {
		return err
	}
	ctx, stop := f.IO.WhileRead(ctx, cmdutil.ExitReaderGone)
	defer stop()
	enc := json.NewEncoder(f.IO.Out)
	enc.SetEscapeHTML(false)
	err = c.Logs(ctx, opts.Name, since, opts.Follow, func(l wire.LogLine) error {
		if f.JSON() {
			if err := enc.Encode(l); err != nil {
				return fmt.Errorf("write output: %w", err)
			}
			return nil
		}
		head := fmt.Sprintf("%s %-9s", l.At.Local().Format(time.TimeOnly), format.Clean(l.Source))
		if f.IO.OutTTY {
			return f.Outf("%s %s\n", f.IO.Paint(iostreams.Dim, head), format.Clean(format.Strip(l.Text)))
		}
		// A file or another program gets the sandbox's output unchanged.
		if _, err := fmt.Fprintf(f.IO.Raw().Out, "%s %s\n", head, l.Text); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
		return nil
	})
	if _, interrupted := errors.AsType[cmdutil.Interrupted](err); interrupted && opts.Follow {
		// Ctrl-C is the normal end of --follow.
		return cmdutil.Exit(cmdutil.ExitCode(err))
	}
	return err
}
