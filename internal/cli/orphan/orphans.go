// Package orphan holds the commands on what exists and is unknown to the daemon, one file per verb.
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

const about = `An orphan is what exists at the provider with this installation's label and is unknown to its database. As a rule it is
removed a minute after it was first seen. After a database was lost or restored the daemon is in safe mode until somebody
has decided, by adopt or purge (adopt --all also where nothing is unknown): nothing is removed, and environments from
before it are left as they are but for what people ask. None is handed out, and no lease of theirs ends; when safe mode is
over, leases end as recorded, and the pools get new ones for what was ready before. Needs the platform role.`

// NewCmdOrphans makes `bothy orphans`.
func NewCmdOrphans(f *cmdutil.Factory) *cobra.Command {
	cmd := cmdutil.Group("orphans", "Orphans: what exists and is unknown to the daemon")
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
		Short:   "List the orphans",
		Long:    "List the orphans.\n\n" + about,
		Example: "  bothy orphans ls",
	}, func(ctx context.Context) error {
		return cmdutil.Ask(f, func(c *client.Client) (wire.OrphanReport, error) { return c.Orphans(ctx) }, printReport(f))
	})
}

// printReport tells people of the orphans.
func printReport(f *cmdutil.Factory) func(io.Writer, wire.OrphanReport) error {
	return func(w io.Writer, report wire.OrphanReport) error {
		if report.Safe {
			fmt.Fprintf(w, "%s: nothing is removed until you decide: %s\n", f.IO.Paint(iostreams.Yellow, "safe mode"), format.Clean(report.Reason))
		}
		if len(report.Orphans) == 0 {
			fmt.Fprintln(w, "Nothing is unknown.")
			if report.Safe {
				fmt.Fprintln(w, "When you have seen what there is (bothy ls --all), end safe mode with: bothy orphans adopt --all")
			}
			return nil
		}
		rows := [][]string{{"ENVIRONMENT", "KIND", "NAME", "HOST", "FIRST SEEN", "SEEN"}}
		for _, o := range report.Orphans {
			rows = append(rows, []string{
				format.Clean(o.Environment), format.Clean(o.Kind), format.Clean(o.Name), format.Clean(o.Host),
				o.FirstSeen.Local().Format(time.DateTime), format.Count(o.Sightings, "time"),
			})
		}
		return format.Table(w, rows)
	}
}
