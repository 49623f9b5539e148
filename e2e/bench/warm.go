package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/provisioner"
)

// poolName is the only pool of a measured daemon; poolKept its size for consecutive claims.
const (
	poolName = "bench"
	poolKept = 5
)

// keepWarm sets the pool and returns when that many members are ready.
func (d *daemon) keepWarm(ctx context.Context, count int, pause bool) error {
	most := int64(count)
	req := wire.PoolRequest{Blueprint: "build", Size: "small", Target: most, Max: &most, Pause: pause}
	if _, err := d.client.SetPool(ctx, poolName, req); err != nil {
		return fmt.Errorf("set pool: %w", err)
	}
	return d.awaitWarm(ctx, count)
}

// awaitWarm returns when the pool has that many ready members and nothing else.
func (d *daemon) awaitWarm(ctx context.Context, count int) error {
	what := fmt.Sprintf("%d are warm", count)
	return await(ctx, what, func() (bool, error) {
		p, err := d.client.Pool(ctx, poolName)
		if err == nil && p.Held+p.Broken != "" {
			err = fmt.Errorf("the pool does not work: %s", p.Held+p.Broken)
		}
		return p.Warm == count && p.Making == 0, err
	})
}

// awaitFrozen returns when all warm members are frozen.
func (d *daemon) awaitFrozen(ctx context.Context) error {
	return await(ctx, "the warm ones are frozen", func() (bool, error) {
		warm, err := d.client.List(ctx, client.ListOptions{AllTenants: true, States: []string{"warm"}})
		for _, env := range warm {
			if !env.Paused {
				return false, err
			}
		}
		return true, err
	})
}

// claim measures claiming a warm environment with a secret, and the first command in it.
func (b *bench) claim(ctx context.Context, paused bool) error {
	d, err := b.warm(ctx)
	if err != nil {
		return err
	}
	suffix, within := "", goal{bound: 10, p99: 50}
	how := "client: request to answer, lease and one secret in place"
	if paused {
		suffix, within, how = "/paused", goal{}, how+", of a frozen one"
	}
	if err := d.keepWarm(ctx, poolKept, paused); err != nil {
		return err
	}
	var claims, first, hand []float64
	for round := range b.claims + warmUps {
		b.say("warm-claim%s, round %d of %d", suffix, round, b.claims+warmUps-1)
		c, err := b.claimOne(ctx, d, paused)
		if err != nil {
			return fmt.Errorf("warm-claim%s: %w", suffix, err)
		}
		if round >= warmUps {
			claims, first, hand = append(claims, c.claim), append(first, c.first), append(hand, c.hand)
		}
	}
	b.row(result{name: "warm-claim" + suffix, unit: "ms", ours: claims, goal: within, how: how})
	b.row(result{
		name: "first-command" + suffix, unit: "ms", ours: first, hand: hand, goal: times(1.5),
		how: "bothy exec of true right after the claim; hand: docker exec of it, right after that",
	})
	return d.empty(ctx)
}

// claimed is the duration of one claim, of its first command, and of a command by hand. In ms.
type claimed struct{ claim, first, hand float64 }

// claimOne claims one from a full, idle pool, and deletes it.
func (b *bench) claimOne(ctx context.Context, d *daemon, paused bool) (c claimed, err error) {
	if err := d.awaitWarm(ctx, poolKept); err != nil {
		return c, err
	}
	if paused {
		if err := d.awaitFrozen(ctx); err != nil {
			return c, err
		}
	}
	b.pause(ctx) // the refill must not disturb the measurement
	secret := rand.Text()
	req := wire.CreateRequest{Blueprint: "build", Size: "small", Secrets: map[string][]byte{"token": []byte(secret)}}
	began := time.Now()
	env, _, err := d.client.Create(ctx, req, "")
	c.claim = milliseconds(time.Since(began))
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, d.remove(ctx, env.ID)) }()
	if !env.Claimed || env.State != "leased" || env.Lease.Start == nil {
		return c, fmt.Errorf("%s is %s, and not from the pool: %s", env.Name, env.State, env.Cold)
	}
	began = time.Now()
	if err := d.bothy(ctx, "exec", env.ID, "--", "true"); err != nil {
		return c, err
	}
	c.first = milliseconds(time.Since(began))
	sandbox, err := d.sandboxes(ctx, env.ID)
	if err != nil {
		return c, err
	}
	began = time.Now()
	if _, err = docker(ctx, "exec", "--user", "dev", "--workdir", "/workspace", sandbox, "true"); err != nil {
		return c, err
	}
	c.hand = milliseconds(time.Since(began))
	if got, err := docker(ctx, "exec", "--user", "dev", sandbox, "cat", provisioner.SecretsDir+"/token"); err != nil || got != secret {
		return c, errors.Join(fmt.Errorf("the secret of %s is not in place", env.Name), err)
	}
	return c, nil
}

