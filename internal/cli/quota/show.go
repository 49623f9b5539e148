package quota

import (
	"context"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/client"
)

// ShowOptions are the arguments of `quota show`.
type ShowOptions struct {
	Factory *cmdutil.Factory
	Scope   string
}

// NewCmdShow makes `bothy quota show`.
func NewCmdShow(f *cmdutil.Factory, runF func(context.Context, *ShowOptions) error) *cobra.Command {
	opts := &ShowOptions{Factory: f}
	return &cobra.Command{
		Use:               "show SCOPE",
		Short:             "Show limits and usage of a scope",
		Long:              "Shows the limits and the usage of a scope. " + scopes,
		Example:           "  bothy quota show acme/team/core\n  bothy quota show acme/user/ada --output json",
		Args:              cmdutil.Args(1, 1, "one scope: TENANT, TENANT/team/NAME or TENANT/user/NAME"),
		ValidArgsFunction: f.CompleteScopes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Scope = args[0]
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return showRun(cmd.Context(), opts)
		},
	}
}

func showRun(ctx context.Context, opts *ShowOptions) error {
	return cmdutil.Ask(opts.Factory, func(c *client.Client) (wire.Quota, error) { return c.Quota(ctx, opts.Scope) }, printQuota(opts.Factory))
}

// printQuota prints a quota as text.
func printQuota(f *cmdutil.Factory) func(io.Writer, wire.Quota) error {
	return func(w io.Writer, q wire.Quota) error {
		rows := [][]string{{"Scope", f.IO.Paint(iostreams.Bold, format.Clean(q.Scope))}}
		for _, l := range limitsOf(q) {
			rows = append(rows, []string{l.name, l.text(f)})
		}
		ttl := "any"
		if q.Limits.MaxTTLSeconds != nil {
			ttl = format.Duration(time.Duration(*q.Limits.MaxTTLSeconds) * time.Second)
		}
		rows = append(rows, []string{"Maximum lease", ttl}, []string{"Blueprints", allowed(q.Limits.Blueprints)}, []string{"Sizes", allowed(q.Limits.Sizes)})
		return format.Table(w, rows)
	}
}

func allowed(names []string) string {
	if len(names) == 0 {
		return "any"
	}
	return format.Clean(strings.Join(names, ", "))
}

// limit is one limit with its usage.
type limit struct {
	name string
	// short includes the limit in lists.
	short bool
	used  int64
	most  *int64
	print func(int64) string
}

// text formats the usage as "2 of 10", or "2" without a limit, in red if it reaches the limit.
func (l limit) text(f *cmdutil.Factory) string {
	if l.most == nil {
		return l.print(l.used)
	}
	text := l.print(l.used) + " of " + l.print(*l.most)
	if l.used >= *l.most {
		return f.IO.Paint(iostreams.Red, text)
	}
	return text
}

func limitsOf(q wire.Quota) []limit {
	count := func(n int64) string { return fmt.Sprint(n) }
	cores := func(n int64) string { return format.Decimal(n, cpuDigits) }
	memory := func(n int64) string { return format.Bytes(min(n, math.MaxInt64>>20) << 20) }
	hours := func(n int64) string { return fmt.Sprintf("%d:%02d", n/3600, n/60%60) }
	money := func(n int64) string { return format.Decimal(n, 6) }
	l, u := q.Limits, q.Usage
	return []limit{
		{"Environments", true, u.Environments, l.Environments, count},
		{"CPUs", true, u.MilliCPUs, l.MilliCPUs, cores},
		{"Memory", true, u.MemoryMiB, l.MemoryMiB, memory},
		{"Hours today", true, u.SecondsToday, l.SecondsPerDay, hours},
		{"Money today", true, u.MicrosToday, l.MicrosPerDay, money},
		{"Money this month", true, u.MicrosThisMonth, l.MicrosPerMonth, money},
	}
}
