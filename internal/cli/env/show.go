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
		Short: "Show one environment: state, lease, usage, cost",
		Long: `Show one environment by name or id: state, lease, cost, and what it uses now of its CPUs, memory, processes and disk. Memory
leaves out file pages that the kernel can drop; disk is what was written in the sandbox. Usage that the daemon cannot get within
a second is unknown. It works for those that are gone, too.`,
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
		{"Id", env.ID},
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
		add("Next", format.Clean(first(env.Failure.Hint, "the whole log: bothy logs "+env.Name)))
	}
	if env.Attempts > 0 {
		add("Failed tries", fmt.Sprint(env.Attempts))
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
	add("New", format.Clean(env.Cold))
	add("Host", format.Clean(env.Host))
	add("Use it at", format.Clean(env.DaemonAddress))
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
		add("Idle", fmt.Sprintf("ends %s unless it is used", localTime(f, *env.Lease.IdleEnd)))
	}
	if env.DestroyedAt != nil {
		add("Gone", env.DestroyedAt.Local().Format(time.DateTime))
	}
	add("Cost so far", fmt.Sprintf("%s at %s", format.Money(env.Cost.AccruedMicros, env.Cost.Currency), format.Rate(env.Cost.RateMicrosPerHour, env.Cost.Currency)))
	if env.State != "destroyed" && env.State != "destroying" {
		add("At expiry", format.Money(env.Cost.AtExpiryMicros, env.Cost.Currency))
	}
	return rows
}

// sourceOf tells what was copied to the workspace, and how to copy when nothing was; "" when that is not known.
func sourceOf(f *cmdutil.Factory, env wire.Environment) string {
	switch s := env.Source; {
	case s == nil:
		return ""
	case s.State == wire.SourceCopied && s.At != nil:
		return fmt.Sprintf("copied by %s, %s", format.Clean(s.By), localTime(f, *s.At))
	case s.State != wire.SourceNone:
		return "" // a newer daemon's word
	case env.State == "leased":
		return fmt.Sprintf("none was copied; to copy this directory: %s cp ./. %s:", at(env), format.Clean(env.Name))
	}
	return "none was copied"
}

func lease(env wire.Environment) string {
	ttl := time.Duration(env.Lease.TTLSeconds) * time.Second
	if env.Lease.End == nil {
		return format.Duration(ttl) + " from hand-over on"
	}
	end := env.Lease.End.Local().Format(time.DateTime)
	switch {
	case env.DestroyedAt != nil:
		return "until " + end
	case env.Lease.LeftSeconds <= 0:
		return "over since " + end
	case env.Lease.Warning:
		return fmt.Sprintf("until %s, %s left: under 10 %%, bothy extend %s --by 30m", end, left(env), format.Clean(env.Name))
	}
	return fmt.Sprintf("until %s, %s left", end, left(env))
}

func queue(f *cmdutil.Factory, q wire.Queue) string {
	text := fmt.Sprintf("place %d", q.Rank)
	if q.Estimate != nil {
		text += ", ready " + expected(f, *q.Estimate)
	}
	if q.Until != nil {
		text += ", gives up " + localTime(f, *q.Until)
	}
	return text
}
