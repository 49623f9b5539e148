package blueprint

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/client"
)

// ShowOptions are the arguments of `blueprint show`.
type ShowOptions struct {
	Factory *cmdutil.Factory
	Name    string
}

// NewCmdShow makes `bothy blueprint show`.
func NewCmdShow(f *cmdutil.Factory, runF func(context.Context, *ShowOptions) error) *cobra.Command {
	opts := &ShowOptions{Factory: f}
	return &cobra.Command{
		Use:   "show BLUEPRINT",
		Short: "Show sizes, prices and inputs of a blueprint",
		Example: `  bothy blueprint show build
  bothy blueprint show build@1.0.0 --output json`,
		Args:              cmdutil.Args(1, 1, "one blueprint, NAME or NAME@VERSION"),
		ValidArgsFunction: f.CompleteBlueprints(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return showRun(cmd.Context(), opts)
		},
	}
}

func showRun(ctx context.Context, opts *ShowOptions) error {
	f := opts.Factory
	return cmdutil.Ask(f, func(c *client.Client) (wire.Blueprint, error) { return c.Blueprint(ctx, opts.Name) },
		func(w io.Writer, bp wire.Blueprint) error { return show(w, f, bp) })
}

func show(w io.Writer, f *cmdutil.Factory, bp wire.Blueprint) error {
	seconds := func(n int64) string { return format.Duration(time.Duration(n) * time.Second) }
	fmt.Fprintf(w, "%s\n%s\n\n", f.IO.Paint(iostreams.Bold, format.Clean(bp.Name+"@"+bp.Version)), format.Clean(bp.Description))
	facts := [][]string{
		{"Digest", bp.Digest},
		{"Image", format.Clean(bp.Image)},
		{"Users", format.Clean(strings.Join(bp.Users, ", "))},
		{"Workspace", format.Clean(bp.Workspace)},
		{"Lease", fmt.Sprintf("%s by default, %s at most", seconds(bp.DefaultTTLSeconds), seconds(bp.MaxTTLSeconds))},
	}
	if bp.Trusted {
		facts = append(facts, []string{"Trusted", "yes: may exceed the limits of a sandbox (trusted_blueprints)"})
	}
	if err := format.Table(w, facts); err != nil {
		return err
	}
	rows := [][]string{{"SIZE", "CPUS", "MEMORY", "PROCESSES", "PRICE"}}
	for _, s := range bp.Sizes {
		name := format.Clean(s.Name)
		if s.Name == bp.DefaultSize {
			name += " (default)"
		}
		rows = append(rows, []string{name, fmt.Sprintf("%g", s.CPUs), format.Bytes(s.MemoryMiB << 20), fmt.Sprint(s.Pids), format.Rate(s.RateMicrosPerHour, s.Currency)})
	}
	fmt.Fprintln(w)
	if err := format.Table(w, rows); err != nil || len(bp.Inputs) == 0 {
		return err
	}
	rows = [][]string{{"INPUT", "TYPE", "DEFAULT", "ALLOWED", "DESCRIPTION"}}
	for _, in := range bp.Inputs {
		value := "(required)"
		if !in.Required {
			value = format.Clean(fmt.Sprint(in.Default))
		}
		rows = append(rows, []string{format.Clean(in.Name), in.Type, value, allowed(in), format.Clean(in.Description)})
	}
	fmt.Fprintln(w)
	return format.Table(w, rows)
}

// allowed formats the limits of an input; limits of a string are limits of its length.
func allowed(in wire.Input) string {
	var parts []string
	if len(in.Enum) > 0 {
		var values []string
		for _, v := range in.Enum {
			values = append(values, fmt.Sprint(v))
		}
		parts = append(parts, strings.Join(values, "|"))
	}
	if in.Pattern != "" {
		parts = append(parts, in.Pattern)
	}
	switch {
	case in.Min != nil && in.Max != nil:
		parts = append(parts, fmt.Sprintf("%g..%g", *in.Min, *in.Max))
	case in.Min != nil:
		parts = append(parts, fmt.Sprintf(">= %g", *in.Min))
	case in.Max != nil:
		parts = append(parts, fmt.Sprintf("<= %g", *in.Max))
	}
	if len(parts) == 0 {
		return "any"
	}
	return format.Clean(strings.Join(parts, " "))
}
