package rate

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/client"
)

// SetOptions are the arguments and flags of `rate set`.
type SetOptions struct {
	Factory                *cmdutil.Factory
	Blueprint, Size, Price string
	// From is an RFC 3339 time; empty for now.
	From string
}

// NewCmdSet makes `bothy rate set`.
func NewCmdSet(f *cmdutil.Factory, runF func(context.Context, *SetOptions) error) *cobra.Command {
	opts := &SetOptions{Factory: f}
	cmd := &cobra.Command{
		Use:   "set BLUEPRINT SIZE PRICE",
		Short: "Set the hourly price of a blueprint size",
		Long: `Sets the hourly price of a blueprint size, in the currency of the blueprint, with at most six decimals. The price applies to
environments admitted from now on, or from --from. Earlier environments keep their price. Requires the platform role.`,
		Example: `  bothy rate set build small 0.05
  bothy rate set build large 0.4 --from 2027-01-01T00:00:00Z`,
		Args:              cmdutil.Args(3, 3, "a blueprint, one of its sizes and a price"),
		ValidArgsFunction: complete(f),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Blueprint, opts.Size, opts.Price = args[0], args[1], args[2]
			if runF != nil {
				return runF(cmd.Context(), opts)
			}
			return setRun(cmd.Context(), opts)
		},
	}
	cmd.Flags().StringVar(&opts.From, "from", "", "RFC 3339 `time` from which the price applies (default: now)")
	return cmd
}

// complete completes blueprints, then the sizes of the chosen blueprint.
func complete(f *cmdutil.Factory) cmdutil.Complete {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var names []cobra.Completion
		for _, bp := range f.Blueprints(cmd) {
			if len(args) == 0 {
				names = append(names, cobra.CompletionWithDesc(bp.Name, bp.Description))
			}
			for _, s := range bp.Sizes {
				if len(args) == 1 && bp.Name == args[0] {
					names = append(names, cobra.CompletionWithDesc(s.Name, format.Rate(s.RateMicrosPerHour, s.Currency)))
				}
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func setRun(ctx context.Context, opts *SetOptions) error {
	micros, err := cmdutil.Money("PRICE", opts.Price)
	if err != nil {
		return err
	}
	r := wire.RateRequest{MicrosPerHour: micros}
	if opts.From != "" {
		from, err := time.Parse(time.RFC3339, opts.From)
		if err != nil {
			return cmdutil.Usagef("--from: got %q, want an RFC 3339 time, for example 2027-01-31T00:00:00Z", opts.From)
		}
		r.From = &from
	}
	c, err := opts.Factory.Client()
	if err != nil {
		return err
	}
	if r.Currency, err = opts.currency(ctx, c); err != nil {
		return err
	}
	set, err := c.SetRate(ctx, opts.Blueprint, opts.Size, r)
	if err != nil {
		return err
	}
	return opts.Factory.Print(set, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "Set %s %s to %s from %s\n", format.Clean(set.Blueprint), format.Clean(set.Size),
			format.Rate(set.MicrosPerHour, set.Currency), set.From.Local().Format(time.DateTime))
		return err
	})
}

// currency returns the currency of the size: bothy could not add up prices in different currencies.
func (opts *SetOptions) currency(ctx context.Context, c *client.Client) (string, error) {
	bp, err := c.Blueprint(ctx, opts.Blueprint)
	if err != nil {
		return "", err
	}
	i := slices.IndexFunc(bp.Sizes, func(s wire.Size) bool { return s.Name == opts.Size })
	if i < 0 {
		var names []string
		for _, s := range bp.Sizes {
			names = append(names, s.Name)
		}
		return "", cmdutil.Usagef("blueprint %s has no size %q", bp.Name, opts.Size).WithHint("use one of: %s", strings.Join(names, ", "))
	}
	return bp.Sizes[i].Currency, nil
}
