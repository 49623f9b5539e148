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

// SetOptions are the flags of `quota set`. Those that were not given leave a limit as it is.
type SetOptions struct {
	Factory *cmdutil.Factory
	Scope   string

	Environments, CPUs, Memory, HoursPerDay string
	MoneyPerDay, MoneyPerMonth, MaxTTL      string
	Blueprints, Sizes                       []string
	Clear                                   bool
	// Given are the flags that were given.
	Given map[string]bool
}

const (
	// none as a flag's value takes a limit away.
	none = "none"
	// cpuDigits are the decimals of a core.
	cpuDigits = 3
	// hourDigits are the decimals of an hour that are whole seconds.
	hourDigits = 2
	// secondsPerHourDigit are the seconds of the last of them.
	secondsPerHourDigit = 36
)

// NewCmdSet makes `bothy quota set`.
func NewCmdSet(f *cmdutil.Factory, runF func(context.Context, *SetOptions) error) *cobra.Command {
	opts := &SetOptions{Factory: f, Given: map[string]bool{}}
	cmd := &cobra.Command{
		Use:   "set SCOPE",
		Short: "Set limits of a tenant, team or user",
		Long: `Set limits of a tenant, team or user. Only what is given changes; "none" takes a limit away, and --clear takes all away
before others are set. A limit below what is used ends nothing: it admits nothing new. 0 admits nothing at all. Blueprints
and sizes must exist, tenants and teams be in the organisation's file where there is one; users may be new.

` + scopes + ` Needs the platform role.`,
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
	flags.StringVar(&opts.Environments, "environments", "", "most at once, a `number`")
	flags.StringVar(&opts.CPUs, "cpus", "", "most cores at once, a `number` such as 4 or 0.5")
	flags.StringVar(&opts.Memory, "memory", "", "most memory at once, a `size` such as 16GiB")
	flags.StringVar(&opts.HoursPerDay, "hours-per-day", "", "most environment-hours of a UTC day, a `number` such as 40 or 0.5")
	flags.StringVar(&opts.MoneyPerDay, "money-per-day", "", "most money of a UTC day, an `amount` such as 20 or 0.05")
	flags.StringVar(&opts.MoneyPerMonth, "money-per-month", "", "most money of a UTC month, an `amount` such as 500")
	flags.StringVar(&opts.MaxTTL, "max-ttl", "", "longest lease, extensions included, a `duration` such as 8h")
	flags.StringArrayVarP(&opts.Blueprints, "blueprint", "b", nil, "blueprint that may be asked for, by `name`; may be given again")
	flags.StringArrayVarP(&opts.Sizes, "size", "s", nil, "size that may be asked for, by `name`; may be given again")
	flags.BoolVar(&opts.Clear, "clear", false, "take all limits away first")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("blueprint", f.CompleteBlueprints(1)))
	return cmd
}

func setRun(ctx context.Context, opts *SetOptions) error {
	// All that can be wrong here is found before anything is asked for.
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

// change reads the flags that were given, and gives what they do to limits.
func (opts *SetOptions) change() (func(*wire.Limits), error) {
	if !slices.ContainsFunc(limitFlags, func(name string) bool { return opts.Given[name] }) {
		return nil, cmdutil.Usagef("bothy quota set: no limit was given").WithHint("bothy quota set %s --environments 10", opts.Scope)
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

// apply puts what was given in place; what was read as nothing takes a limit away.
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

// names are those of a list, none of them for "none".
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
		return 0, cmdutil.Usagef("--%s: got %q, want hours from 0 to %d with at most %d decimals, such as 40 or 0.5", flag, text, cmdutil.MostCount, hourDigits)
	}
	return n * secondsPerHourDigit, nil
}

func mebibytes(flag, text string) (int64, error) {
	n, err := format.ParseBytes(text)
	if err != nil {
		return 0, cmdutil.Usagef("--%s: %w", flag, err)
	}
	if n%(1<<20) != 0 {
		return 0, cmdutil.Usagef("--%s: got %q, want a size of whole MiB such as 16GiB", flag, text)
	}
	return n >> 20, nil
}

func seconds(flag, text string) (int64, error) {
	d, err := cmdutil.Span(flag, text)
	return int64(d / time.Second), err
}
