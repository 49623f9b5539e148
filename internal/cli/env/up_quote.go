package env

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/render"
	"github.com/bothy-env/bothy/internal/client"
)

// quote runs up --dry-run. It prints a refusal in full and returns it as the error that up would return.
func (opts *UpOptions) quote(ctx context.Context, c *client.Client, want wanted) error {
	f := opts.Factory
	q, err := c.Quote(ctx, want.request)
	if err != nil {
		return want.blame(err)
	}
	if err := f.Print(q, func(w io.Writer) error { return format.Table(w, opts.quoteRows(q, want)) }); err != nil {
		return err
	}
	if r := q.Refusal; r != nil {
		sentence, fields := want.locate(r.Detail, r.Fields)
		return &cmdutil.Error{Code: r.Code, Sentence: "bothyd would refuse the request: " + sentence, Hint: r.Hint, Fields: fields}
	}
	return nil
}

func (opts *UpOptions) quoteRows(q wire.Quote, want wanted) [][]string {
	f := opts.Factory
	rows := [][]string{
		{"Blueprint", format.Clean(q.Blueprint.Name + "@" + q.Blueprint.Version)},
		{"Size", fmt.Sprintf("%s: %g CPUs, %d MiB memory", format.Clean(q.Size.Name), q.Size.CPUs, q.Size.MemoryMiB)},
		{"Lease", format.Duration(time.Duration(q.TTLSeconds) * time.Second)},
		{"Price", fmt.Sprintf("%s, %s for the whole lease", format.Rate(q.Size.RateMicrosPerHour, q.Size.Currency), format.Money(q.CostMicros, q.Size.Currency))},
	}
	switch {
	case q.Warm:
		rows = append(rows, []string{"Start", "warm: ready at once"})
	case q.Cold != "": // empty if a limit refuses the request
		rows = append(rows, []string{"Start", fmt.Sprintf("cold (%s)", format.Clean(q.Cold))})
	}
	if q.Rank > 0 {
		rows = append(rows, []string{"Queue", fmt.Sprintf("position %d", q.Rank)})
	}
	if q.ReadyAt != nil {
		rows = append(rows, []string{"Ready", expected(f, *q.ReadyAt)})
	}
	if want.tree != nil {
		rows = append(rows, []string{"Source", opts.described(want.tree) + ", from " + format.Clean(want.tree.Dir)})
	}
	return rows
}

// expected formats an expected time: "in about 2m 5s, 14:03:05".
func expected(f *cmdutil.Factory, at time.Time) string {
	left := at.Sub(f.Now())
	if left < time.Second {
		return "any moment"
	}
	return fmt.Sprintf("in about %s, %s", format.Duration(left), localTime(f, at))
}

// place shows the queue position of a request whenever it has changed enough to be worth a line.
type place struct {
	rank     int
	estimate time.Time
}

// estimateMoved is how far an estimate moves before it is shown again.
const estimateMoved = 10 * time.Second

func (p *place) show(q *wire.Queue, progress render.Progress) {
	if q == nil {
		return
	}
	now := place{rank: q.Rank}
	if q.Estimate != nil {
		now.estimate = *q.Estimate
	}
	if now.rank == p.rank && now.estimate.Sub(p.estimate).Abs() < estimateMoved {
		return
	}
	*p = now
	text := fmt.Sprintf("queue position %d", now.rank)
	if q.Estimate != nil {
		text += ", ETA " + now.estimate.Local().Format(time.TimeOnly)
	}
	progress.Detail(text)
}
