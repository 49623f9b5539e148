// Command bothyd is bothy's daemon: it makes environments, keeps their leases,
// and deletes them. main only wires: it alone names the concrete drivers and stores.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"text/tabwriter"
	_ "time/tzdata" // zones of schedules, also where the machine has none

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/config"
	"github.com/bothy-env/bothy/internal/telemetry"
)

// version is set by the linker.
var version = "dev"

// gcPercent makes garbage collection rarer than Go's 100: the daemon holds little, and under many requests at once
// collecting is a fifth of its time.
const gcPercent = 200

func main() {
	debug.SetGCPercent(gcPercent)
	ctx, stop := signals()
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bothyd:", err)
		os.Exit(1)
	}
}

// signals gives a context that a signal to stop ends. A terminal that is closed stops the daemon too, unless it was started
// to outlive it (nohup). Whoever read the log may leave: that must not end leases' only keeper.
func signals() (context.Context, context.CancelFunc) {
	// Ignoring it would be handed down to Terraform and the host's programs, a handler is not.
	signal.Notify(make(chan os.Signal, 1), unix.SIGPIPE)
	stops := []os.Signal{unix.SIGINT, unix.SIGTERM}
	if !signal.Ignored(unix.SIGHUP) {
		stops = append(stops, unix.SIGHUP)
	}
	return signal.NotifyContext(context.Background(), stops...)
}

func newCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "bothyd",
		Short: "Daemon of bothy: manages build and deploy environments",
		Long: "bothyd serves bothy's API on a unix socket, creates environments with Terraform on Docker,\n" +
			"and deletes each one when its lease expires. It reads a file, BOTHY_* variables and flags,\n" +
			"each overriding the previous one. `bothyd config` prints the effective values.",
		Example:       "  bothyd --state-dir ~/.local/state/bothy --log-level debug",
		Version:       version,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := config.Load(cmd.Flags(), os.Environ(), file)
			if err != nil {
				return err
			}
			logger, err := telemetry.NewLogger(os.Stderr, cfg.Log.Level, cfg.Log.Format)
			if err != nil {
				return err
			}
			err = run(cmd.Context(), cfg, logger)
			if err != nil && cmd.Context().Err() != nil {
				// Asked to stop: what could not be done on the way out, or was cut off on the way in, is
				// told, and found again by the next start.
				logger.Warn("stopped by a signal during startup", "error", err)
				return nil
			}
			return err
		},
	}
	cmd.PersistentFlags().StringVarP(&file, "config", "c", "", "Configuration `file` (default: BOTHY_CONFIG, then "+config.DefaultFile+" if it exists)")
	config.AddFlags(cmd.PersistentFlags())
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		unknown, ok := errors.AsType[*pflag.NotExistError](err)
		if !ok || unknown.GetSpecifiedShortnames() != "" {
			return err
		}
		var known []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
		return config.UnknownFlag("--"+unknown.GetSpecifiedName(), known)
	})
	cmd.AddCommand(newConfigCommand(&file), newBackupCommand(&file), newRestoreCommand(&file))
	return cmd
}

func newConfigCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:     "config",
		Short:   "Print the effective configuration and its sources",
		Example: "  BOTHY_LOG_LEVEL=debug bothyd config",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, origins, err := config.Load(cmd.Flags(), os.Environ(), *file)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			_, err = fmt.Fprintln(w, "KEY\tVALUE\tFROM")
			for _, s := range cfg.Effective(origins) {
				_, e := fmt.Fprintf(w, "%s\t%s\t%s\n", s.Key, s.Value, s.Origin)
				err = errors.Join(err, e)
			}
			return errors.Join(err, w.Flush())
		},
	}
}
