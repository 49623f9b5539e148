package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

const (
	// settleTries bounds how often to wait until the engine is idle: networks are recreated, providers are started ahead.
	settleTries = 30
	// attempts is the number of warm-up attempts for rows in milliseconds.
	warmUps = 3
)

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// way is one way of creating environments: count of them at once, then deleting them. It returns how long each half took.
type way func(ctx context.Context, count int) (create, remove time.Duration, err error)

func (b *bench) oursWay(d *daemon, t *traces) way {
	return func(ctx context.Context, count int) (create, remove time.Duration, err error) {
		envs := make([]wire.Environment, count)
		asked := time.Now()
		create, err = atOnce(count, func(i int) (err error) {
			envs[i], err = d.create(ctx)
			return err
		})
		if err != nil {
			return 0, 0, err
		}
		if err := t.add(ctx, d, phase{"cold-create", count}, envs, asked, asked.Add(create)); err != nil {
			return 0, 0, err
		}
		b.pause(ctx)
		asked = time.Now()
		if remove, err = atOnce(count, func(i int) error { return d.remove(ctx, envs[i].ID) }); err != nil {
			return 0, 0, err
		}
		return create, remove, t.add(ctx, d, phase{"delete", count}, envs, asked, asked.Add(remove))
	}
}

func (b *bench) handWay(h *byHand) way {
	return func(ctx context.Context, count int) (create, remove time.Duration, err error) {
		dirs := make([]string, count)
		for i := range dirs {
			if dirs[i], err = h.project(); err != nil {
				return 0, 0, err
			}
		}
		if create, err = atOnce(count, func(i int) error { return h.create(ctx, dirs[i]) }); err != nil {
			return 0, 0, err
		}
		b.pause(ctx)
		remove, err = atOnce(count, func(i int) error { return h.destroy(ctx, dirs[i]) })
		return create, remove, err
	}
}

// rounds measures all ways in turn, n times, after a warm-up round. Each round begins with another way, so that none always follows the
// same one.
func (b *bench) rounds(ctx context.Context, count, n int, ways []way) (create, remove [][]float64, err error) {
	create, remove = make([][]float64, len(ways)), make([][]float64, len(ways))
	for round := range n + 1 {
		b.say("%d at once, round %d of %d", count, round, n)
		for turn := range ways {
			i := (turn + round) % len(ways)
			made, gone, err := ways[i](ctx, count)
			if err != nil {
				return nil, nil, err
			}
			if round > 0 {
				create[i], remove[i] = append(create[i], milliseconds(made)), append(remove[i], milliseconds(gone))
			}
			b.pause(ctx)
		}
	}
	return create, remove, nil
}

// pause waits until no background work creates or removes anything, so that it does not disturb the next measurement.
func (b *bench) pause(ctx context.Context) {
	last := ""
	for range settleTries {
		select {
		case <-ctx.Done():
			return
		case <-time.After(b.settle):
		}
		containers, err := docker(ctx, "ps", "--all", "--quiet", "--no-trunc")
		if err != nil {
			return // the next measurement fails for the same reason, and reports it
		}
		networks, err := docker(ctx, "network", "ls", "--quiet")
		if now := containers + " " + networks; err != nil || now == last {
			return
		} else {
			last = now
		}
	}
}

// lifecycle measures creating and deleting, one and many at once.
func (b *bench) lifecycle(ctx context.Context) error {
	warm, err := b.warm(ctx)
	if err != nil {
		return err
	}
	plain, err := b.daemon(ctx, "plain", "--terraform-warm=false")
	if err != nil {
		return err
	}
	h, err := b.byHand(ctx)
	if err != nil {
		return err
	}
	warmTrace, plainTrace := &traces{}, &traces{name: "/plain"}
	b.traces = append(b.traces, warmTrace, plainTrace)
	ways := []way{b.oursWay(warm, warmTrace), b.oursWay(plain, plainTrace), b.handWay(h)}
	create, remove, err := b.rounds(ctx, 1, b.n, ways)
	if err != nil {
		return err
	}
	create10, remove10, err := b.rounds(ctx, b.many, b.ten, ways)
	if err != nil {
		return err
	}
	b.handMany = create10[2]
	const made, gone = "client: request to usable; hand: init && apply", "client: request to gone; hand: destroy"
	add := func(name string, of [][]float64, plain, warm goal, how string) {
		b.row(result{name: name, unit: "ms", ours: of[0], hand: of[2], goal: warm, how: how})
		b.row(result{name: name + "/plain", unit: "ms", ours: of[1], hand: of[2], goal: plain, how: how})
	}
	wall := fmt.Sprintf(", wall of %d", b.many)
	add("cold-create", create, times(1), times(0.5), made)
	add(b.manyOf("cold-create"), create10, times(1), times(0.55), made+wall)
	add("delete", remove, times(1), times(0.5), gone)
	add(b.manyOf("delete"), remove10, goal{}, goal{}, gone+wall)
	return b.stop(ctx, "plain")
}

// interleave measures functions in turn, n times, after a few warm-up turns. In ms.
func interleave(n int, fns ...func() error) ([][]float64, error) {
	out := make([][]float64, len(fns))
	for round := range n + warmUps {
		for i, fn := range fns {
			began := time.Now()
			if err := fn(); err != nil {
				return nil, err
			}
			if round >= warmUps {
				out[i] = append(out[i], milliseconds(time.Since(began)))
			}
		}
	}
	return out, nil
}

