//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// outcome is the result of one cell.
type outcome struct {
	cell
	found found
	err   error
}

func (o outcome) failed() bool {
	return o.err != nil || slices.ContainsFunc(o.found.Tried, func(t tried) bool { return t.Failed > 0 || t.Err != "" })
}

// report prints what passed, and below it what failed and what was skipped, and why.
func report(w io.Writer, outcomes []outcome) {
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "release\tDocker\tAPI\tcontrol groups\timages\tfirewall\tsuite\tpassed\tskipped\tfailed\ttime")
	for _, o := range outcomes {
		e := o.found.Engine
		head := fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", o.release, cmp.Or(e.Version, "?"), cmp.Or(e.API, "?"), cmp.Or(e.Groups, "?"), cmp.Or(e.Store, o.store), cmp.Or(e.Firewall, o.firewall))
		for _, t := range o.found.Tried {
			fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%s\n", head, t.Suite, t.Passed, len(t.Skipped), t.Failed, t.Took.Round(time.Second))
		}
		if len(o.found.Tried) == 0 {
			fmt.Fprintf(table, "%s\tnone\t\t\t\t\n", head)
		}
	}
	_ = table.Flush() // the terminal may be gone
	for _, o := range outcomes {
		if o.err != nil {
			fmt.Fprintf(w, "failed   %s: %v\n", o.cell, o.err)
		}
		for _, t := range o.found.Tried {
			if t.Err != "" {
				fmt.Fprintf(w, "failed   %s %s: %s\n", o.cell, t.Suite, t.Err)
			}
			for _, name := range t.Broken {
				fmt.Fprintf(w, "failed   %s %s: %s\n", o.cell, t.Suite, name)
			}
		}
	}
	skips := map[skipped][]string{}
	var order []skipped
	for _, o := range outcomes {
		for _, t := range o.found.Tried {
			for _, s := range t.Skipped {
				if skips[s] == nil {
					order = append(order, s)
				}
				skips[s] = append(skips[s], o.cell.String())
			}
		}
	}
	for _, s := range order {
		where := fmt.Sprintf("%d of %d engines", len(skips[s]), len(outcomes))
		fmt.Fprintf(w, "skipped  %s (%s): %s\n", s.Test, where, cmp.Or(s.Why, "no reason was printed"))
	}
}