// refill measures filling an empty pool, compared with creating as many by hand at once.
func (b *bench) refill(ctx context.Context) error {
	d, err := b.warm(ctx)
	if err != nil {
		return err
	}
	pool := func(ctx context.Context, count int) (create, remove time.Duration, err error) {
		began := time.Now()
		if err := d.keepWarm(ctx, count, false); err != nil {
			return 0, 0, err
		}
		create = time.Since(began)
		b.pause(ctx)
		began = time.Now()
		err = d.empty(ctx)
		return create, time.Since(began), err
	}
	ways, hand := []way{pool}, b.handMany
	if hand == nil {
		h, err := b.byHand(ctx)
		if err != nil {
			return err
		}
		ways = append(ways, b.handWay(h))
	}
	create, _, err := b.rounds(ctx, b.many, b.ten, ways)
	if err != nil {
		return fmt.Errorf("refill: %w", err)
	}
	if hand == nil {
		hand = create[1]
	}
	b.row(result{
		name: b.manyOf("refill"), unit: "ms", ours: create[0], hand: hand, goal: times(0.55),
		how: fmt.Sprintf("pool set until %d are warm; hand: as many init && apply at once, in this run", b.many),
	})
	return nil
}

// recovery measures how long recovery takes after the daemon was killed while Terraform created an environment.
func (b *bench) recovery(ctx context.Context) error {
	d, err := b.daemon(ctx, "recovery")
	if err != nil {
		return err
	}
	var took []float64
	for len(took) < b.ten {
		b.say("killed during a create, round %d of %d", len(took)+1, b.ten)
		b.pause(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		seconds, inTime, err := d.recoverOne(ctx)
		if err != nil {
			return fmt.Errorf("recovery: %w", err)
		}
		if inTime {
			took = append(took, seconds)
		}
	}
	b.row(result{
		name: "recovery", unit: "s", ours: took, worst: true, goal: atMost(15),
		how: "the longest; SIGKILL while Terraform applies, to usable and nothing left over",
	})
	return b.stop(ctx, "recovery")
}

// recoverOne kills the daemon when the container exists, and starts it again. inTime is false if Terraform had finished before.
func (d *daemon) recoverOne(ctx context.Context) (seconds float64, inTime bool, err error) {
	env, _, err := d.client.Create(ctx, wire.CreateRequest{Blueprint: "build", Size: "small"}, "")
	if err != nil {
		return 0, false, fmt.Errorf("create: %w", err)
	}
	err = await(ctx, "it is being created", func() (bool, error) {
		found, err := d.sandboxes(ctx, env.ID)
		return found != "", err
	})
	if err != nil {
		return 0, false, err
	}
	began := time.Now()
	if err := d.kill(); err != nil {
		return 0, false, err
	}
	if err := d.startAgain(ctx); err != nil {
		return 0, false, err
	}
	if env, err = d.await(ctx, env, "leased"); err != nil {
		return 0, false, err
	}
	// The first try's container belongs to the same environment.
	err = await(ctx, "one container is left", func() (bool, error) {
		found, err := d.sandboxed(ctx)
		return len(found) == 1 && found[0] == env.ID, err
	})
	seconds = time.Since(began).Seconds()
	if err != nil {
		return 0, false, err
	}
	return seconds, env.ReadyAt.After(began), d.remove(ctx, env.ID)
}
