package env

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

// ShowOptions are the arguments of show.
type ShowOptions struct {
	Factory *cmdutil.Factory
	Name    string
}

// NewCmdShow makes `bothy show`.
func NewCmdShow(f *cmdutil.Factory, runF func(context.Context, *ShowOptions) error) *cobra.Command {
	opts := &ShowOptions{Factory: f}
	return &cobra.Command{
		Use:   "show ENV",
		Short: "Show state, lease, usage and cost",
		Long: `Shows one environment by name or id: state, lease, cost, and current usage of CPU, memory, processes and disk. Works for
deleted environments too.

Memory excludes file pages that the kernel can drop. Disk is the data written in the sandbox. Usage that the daemon cannot read
within a second is shown as unknown.`,
		Example: `  bothy show web
  bothy show web --output json`,
		Args:              cmdutil.Args(1, 1, "the name of one environment"),
		ValidArgsFunction: f.CompleteEnvironments(1, true),
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
	return cmdutil.Ask(f, func(c *client.Client) (wire.Environment, error) { return c.GetUsed(ctx, opts.Name) },
		func(w io.Writer, env wire.Environment) error { return format.Table(w, showRows(f, env)) })
}

func showRows(f *cmdutil.Factory, env wire.Environment) [][]string {
	rows := [][]string{
		{"Name", f.IO.Paint(iostreams.Bold, format.Clean(env.Name))},
		{"ID", env.ID},
		{"State", f.IO.Paint(stateColor(env.State), format.Clean(env.State))},
	}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("Reason", format.Clean(env.Reason))
	if env.Failure != nil {
		add("Failure", format.Clean(env.Failure.Sentence))
		add("Next", format.Clean(first(env.Failure.Hint, "bothy logs "+env.Name)))
	}
	if env.Attempts > 0 {
		add("Failed attempts", fmt.Sprint(env.Attempts))
	}
	if env.Queue != nil {
		add("Queue", queue(f, *env.Queue))
	}
	add("Tenant", format.Clean(env.Tenant))
	add("Team", format.Clean(env.Team))
	add("Owner", format.Clean(env.Owner))
	add("Shared with", shared(env))
	add("Project", format.Clean(env.Project))
	add("Pull request", format.Clean(env.PullRequest))
	add("Pool", format.Clean(env.Pool))
	if env.Cold != "" {
		add("Start", cold(env))
	}
	add("Host", format.Clean(env.Host))
	add("Daemon", format.Clean(env.DaemonAddress))
	add("Blueprint", blueprintName(env))
	add("Digest", env.Blueprint.Digest)
	add("Size", fmt.Sprintf("%s: %g CPUs, %d MiB memory, %d processes", format.Clean(env.Size.Name), env.Size.CPUs, env.Size.MemoryMiB, env.Size.Pids))
	for _, row := range usage(env) {
		add(row[0], row[1])
	}
	add("Inputs", format.Pairs(env.Inputs))
	add("Variables", format.Pairs(env.Vars))
	add("Secrets", format.Clean(strings.Join(env.Secrets, ", ")))
	add("Users", format.Clean(strings.Join(env.Users, ", ")))
	add("Workspace", format.Clean(env.Workspace))
	add("Source", sourceOf(f, env))
	add("Created", env.CreatedAt.Local().Format(time.DateTime))
	if env.ReadyAt != nil {
		add("Ready", fmt.Sprintf("%s, after %.1fs", env.ReadyAt.Local().Format(time.DateTime), env.ReadyAt.Sub(env.CreatedAt).Seconds()))
	}
	add("Lease", lease(env))
	if env.Lease.IdleEnd != nil {
		add("Idle", fmt.Sprintf("expires %s unless used", localTime(f, *env.Lease.IdleEnd)))
	}
	if env.DestroyedAt != nil {
		add("Deleted", env.DestroyedAt.Local().Format(time.DateTime))
	}
	add("Cost so far", fmt.Sprintf("%s at %s", format.Money(env.Cost.AccruedMicros, env.Cost.Currency), format.Rate(env.Cost.RateMicrosPerHour, env.Cost.Currency)))
	if env.State != "destroyed" && env.State != "destroying" {
		add("Cost at expiry", format.Money(env.Cost.AtExpiryMicros, env.Cost.Currency))
	}
	return rows
}

// sourceOf describes the copy of the source to the workspace, or how to make it; "" if that is unknown.
func sourceOf(f *cmdutil.Factory, env wire.Environment) string {
	switch s := env.Source; {
	case s == nil:
		return ""
	case s.State == wire.SourceCopied && s.At != nil:
		return fmt.Sprintf("copied by %s, %s", format.Clean(s.By), localTime(f, *s.At))
	case s.State != wire.SourceNone:
		return "" // a state that only a newer daemon knows
	case env.State == "leased":
		return fmt.Sprintf("not copied. To copy this directory: %s cp ./. %s:", at(env), format.Clean(env.Name))
	}
	return "not copied"
}

func lease(env wire.Environment) string {
	ttl := time.Duration(env.Lease.TTLSeconds) * time.Second
	if env.Lease.End == nil {
		return format.Duration(ttl) + ", starts when ready"
	}
	end := env.Lease.End.Local().Format(time.DateTime)
	switch {
	case env.DestroyedAt != nil:
		return "until " + end
	case env.Lease.LeftSeconds <= 0:
		return "expired " + end
	case env.Lease.Warning:
		return fmt.Sprintf("expires %s, %s left. To extend: bothy extend %s --by 30m", end, left(env), format.Clean(env.Name))
	}
	return fmt.Sprintf("expires %s, %s left", end, left(env))
}

func queue(f *cmdutil.Factory, q wire.Queue) string {
	text := fmt.Sprintf("position %d", q.Rank)
	if q.Estimate != nil {
		text += ", ready " + expected(f, *q.Estimate)
	}
	if q.Until != nil {
		text += ", timeout " + localTime(f, *q.Until)
	}
	return text
}
