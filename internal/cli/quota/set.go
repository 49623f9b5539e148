package quota

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/client"
)

// SetOptions are the flags of `quota set`. Flags that are not set leave a limit unchanged.
type SetOptions struct {
	Factory *cmdutil.Factory
	Scope   string

	Environments, CPUs, Memory, HoursPerDay string
	MoneyPerDay, MoneyPerMonth, MaxTTL      string
	Blueprints, Sizes                       []string
	Clear                                   bool
	// Given are the names of the flags that are set.
	Given map[string]bool
}

const (
	// none as the value of a flag removes a limit.
	none = "none"
	// cpuDigits is the number of decimals of a CPU count.
	cpuDigits = 3
	// hourDigits is the number of decimals of an hour: 0.01 h is a whole number of seconds.
	hourDigits = 2
	// secondsPerHourDigit is 0.01 h in seconds.
	secondsPerHourDigit = 36
)

// NewCmdSet makes `bothy quota set`.
func NewCmdSet(f *cmdutil.Factory, runF func(context.Context, *SetOptions) error) *cobra.Command {
	opts := &SetOptions{Factory: f, Given: map[string]bool{}}
	cmd := &cobra.Command{
		Use:   "set SCOPE",
		Short: "Set the limits of a tenant, team or user",
		Long: `Sets the limits of a tenant, team or user. Limits that you do not pass stay unchanged. "none" removes a limit, and --clear
removes all limits before it sets the others. Lowering a limit below current usage deletes nothing; it blocks new requests. 0
blocks all requests.

Blueprints and sizes must exist. Tenants and teams must be in the organisation file, if there is one. Users may be new.

` + scopes + ` Requires the platform role.`,
		Example: `  bothy quota set acme --environments 50 --cpus 100 --memory 200GiB --money-per-month 500
  bothy quota set acme/team/core --hours-per-day 40 --max-ttl 8h --blueprint build --size small --size medium
  bothy quota set acme/user/ada --environments none
  bothy quota set acme/user/ada --clear`,
		Args:              cmdutil.Args(1, 1, "one scope: TENANT, TENANT/team/NAME or TENANT/user/NAME"),
		ValidArgsFunction: f.CompleteScopes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Scope = args[0]
			cmd.Flags().Visit(func(flag *pflag.Flag) { opts.Given[flag.Name] = true })
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return setRun(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Environments, "environments", "", "Maximum `number` of concurrent environments")
	flags.StringVar(&opts.CPUs, "cpus", "", "Maximum `number` of CPUs in use, for example 4 or 0.5")
	flags.StringVar(&opts.Memory, "memory", "", "Maximum memory `size` in use, for example 16GiB")
	flags.StringVar(&opts.HoursPerDay, "hours-per-day", "", "Maximum `number` of environment-hours per UTC day, for example 40 or 0.5")
	flags.StringVar(&opts.MoneyPerDay, "money-per-day", "", "Budget `amount` per UTC day, for example 20 or 0.05")
	flags.StringVar(&opts.MoneyPerMonth, "money-per-month", "", "Budget `amount` per UTC month, for example 500")
	flags.StringVar(&opts.MaxTTL, "max-ttl", "", "Maximum lease `duration` including extensions, for example 8h")
	flags.StringArrayVarP(&opts.Blueprints, "blueprint", "b", nil, "Allowed blueprint `name` (repeatable)")
	flags.StringArrayVarP(&opts.Sizes, "size", "s", nil, "Allowed size `name` (repeatable)")
	flags.BoolVar(&opts.Clear, "clear", false, "Remove all limits first")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("blueprint", f.CompleteBlueprints(1)))
	return cmd
}

func setRun(ctx context.Context, opts *SetOptions) error {
	// Check everything local before the request.
	change, err := opts.change()
	if err != nil {
		return err
	}
	return cmdutil.Ask(opts.Factory, func(c *client.Client) (wire.Quota, error) {
		var limits wire.Limits
		if !opts.Clear {
			q, err := c.Quota(ctx, opts.Scope)
			if err != nil {
				return wire.Quota{}, err
			}
			limits = q.Limits
		}
		change(&limits)
		return c.SetQuota(ctx, opts.Scope, limits)
	}, printQuota(opts.Factory))
}

