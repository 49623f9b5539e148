package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/plan"
	"github.com/bothy-env/bothy/internal/store"
)

// growth measures what depends on the number of environments, among so many. At the largest number it also measures the rows with goals.
func (b *bench) growth(ctx context.Context, size int, largest bool) error {
	name := fmt.Sprintf("growth-%d", size)
	warm := b.execs + warmUps
	flags, err := b.fakeHost(name, size+warm)
	if err != nil {
		return err
	}
	ending := 0
	if largest && b.only.has("reaper-lateness") {
		ending = overdue
	}
	b.say("writing %d environments", size+ending)
	file := filepath.Join(b.dir, name+".db")
	ends, err := seed(ctx, file, size, ending)
	if err != nil {
		return fmt.Errorf("write %d environments: %w", size, err)
	}
	d, err := b.daemon(ctx, name, append(flags, "--database=sqlite://"+file)...)
	if err != nil {
		return err
	}
	if ending > 0 {
		if err := b.lateness(ctx, d, size, ends); err != nil {
			return fmt.Errorf("reaper-lateness: %w", err)
		}
	}
	if !b.only.any(append(growthRows(size), b.listOf())) {
		return b.stop(ctx, name)
	}
	if err := d.keepWarm(ctx, warm, false); err != nil {
		return err
	}
	if err := b.grown(ctx, d, size, largest); err != nil {
		return fmt.Errorf("%d environments: %w", size, err)
	}
	if err := b.stop(ctx, name); err != nil {
		return err
	}
	return b.tick(ctx, "sqlite://"+file, size, largest)
}

// grown measures one request after the other. The pool fills the host, so nothing is created meanwhile.
func (b *bench) grown(ctx context.Context, d *daemon, size int, largest bool) error {
	b.say("claims and admissions among %d", size)
	took, err := interleave(
		b.execs,
		func() error {
			env, _, err := d.client.Create(ctx, wire.CreateRequest{Blueprint: "build", Size: "small"}, "")
			if err == nil && !env.Claimed {
				err = fmt.Errorf("%s is not from the pool: %s", env.Name, env.Cold)
			}
			return err
		},
		func() error {
			_, _, err := d.client.Create(ctx, wire.CreateRequest{Blueprint: "build", Size: "small", NoPool: true}, "")
			return err
		},
		func() error {
			envs, err := d.client.List(ctx, client.ListOptions{Limit: 50})
			if err == nil && largest && len(envs) != 50 {
				err = fmt.Errorf("%d environments are listed, not 50", len(envs))
			}
			return err
		},
	)
	if err != nil {
		return err
	}
	rows := growthRows(size)
	b.row(result{name: rows[0], unit: "ms", ours: took[0], how: "client: a claim, fake driver, among so many rows written directly"})
	b.row(result{name: rows[1], unit: "ms", ours: took[1], how: "client: a request that is admitted and waits for capacity, among them"})
	if largest {
		b.row(result{name: b.listOf(), unit: "ms", ours: took[2], goal: atMost(10), how: "client: the newest 50 of them"})
	}
	return nil
}

// tick measures the controller's work after a change: read the changed rows, and plan. The plan covers all live environments, turned into
// a crowd, with the hosts, pools and waiting requests of a busy installation. At rest it only checks whether anything has changed.
func (b *bench) tick(ctx context.Context, database string, size int, largest bool) (err error) {
	s, err := store.Open(ctx, database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var rest, read, computed []float64
	rows := s.Keep()
	live, err := rows.Live(ctx)
	if err != nil {
		return err
	}
	changed := live[0].ID
	for round := range b.execs + warmUps {
		began := time.Now()
		if _, err := rows.Live(ctx); err != nil {
			return err
		}
		rested := time.Since(began)
		if _, err := s.Change(ctx, changed, store.Expect{}, func(env *fleet.Environment) (store.Writes, error) {
			env.Work.Attempts++
			return store.Writes{}, nil
		}); err != nil {
			return err
		}
		began = time.Now()
		if live, err = rows.Live(ctx); err != nil {
			return err
		}
		got := time.Since(began)
		busy := crowd(slices.Clone(live), began)
		planning := time.Now()
		p := plan.Compute(busy, began)
		planned := time.Since(planning)
		if len(p.Actions)+len(p.Waiting) == 0 {
			return errors.New("the plan is empty: the environments are not a crowd")
		}
		if round >= warmUps {
			rest, read, computed = append(rest, milliseconds(rested)), append(read, milliseconds(got+planned)), append(computed, milliseconds(planned))
		}
	}
	names := growthRows(size)
	b.row(result{name: names[2], unit: "ms", ours: read, how: "one row changed: Kept.Live and plan.Compute"})
	still := result{name: names[4], unit: "ms", ours: rest, how: "nothing changed: Kept.Live"}
	row := result{
		name: names[3], unit: "ms", ours: computed,
		how: fmt.Sprintf("plan.Compute: so many on %d hosts, of %d pools, one in 20 waits", crowdHosts, crowdPools),
	}
	if largest {
		row.goal, still.goal = atMost(10), atMost(5)
	}
	b.row(row)
	b.row(still)
	return nil
}

// lateness measures how long after its end each lease is seen to end, by a client that follows the events.
func (b *bench) lateness(ctx context.Context, d *daemon, size int, ends map[string]time.Time) error {
	b.say("waiting for %d leases to end among %d", len(ends), size)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var late []float64
	newest, err := d.client.NewestEvents(ctx, client.EventOptions{}, 1)
	if err != nil {
		return err
	}
	after := client.EventOptions{}
	for _, ev := range newest {
		after.After = ev.Seq
	}
	err = d.client.FollowEvents(ctx, after, func(ev wire.Event) error {
		end, ok := ends[ev.Environment]
		if !ok || ev.Kind != "lease.expired" {
			return nil
		}
		delete(ends, ev.Environment)
		late = append(late, milliseconds(time.Since(end)))
		switch {
		case ev.At.Before(end):
			return fmt.Errorf("the lease of %s was ended %s too early", ev.Environment, end.Sub(ev.At))
		case len(ends) == 0:
			return errReached
		}
		return nil
	})
	if !errors.Is(err, errReached) {
		return errors.Join(fmt.Errorf("%d leases are not seen to end", len(ends)), err)
	}
	b.row(result{
		name: "reaper-lateness", unit: "ms", ours: late, worst: true, goal: atMost(2000),
		how: fmt.Sprintf("the latest of %d that end within %s among %d (rows written directly): end of lease to its record at the client",
			len(late), overdue*overdueApart, size),
	})
	return nil
}
