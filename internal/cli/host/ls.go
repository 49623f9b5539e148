package host

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/client"
)

// NewCmdLs makes `bothy host ls`.
func NewCmdLs(f *cmdutil.Factory) *cobra.Command {
	return cmdutil.Ls(&cobra.Command{
		Short: "List hosts and their usage",
		Long: `Lists hosts with their usage and capacity. Below the table it lists the environments of lost hosts. A host without a running
daemon is "not served". SERVED AT is the current or last address of its daemon (bothy --host ADDRESS).`,
		Example: "  bothy host ls",
	}, func(ctx context.Context) error {
		return cmdutil.Ask(f, func(c *client.Client) (wire.HostList, error) {
			hosts, err := c.Hosts(ctx)
			return wire.HostList{Hosts: append([]wire.Host{}, hosts...)}, err
		}, func(w io.Writer, list wire.HostList) error { return table(w, f, list.Hosts) })
	})
}

func table(w io.Writer, f *cmdutil.Factory, hosts []wire.Host) error {
	rows := [][]string{{"NAME", "STATE", "ENVIRONMENTS", "CPUS", "MEMORY", "ENDPOINT", "SERVED AT", "LABELS"}}
	count := func(n int64) string { return fmt.Sprint(n) }
	cores := func(n int64) string { return format.Decimal(n, 3) }
	memory := func(n int64) string { return format.Bytes(n << 20) }
	var notes []string
	for _, h := range hosts {
		rows = append(rows, []string{
			format.Clean(h.Name), stateOf(f, h),
			of(h.Used.Environments, h.Capacity.Environments, count), of(h.Used.MilliCPUs, h.Capacity.MilliCPUs, cores),
			of(h.Used.MemoryMiB, h.Capacity.MemoryMiB, memory), format.Clean(h.Endpoint), format.Clean(h.Address), format.Pairs(h.Labels),
		})
		if h.Down != "" {
			notes = append(notes, fmt.Sprintf("%s: %s", h.Name, h.Down))
		}
		if len(h.Environments) > 0 {
			notes = append(notes, fmt.Sprintf("%s: lost with it: %s", h.Name, strings.Join(h.Environments, ", ")))
		}
	}
	if err := format.Table(w, rows); err != nil {
		return err
	}
	for i, note := range notes {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintln(w, format.Clean(note))
	}
	return nil
}

// of formats "2 of 10", or "2" without a limit.
func of(used, most int64, print func(int64) string) string {
	if most == 0 {
		return print(used)
	}
	return print(used) + " of " + print(most)
}

func stateOf(f *cmdutil.Factory, h wire.Host) string {
	drained := ""
	if h.Drained {
		drained = ", drained"
	}
	switch {
	case h.Lost:
		return f.IO.Paint(iostreams.Red, "lost"+drained)
	case !h.Served:
		return f.IO.Paint(iostreams.Red, "not served"+drained)
	case h.Down != "":
		return f.IO.Paint(iostreams.Red, "down"+drained)
	case h.Drained:
		return f.IO.Paint(iostreams.Yellow, "drained")
	}
	return f.IO.Paint(iostreams.Green, "ready")
}
