package system

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
	"github.com/bothy-env/bothy/internal/client"
)

// DoctorOptions are the options of doctor.
type DoctorOptions struct{ Factory *cmdutil.Factory }

// NewCmdDoctor makes `bothy doctor`.
func NewCmdDoctor(f *cmdutil.Factory, runF func(context.Context, *DoctorOptions) error) *cobra.Command {
	opts := &DoctorOptions{Factory: f}
	return &cobra.Command{
		Use:   "doctor",
		Short: "Diagnose problems",
		Long: `Diagnose problems: connection to the daemon, then the daemon's own checks.

The first checks cover the address, the socket, its permissions and the answer of the daemon. The daemon checks its database, the
Docker engine, Terraform, network isolation and disk. doctor works without a running daemon. It exits with an error if a check
failed. Warnings are not errors.`,
		Example: `  bothy doctor
  bothy doctor --output json`,
		Args:              cmdutil.Args(0, 0, "no arguments"),
		ValidArgsFunction: cmdutil.NoComplete,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return doctorRun(cmd.Context(), opts)
		},
	}
}

func doctorRun(ctx context.Context, opts *DoctorOptions) error {
	f := opts.Factory
	host, from := f.Address()
	health := wire.Health{Checks: []wire.Check{{Name: "address", Status: "ok", Message: fmt.Sprintf("%s (%s)", host, from)}}}
	if check, ok := socketCheck(host, lookedAt(f, from)); ok {
		health.Checks = append(health.Checks, check)
	}
	daemon, err := askDaemon(ctx, f)
	health.Checks = append(health.Checks, daemon...)
	exit := error(nil)
	health.Ready = err == nil
	for _, c := range health.Checks {
		if c.Status == "failed" {
			health.Ready, exit = false, cmdutil.Exit(cmdutil.ExitFailed)
		}
	}
	if err != nil {
		exit = cmdutil.Exit(cmdutil.ExitCode(err))
	}
	if err := f.Print(health, func(w io.Writer) error { return checks(w, f, health) }); err != nil {
		return err
	}
	return exit
}

// lookedAt lists the sockets that the client tries without an address.
func lookedAt(f *cmdutil.Factory, from string) []string {
	if from != "default" {
		return nil
	}
	_, looked := client.DefaultHost(f.Getenv)
	return looked
}

// socketCheck checks the socket without connecting; ok is false for other kinds of address.
func socketCheck(host string, looked []string) (wire.Check, bool) {
	path, ok := wire.SocketPath(host)
	if !ok {
		return wire.Check{}, false
	}
	check := wire.Check{Name: "socket", Status: "failed"}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		check.Message, check.Hint = path+" does not exist", "start bothyd, or set its address with --host or BOTHY_HOST"
		if len(looked) > 1 {
			check.Message = "no socket that you own at " + strings.Join(looked, ", ")
		}
	case err != nil:
		check.Message, check.Hint = err.Error(), "run bothy as the user that runs bothyd"
	case info.Mode().Type() != fs.ModeSocket:
		check.Message, check.Hint = path+" is not a socket", "set the address of bothyd with --host or BOTHY_HOST"
	default:
		check.Status = "ok"
		check.Message = fmt.Sprintf("%s, mode %#o", path, info.Mode().Perm())
		if uid, gid, ok := ownersOf(info); ok {
			check.Message += fmt.Sprintf(", owner uid %d (you: %d)", uid, os.Geteuid())
			if info.Mode().Perm()&0o070 != 0 { // set by listen.unix_group
				check.Message += fmt.Sprintf(", group gid %d", gid)
			}
		}
		if info.Mode().Perm()&0o007 != 0 {
			check.Message += ", open to every user of this machine"
			check.Status, check.Hint = "warning", "chmod 600 "+path
		}
	}
	return check, true
}

// askDaemon returns a check of the connection, followed by the daemon's own checks.
func askDaemon(ctx context.Context, f *cmdutil.Factory) ([]wire.Check, error) {
	reach := wire.Check{Name: "daemon", Status: "failed"}
	var version wire.Version
	c, err := f.Client()
	if err == nil {
		version, err = c.Version(ctx)
	}
	if err != nil {
		p := cmdutil.ProblemOf(err)
		reach.Message, reach.Hint = p.Detail, p.Hint
		return []wire.Check{reach}, err
	}
	reach.Status, reach.Message = "ok", fmt.Sprintf("bothyd %s answers, instance %s", version.Version, version.Instance)
	if version.Version != f.Version {
		reach.Status, reach.Hint = "warning", fmt.Sprintf("bothy is %s: install bothy and bothyd of the same version", f.Version)
	}
	all := []wire.Check{reach}
	if at, err := c.Clock(ctx); err == nil {
		if check, ok := clockCheck(f.Now(), at); ok {
			all = append(all, check)
		}
	}
	found, err := daemonChecks(ctx, c)
	return append(all, found...), err
}

// mostSkew is the clock difference from which times of one machine mislead users of the other.
const mostSkew = 10 * time.Second

// clockCheck warns if the clocks of this machine and the daemon differ by more than mostSkew.
func clockCheck(here, there time.Time) (wire.Check, bool) {
	ahead := here.Sub(there)
	if ahead.Abs() <= mostSkew {
		return wire.Check{}, false
	}
	word := "ahead of"
	if ahead < 0 {
		word = "behind"
	}
	return wire.Check{Name: "clock", Status: "warning", Message: fmt.Sprintf("this machine's clock is %s %s the daemon's", ahead.Abs().Round(time.Second), word),
		Hint: "synchronise both clocks with NTP: bothy shows times of the daemon, and the daemon computes the time left of leases"}, true
}

func daemonChecks(ctx context.Context, c *client.Client) ([]wire.Check, error) {
	health, err := c.Doctor(ctx)
	if err != nil {
		p := cmdutil.ProblemOf(err)
		return []wire.Check{{Name: "checks", Status: "failed", Message: p.Detail, Hint: p.Hint}}, err
	}
	return health.Checks, nil
}

// shownAge is the age, in seconds, from which doctor shows the age of a check: the daemon runs most checks every 5 s.
const shownAge = 10

func checks(w io.Writer, f *cmdutil.Factory, health wire.Health) error {
	marks := map[string]string{
		"ok":      f.IO.Paint(iostreams.Green, "ok"),
		"warning": f.IO.Paint(iostreams.Yellow, "warning"),
		"failed":  f.IO.Paint(iostreams.Red, "failed"),
	}
	var rows [][]string
	for _, c := range health.Checks {
		first := []string{marks[c.Status], format.Clean(c.Name)}
		for i, line := range strings.Split(strings.TrimSpace(c.Message), "\n") { // a file with errors has a line for each place
			switch {
			case i > 0:
				first, line = []string{"", ""}, "| "+line // text from elsewhere must not look like a line of bothy
			case c.AgeSeconds >= shownAge:
				line = fmt.Sprintf("%s (checked %s ago)", line, time.Duration(c.AgeSeconds)*time.Second)
			}
			rows = append(rows, append(first, line))
		}
		if c.Hint != "" {
			rows = append(rows, []string{"", "", "hint: " + format.Clean(strings.ReplaceAll(c.Hint, "\n", "; "))})
		}
	}
	return format.Table(w, rows)
}
