// Package orphan holds the commands for orphans and doubted environments, one file per verb.
package orphan

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

const about = `An orphan is a resource with the label of this installation that belongs to no environment. bothy deletes leftovers of its own
failed attempts one minute after it first sees them. A resource that the database has never known means that the database was
lost or restored. In that case the daemon enters safe mode.

In safe mode bothy deletes nothing, and no earlier lease expires. Every earlier environment is doubted: it may be in use, or its
lease may have been extended after the backup. Decide on each orphan and each doubted environment with adopt or purge. Extending
or deleting an environment decides on it too. Safe mode ends after the last decision. If nothing is listed, end safe mode with
bothy orphans adopt --all.

Requires the platform role.`

// NewCmdOrphans makes `bothy orphans`.
func NewCmdOrphans(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("orphans", "Manage orphans and doubted environments")
	cmd.Aliases = []string{"orphan"}
	cmd.Long = about
	cmd.Example = "  bothy orphans ls\n  bothy orphans adopt k3v9x2ab"
	ls := NewCmdLs(f)
	cmd.AddCommand(ls, NewCmdAdopt(f, nil), NewCmdPurge(f, nil))
	cmdutil.Default(cmd, ls)
	return cmd
}

// NewCmdLs makes `bothy orphans ls`.
func NewCmdLs(f *cmdutil.Factory) *cobra.Command {
	return cmdutil.Ls(&cobra.Command{
		Short:   "List orphans and doubted environments",
		Long:    "Lists orphans and doubted environments.\n\n" + about,
		Example: "  bothy orphans ls",
	}, func(ctx context.Context) error {
		return cmdutil.Ask(f, func(c *client.Client) (wire.OrphanReport, error) { return c.Orphans(ctx) }, printReport(f))
	})
}

// printReport prints the orphans and doubted environments as text.
func printReport(f *cmdutil.Factory) func(io.Writer, wire.OrphanReport) error {
	return func(w io.Writer, report wire.OrphanReport) error {
		if report.Safe {
			fmt.Fprintf(w, "%s: bothy deletes nothing until you decide: %s\n", f.IO.Paint(iostreams.Yellow, "safe mode"), format.Clean(report.Reason))
		}
		if len(report.Orphans)+len(report.Doubted) == 0 {
			fmt.Fprintln(w, "No orphans.")
			if report.Safe {
				fmt.Fprintln(w, "Nothing is left to decide. Check the environments (bothy ls --all), then end safe mode with: bothy orphans adopt --all")
			}
			return nil
		}
		if err := printOrphans(w, report.Orphans); err != nil {
			return err
		}
		return printDoubted(w, report.Doubted)
	}
}

func printOrphans(w io.Writer, orphans []wire.Orphan) error {
	if len(orphans) == 0 {
		return nil
	}
	rows := [][]string{{"ENVIRONMENT", "KIND", "NAME", "HOST", "FIRST SEEN", "SEEN"}}
	for _, o := range orphans {
		rows = append(rows, []string{
			format.Clean(o.Environment), format.Clean(o.Kind), format.Clean(o.Name), format.Clean(o.Host),
			o.FirstSeen.Local().Format(time.DateTime), format.Count(o.Sightings, "time"),
		})
	}
	return format.Table(w, rows)
}

// printDoubted prints the doubted environments.
func printDoubted(w io.Writer, doubted []wire.Doubt) error {
	if len(doubted) == 0 {
		return nil
	}
	rows := [][]string{{"DOUBTED", "NAME", "STATE", "OWNER", "HOST", "EVIDENCE"}}
	for _, d := range doubted {
		rows = append(rows, []string{
			format.Clean(d.Environment), format.Clean(d.Name), format.Clean(d.State), format.Clean(d.Owner), format.Clean(d.Host), format.Clean(d.Known),
		})
	}
	if err := format.Table(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "To keep one: bothy orphans adopt ID. To delete one: bothy orphans purge ID")
	return err
}