// change parses the flags that are set and returns the change that they make to limits.
func (opts *SetOptions) change() (func(*wire.Limits), error) {
	if !slices.ContainsFunc(limitFlags, func(name string) bool { return opts.Given[name] }) {
		return nil, cmdutil.Usagef("bothy quota set: want at least one limit").WithHint("bothy quota set %s --environments 10", opts.Scope)
	}
	var read wire.Limits
	for _, l := range []struct {
		flag, text string
		to         **int64
		parse      func(flag, text string) (int64, error)
	}{
		{"environments", opts.Environments, &read.Environments, cmdutil.Count},
		{"cpus", opts.CPUs, &read.MilliCPUs, cores},
		{"memory", opts.Memory, &read.MemoryMiB, mebibytes},
		{"hours-per-day", opts.HoursPerDay, &read.SecondsPerDay, hours},
		{"money-per-day", opts.MoneyPerDay, &read.MicrosPerDay, money},
		{"money-per-month", opts.MoneyPerMonth, &read.MicrosPerMonth, money},
		{"max-ttl", opts.MaxTTL, &read.MaxTTLSeconds, seconds},
	} {
		if !opts.Given[l.flag] || l.text == none {
			continue
		}
		n, err := l.parse(l.flag, l.text)
		if err != nil {
			return nil, err
		}
		*l.to = &n
	}
	read.Blueprints, read.Sizes = names(opts.Blueprints), names(opts.Sizes)
	return func(l *wire.Limits) { opts.apply(l, read) }, nil
}

var limitFlags = []string{"environments", "cpus", "memory", "hours-per-day", "money-per-day", "money-per-month", "max-ttl", "blueprint", "size", "clear"}

// apply sets the limits of the flags that are set; a nil value removes a limit.
func (opts *SetOptions) apply(l *wire.Limits, read wire.Limits) {
	for flag, set := range map[string]func(){
		"environments":    func() { l.Environments = read.Environments },
		"cpus":            func() { l.MilliCPUs = read.MilliCPUs },
		"memory":          func() { l.MemoryMiB = read.MemoryMiB },
		"hours-per-day":   func() { l.SecondsPerDay = read.SecondsPerDay },
		"money-per-day":   func() { l.MicrosPerDay = read.MicrosPerDay },
		"money-per-month": func() { l.MicrosPerMonth = read.MicrosPerMonth },
		"max-ttl":         func() { l.MaxTTLSeconds = read.MaxTTLSeconds },
		"blueprint":       func() { l.Blueprints = read.Blueprints },
		"size":            func() { l.Sizes = read.Sizes },
	} {
		if opts.Given[flag] {
			set()
		}
	}
}

// names returns list, or nil for "none".
func names(list []string) []string {
	if len(list) == 1 && list[0] == none {
		return nil
	}
	return list
}

func cores(flag, text string) (int64, error) { return cmdutil.Decimal(flag, text, cpuDigits) }

func money(flag, text string) (int64, error) { return cmdutil.Money("--"+flag, text) }

func hours(flag, text string) (int64, error) {
	n, err := cmdutil.Decimal(flag, text, hourDigits)
	if err != nil || n > cmdutil.MostCount*100 {
		return 0, cmdutil.Usagef("--%s: got %q, want hours from 0 to %d with at most %d decimals, for example 40 or 0.5", flag, text, cmdutil.MostCount, hourDigits)
	}
	return n * secondsPerHourDigit, nil
}

func mebibytes(flag, text string) (int64, error) {
	n, err := format.ParseBytes(text)
	if err != nil {
		return 0, cmdutil.Usagef("--%s: %w", flag, err)
	}
	if n%(1<<20) != 0 {
		return 0, cmdutil.Usagef("--%s: got %q, want a size in whole MiB, for example 16GiB", flag, text)
	}
	return n >> 20, nil
}

func seconds(flag, text string) (int64, error) {
	d, err := cmdutil.Span(flag, text)
	return int64(d / time.Second), err
}
