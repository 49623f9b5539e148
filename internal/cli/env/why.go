package env

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/client"
)

// WhyOptions are the arguments of why.
type WhyOptions struct {
	Factory *cmdutil.Factory
	Name    string
}

// NewCmdWhy makes `bothy why`.
func NewCmdWhy(f *cmdutil.Factory, runF func(context.Context, *WhyOptions) error) *cobra.Command {
	opts := &WhyOptions{Factory: f}
	return &cobra.Command{
		Use:   "why ENV",
		Short: "Explain why an environment is waiting or failed",
		Long: `Explains why an environment is waiting or failed: cause, queue position, ETA, next step and recent events. With the ETA it
shows how exact earlier estimates were.`,
		Example: `  bothy why web
  bothy why web --output json`,
		Args:              cmdutil.Args(1, 1, "the name of one environment"),
		ValidArgsFunction: f.CompleteEnvironments(1, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return whyRun(cmd.Context(), opts)
		},
	}
}

func whyRun(ctx context.Context, opts *WhyOptions) error {
	f := opts.Factory
	return cmdutil.Ask(f, func(c *client.Client) (wire.Why, error) { return c.Why(ctx, opts.Name) },
		func(w io.Writer, why wire.Why) error { return showWhy(w, f, why) })
}

func showWhy(w io.Writer, f *cmdutil.Factory, why wire.Why) error {
	env := why.Environment
	rows := [][]string{
		{"Name", f.IO.Paint(iostreams.Bold, format.Clean(env.Name))},
		{"State", f.IO.Paint(stateColor(env.State), format.Clean(env.State))},
		{"Why", format.Clean(why.Cause)},
	}
	if why.Rank > 0 {
		rows = append(rows, []string{"Queue", fmt.Sprintf("position %d", why.Rank)})
	}
	if why.ReadyAt != nil {
		rows = append(rows, []string{"Ready", expected(f, *why.ReadyAt)})
		if e := why.Estimates; e.Count > 0 {
			rows = append(rows, []string{"", fmt.Sprintf("(error of %s: median %s, 90th percentile %s)", format.Count(e.Count, "estimate"),
				format.Duration(time.Duration(e.MedianSeconds)*time.Second), format.Duration(time.Duration(e.P90Seconds)*time.Second))})
		}
	}
	if env.Cold != "" {
		rows = append(rows, []string{"Start", cold(env)})
	}
	if env.Source != nil && env.Source.State == wire.SourceNone {
		rows = append(rows, []string{"Source", sourceOf(f, env)})
	}
	if why.Next != "" {
		rows = append(rows, []string{"Next", format.Clean(why.Next)})
	}
	if err := format.Table(w, rows); err != nil || len(why.Events) == 0 {
		return err
	}
	fmt.Fprintln(w)
	for _, e := range why.Events {
		fmt.Fprintf(w, "%s %s\n", f.IO.Paint(iostreams.Dim, fmt.Sprintf("%s %-22s", e.At.Local().Format(time.TimeOnly), format.Clean(e.Kind))), format.Clean(e.Message))
	}
	return nil
}
