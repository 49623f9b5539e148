// Package event holds the command that lists events.
package event

import (
	"context"
	"encoding/json"
	"errors"
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

// EventsOptions are the flags of events.
type EventsOptions struct {
	Factory          *cmdutil.Factory
	Name, Pool, Host string
	Follow           bool
	Last             string
}

// most is the maximum number of events per request.
const most = 1000

// NewCmdEvents makes `bothy events`.
func NewCmdEvents(f *cmdutil.Factory, runF func(context.Context, *EventsOptions) error) *cobra.Command {
	opts := &EventsOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "events [ENV]",
		Short: "Show events",
		Long: `Shows events, newest last: every decision of bothy with its cause. Covers one environment, pool or host, or everything that you
may see. Events never change, and bothy keeps them after an environment is deleted.

With --output json, events prints one list. With --follow, it prints one JSON object per line.`,
		Example: `  bothy events
  bothy events web -f
  bothy events --pool builders --last 20`,
		Args:              cmdutil.Args(0, 1, "at most one environment"),
		ValidArgsFunction: f.CompleteEnvironments(1, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				opts.Name = args[0]
			}
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return eventsRun(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&opts.Follow, "follow", "f", false, "Stream new events")
	flags.StringVar(&opts.Pool, "pool", "", "Show only events of the pool `name`")
	flags.StringVar(&opts.Host, "on", "", "Show only events of the host `name`")
	flags.StringVarP(&opts.Last, "last", "n", "100", "Maximum `number` of events, up to 1000")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("pool", f.CompletePools(1)))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("on", f.CompleteHosts(1)))
	return cmd
}

func eventsRun(ctx context.Context, opts *EventsOptions) error {
	f := opts.Factory
	last, err := cmdutil.Count("last", opts.Last)
	if err != nil || last < 1 || last > most {
		return cmdutil.Usagef("--last: got %q, want a whole number from 1 to %d", opts.Last, most)
	}
	c, err := f.Client()
	if err != nil {
		return err
	}
	wanted := client.EventOptions{Environment: opts.Name, Pool: opts.Pool, Host: opts.Host}
	events, err := c.NewestEvents(ctx, wanted, int(last))
	if err != nil {
		return err
	}
	if !opts.Follow {
		return f.Print(wire.EventList{Events: append([]wire.Event{}, events...)}, func(w io.Writer) error {
			for _, e := range events {
				if err := line(w, f, e); err != nil {
					return err
				}
			}
			return nil
		})
	}
	for _, e := range events {
		if err := opts.show(e); err != nil {
			return err
		}
		wanted.After = e.Seq
	}
	ctx, stop := f.IO.WhileRead(ctx, cmdutil.ExitReaderGone)
	defer stop()
	err = c.FollowEvents(ctx, wanted, opts.show)
	if _, interrupted := errors.AsType[cmdutil.Interrupted](err); interrupted {
		// Ctrl-C is the normal end of --follow.
		return cmdutil.Exit(cmdutil.ExitCode(err))
	}
	return err
}

// show prints one event of a stream.
func (opts *EventsOptions) show(e wire.Event) error {
	if !opts.Factory.JSON() {
		return line(opts.Factory.IO.Out, opts.Factory, e)
	}
	enc := json.NewEncoder(opts.Factory.IO.Out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

func line(w io.Writer, f *cmdutil.Factory, e wire.Event) error {
	about := e.Environment
	switch {
	case about != "":
	case e.Pool != "":
		about = "pool " + e.Pool
	case e.Host != "":
		about = "host " + e.Host
	}
	head := fmt.Sprintf("%s %-22s %-12s", e.At.Local().Format(time.DateTime), format.Clean(e.Kind), format.Clean(about))
	by := ""
	if e.Actor != "" && e.Actor != "bothyd" {
		by = f.IO.Paint(iostreams.Dim, " ("+format.Clean(e.Actor)+")")
	}
	if _, err := fmt.Fprintf(w, "%s %s%s\n", f.IO.Paint(iostreams.Dim, head), format.Clean(e.Message), by); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}
