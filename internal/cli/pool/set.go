package pool

import (
	"context"
	"maps"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/client"
)

// SetOptions are the flags of `pool set`. Flags that are not set leave an existing pool unchanged.
type SetOptions struct {
	Factory *cmdutil.Factory
	Name    string

	Blueprint, Size, Zone   string
	Params, Schedule        []string
	Target, Min, Max, Surge string
	Pause                   bool
	// Given are the names of the flags that are set.
	Given map[string]bool
}

// NewCmdSet makes `bothy pool set`.
func NewCmdSet(f *cmdutil.Factory, runF func(context.Context, *SetOptions) error) *cobra.Command {
	opts := &SetOptions{Factory: f, Given: map[string]bool{}}
	cmd := &cobra.Command{
		Use:   "set POOL",
		Short: "Create or update a pool",
		Long: `Creates or updates a pool. An update changes only the settings that you pass. --param and --schedule replace all inputs and all
schedules. Requires the platform role.

If the blueprint has a new version or the inputs change, the pool replaces its members. It creates new members first, within
--surge and --max. If that is impossible, it deletes old members first. A pool never has fewer than --min or more than --max
members, so --min must be less than --max.

A schedule has the form DAYS FROM-UNTIL=TARGET, for example "mon-fri 08:00-18:00=5". Times are in UTC or in --zone, including
daylight saving time. The first matching schedule wins; otherwise --target applies.

If several pools match a request, the first by name with a warm environment serves it.`,
		Example: `  bothy pool set builders --blueprint build --size small --target 3
  bothy pool set builders --target 1 --schedule 'mon-fri 08:00-18:00=5' --zone Europe/Berlin --max 8
  bothy pool set big --blueprint build@1.0.0 --size large --param shm_mib=512 --target 1 --min 1 --surge 1`,
		Args:              cmdutil.Args(1, 1, "the name of one pool"),
		ValidArgsFunction: f.CompletePools(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Name = args[0]
			cmd.Flags().Visit(func(flag *pflag.Flag) { opts.Given[flag.Name] = true })
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return setRun(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&opts.Blueprint, "blueprint", "b", "", "Blueprint `name` (follows the newest version), or name@version")
	flags.StringVarP(&opts.Size, "size", "s", "", "Size of members (default: the blueprint's default size)")
	flags.StringArrayVarP(&opts.Params, "param", "p", nil, "Blueprint input `key=value` (repeatable)")
	flags.StringVar(&opts.Target, "target", "", "Target `number` of warm members")
	flags.StringVar(&opts.Min, "min", "", "Minimum `number` of members during an update (default: 0)")
	flags.StringVar(&opts.Max, "max", "", "Maximum `number` of members, claimed ones not counted (default: highest target plus --surge, at least --min plus 1)")
	flags.StringVar(&opts.Surge, "surge", "", "Maximum `number` of members above the target during an update (default: 0, or 1 if --min equals the target)")
	flags.BoolVar(&opts.Pause, "pause", false, "Freeze idle members so that they use no CPU (claims take a little longer)")
	flags.StringArrayVar(&opts.Schedule, "schedule", nil, "Target for a part of the week, `'DAYS FROM-UNTIL=TARGET'` (repeatable)")
	flags.StringVar(&opts.Zone, "zone", "", "Time zone `name` of the schedules, for example Europe/Berlin (default: UTC)")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("blueprint", f.CompleteBlueprints(1)))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("size", f.CompleteSizes()))
	return cmd
}

func setRun(ctx context.Context, opts *SetOptions) error {
	// Check everything local before the request.
	change, err := opts.change()
	if err != nil {
		return err
	}
	return cmdutil.Ask(opts.Factory, func(c *client.Client) (wire.Pool, error) {
		request, err := opts.present(ctx, c)
		if err != nil {
			return wire.Pool{}, err
		}
		change(&request)
		return c.SetPool(ctx, opts.Name, request)
	}, printPool(opts.Factory))
}

// present returns the current settings of the pool. A new pool requires the flags that have no default.
func (opts *SetOptions) present(ctx context.Context, c *client.Client) (wire.PoolRequest, error) {
	p, err := c.Pool(ctx, opts.Name)
	switch {
	case err == nil:
		return wire.PoolRequest{
			Blueprint: p.Blueprint, Size: p.Size, Inputs: maps.Clone(p.Inputs), Target: p.Target, Schedule: p.Schedule, Zone: p.Zone,
			Min: p.Min, Max: opts.keptMax(p), Surge: p.Surge, Pause: p.Pause,
		}, nil
	case client.CodeOf(err) != wire.CodeNotFound:
		return wire.PoolRequest{}, err
	case opts.Blueprint == "" || opts.Target == "":
		return wire.PoolRequest{}, cmdutil.Usagef("cannot create pool %s: --blueprint and --target are required", opts.Name).
			WithHint("bothy pool set %s --blueprint build --target 3", opts.Name)
	}
	return wire.PoolRequest{}, nil
}

// keptMax returns the maximum of the pool, unless it is the default, which follows the targets.
func (opts *SetOptions) keptMax(p wire.Pool) *int64 {
	greatest := p.Target
	for _, t := range p.Schedule {
		greatest = max(greatest, t.Target)
	}
	surge := p.Surge
	if surge == 0 && p.Min > 0 && p.Min >= greatest && p.Max > greatest {
		surge = 1
	}
	if p.Max == greatest+surge {
		return nil
	}
	return new(p.Max)
}

// change parses the flags that are set and returns the change that they make to a pool.
func (opts *SetOptions) change() (func(*wire.PoolRequest), error) {
	counts := map[string]int64{}
	for flag, text := range map[string]string{"target": opts.Target, "min": opts.Min, "max": opts.Max, "surge": opts.Surge} {
		if !opts.Given[flag] {
			continue
		}
		n, err := cmdutil.Count(flag, text)
		if err != nil {
			return nil, err
		}
		counts[flag] = n
	}
	params, err := cmdutil.Inputs(opts.Params)
	if err != nil {
		return nil, err
	}
	var schedule []wire.ScheduledTarget
	for _, text := range opts.Schedule {
		t, err := parseSchedule(text)
		if err != nil {
			return nil, err
		}
		schedule = append(schedule, t)
	}
	return func(r *wire.PoolRequest) {
		given := func(flag string, set func()) {
			if opts.Given[flag] {
				set()
			}
		}
		given("blueprint", func() { r.Blueprint = opts.Blueprint })
		given("size", func() { r.Size = opts.Size })
		given("param", func() { r.Inputs = params })
		given("schedule", func() {
			if r.Schedule = schedule; len(schedule) == 0 {
				r.Zone = ""
			}
		})
		given("zone", func() { r.Zone = opts.Zone })
		given("target", func() { r.Target = counts["target"] })
		given("min", func() { r.Min = counts["min"] })
		given("max", func() { r.Max = new(counts["max"]) })
		given("surge", func() { r.Surge = counts["surge"] })
		given("pause", func() { r.Pause = opts.Pause })
	}, nil
}
