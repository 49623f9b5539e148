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

// SetOptions are the flags of `pool set`. Those that were not given leave a pool as it is.
type SetOptions struct {
	Factory *cmdutil.Factory
	Name    string

	Blueprint, Size, Zone   string
	Params, Schedule        []string
	Target, Min, Max, Surge string
	Pause                   bool
	// Given are the flags that were given.
	Given map[string]bool
}

// NewCmdSet makes `bothy pool set`.
func NewCmdSet(f *cmdutil.Factory, runF func(context.Context, *SetOptions) error) *cobra.Command {
	opts := &SetOptions{Factory: f, Given: map[string]bool{}}
	cmd := &cobra.Command{
		Use:   "set POOL",
		Short: "Set a pool, new or not",
		Long: `Set a pool. Of one that exists, only what is given changes; --param and --schedule replace all that there were.

A new version of the blueprint, or other inputs, roll the pool over: new members first, as far as --surge and --max let
them, else old ones go first. There are never fewer than --min nor more than --max, so --min must be less than --max.

A schedule is DAYS FROM-UNTIL=TARGET: "mon-fri 08:00-18:00=5". Its times are UTC, or those of --zone, summer time included.
The first that holds wins; --target holds else.
Of two pools that match one request, the first by name that has a warm one gives it. Needs the platform role.`,
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
	flags.StringVarP(&opts.Blueprint, "blueprint", "b", "", "blueprint of its members, `name`, which follows the newest version, or name@version")
	flags.StringVarP(&opts.Size, "size", "s", "", "size of its members (default: the blueprint's)")
	flags.StringArrayVarP(&opts.Params, "param", "p", nil, "input of the blueprint, `key=value`; may be given again")
	flags.StringVar(&opts.Target, "target", "", "how many to keep warm, a `number`")
	flags.StringVar(&opts.Min, "min", "", "never fewer than this `number` while a new version is rolled out (default: 0)")
	flags.StringVar(&opts.Max, "max", "", "never more than this `number` at once, those that were taken not counted (default: the greatest target and --surge, or one more than that target where --min is as great)")
	flags.StringVar(&opts.Surge, "surge", "", "how many above the target may exist while a new version is rolled out, a `number`, within --max (default: 0, or 1 where --min is the target)")
	flags.BoolVar(&opts.Pause, "pause", false, "freeze idle members, so that they cost no CPU; taking one lasts a little longer")
	flags.StringArrayVar(&opts.Schedule, "schedule", nil, "another target for a part of the week, `'DAYS FROM-UNTIL=TARGET'`; may be given again")
	flags.StringVar(&opts.Zone, "zone", "", "time zone of the schedule, a `name` such as Europe/Berlin (default: UTC)")
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("blueprint", f.CompleteBlueprints(1)))
	cobra.CheckErr(cmd.RegisterFlagCompletionFunc("size", f.CompleteSizes()))
	return cmd
}

func setRun(ctx context.Context, opts *SetOptions) error {
	// All that can be wrong here is found before anything is asked for.
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

// present is how the pool is set now; a new one must be given what no default holds for.
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
		return wire.PoolRequest{}, cmdutil.Usagef("the pool %s is new: --blueprint and --target are needed", opts.Name).
			WithHint("bothy pool set %s --blueprint build --target 3", opts.Name)
	}
	return wire.PoolRequest{}, nil
}

// keptMax is the pool's own limit, unless it is the default, which moves with the targets.
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

// change reads the flags that were given, and gives what they do to a pool.
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