// exec measures running `true` in one environment, with both command lines and with the client alone.
func (b *bench) exec(ctx context.Context) error {
	d, err := b.warm(ctx)
	if err != nil {
		return err
	}
	b.say("exec of true")
	env, err := d.create(ctx)
	if err != nil {
		return err
	}
	sandbox, err := d.sandboxes(ctx, env.ID)
	if err != nil {
		return err
	}
	took, err := interleave(
		b.execs,
		func() error { return d.bothy(ctx, "exec", env.ID, "--", "true") },
		func() error {
			_, err := docker(ctx, "exec", "--user", "dev", "--workdir", "/workspace", sandbox, "true")
			return err
		},
		func() error {
			code, err := d.client.Exec(ctx, env.ID, wire.ExecStart{Command: []string{"true"}}, client.ExecStreams{})
			if err == nil && code != 0 {
				err = fmt.Errorf("true ended with %d", code)
			}
			return err
		},
	)
	if err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	b.row(result{name: "exec", unit: "ms", ours: took[0], hand: took[1], goal: times(1.5), how: "bothy exec; hand: docker exec, same user and directory"})
	b.row(result{name: "exec/client", unit: "ms", ours: took[2], hand: took[1], how: "the Go client, no process; hand: docker exec"})
	return d.remove(ctx, env.ID)
}

// fleetOf returns the daemon with the environments of the fake driver.
func (b *bench) fleetOf(ctx context.Context) (*daemon, error) {
	d, err := b.daemon(ctx, "fake", fakeDriver, "--concurrency=64")
	if err != nil || b.filled {
		return d, err
	}
	b.say("creating %d environments with the fake driver", b.fleet)
	slots := make(chan struct{}, clients)
	took, err := atOnce(b.fleet, func(int) error {
		slots <- struct{}{}
		defer func() { <-slots }()
		_, err := d.create(ctx)
		return err
	})
	b.filled = err == nil
	b.say("created in %.1f s", took.Seconds())
	return d, err
}

// list measures `bothy ls` of the environments of the fake driver.
func (b *bench) list(ctx context.Context) error {
	d, err := b.fleetOf(ctx)
	if err != nil {
		return err
	}
	b.say("listing them")
	ms, err := interleave(
		b.execs,
		func() error { return d.bothy(ctx, "ls") },
		func() error { return d.bothy(ctx, "version") },
		func() error {
			envs, err := d.client.List(ctx, client.ListOptions{})
			if err == nil && len(envs) != b.fleet {
				err = fmt.Errorf("%d environments are listed, not %d", len(envs), b.fleet)
			}
			return err
		},
	)
	if err != nil {
		return fmt.Errorf("list: %w", err)
	}
	b.row(result{name: fmt.Sprintf("ls-%d", b.fleet), unit: "ms", ours: ms[0], goal: atMost(50), how: "bothy ls, fake driver"})
	b.row(result{name: fmt.Sprintf("ls-%d/client", b.fleet), unit: "ms", ours: ms[2], how: "the Go client, no process"})
	b.row(result{name: "version", unit: "ms", ours: ms[1], how: "bothy version: the minimum for any command"})
	return nil
}

// idleAfter is how long daemons rest before they count as idle: longer than the time between two sweeps.
const idleAfter = 35 * time.Second

// idle measures what daemons use while they get no requests.
func (b *bench) idle(ctx context.Context) error {
	real, err := b.warm(ctx)
	if err != nil {
		return err
	}
	fake, err := b.fleetOf(ctx)
	if err != nil {
		return err
	}
	// New environments are swept once and read in full once, which is not idle.
	rest := min(b.idleFor, idleAfter)
	b.say("resting for %s, then idle for %s", rest, b.idleFor)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(rest):
	}
	began := time.Now()
	before, err := usageOf(real.cmd.Process.Pid)
	if err != nil {
		return err
	}
	beforeFake, err := usageOf(fake.cmd.Process.Pid)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(b.idleFor):
	}
	after, err := usageOf(real.cmd.Process.Pid)
	if err != nil {
		return err
	}
	afterFake, err := usageOf(fake.cmd.Process.Pid)
	if err != nil {
		return err
	}
	elapsed := time.Since(began)
	share := func(before, after usage) []float64 {
		return []float64{100 * (after.cpu - before.cpu).Seconds() / elapsed.Seconds()}
	}
	span := fmt.Sprintf("over %s", b.idleFor)
	b.row(result{name: "idle-memory", unit: "MiB", ours: []float64{after.residentMiB}, goal: atMost(60), how: "bothyd resident, after the work above"})
	b.row(result{name: "idle-cpu", unit: "%", ours: share(before, after), goal: atMost(0.1), how: "of a core, bothyd " + span})
	b.row(result{name: "idle-providers", unit: "MiB", ours: []float64{after.childrenMiB}, how: "resident, with provider processes still running"})
	b.row(result{name: "idle-memory/fleet", unit: "MiB", ours: []float64{afterFake.residentMiB}, how: fmt.Sprintf("bothyd with %d environments, fake driver", b.fleet)})
	b.row(result{name: "idle-cpu/fleet", unit: "%", ours: share(beforeFake, afterFake), how: fmt.Sprintf("with %d environments, %s", b.fleet, span)})
	return b.stop(ctx, "fake")
}
