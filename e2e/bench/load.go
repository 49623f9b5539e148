package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

const (
	// spinning keeps a core busy, like a build.
	spinning = "while :; do :; done"
	// leastBusy is the percentage of processor time that must be used for a figure to count.
	leastBusy = 95
	// shortLease is the lease whose end is awaited.
	shortLease = 5 * time.Second
)

// load measures waiting times while sandboxes keep every core busy and the pool refills.
func (b *bench) load(ctx context.Context) (err error) {
	d, err := b.warm(ctx)
	if err != nil {
		return err
	}
	env, err := d.create(ctx)
	if err != nil {
		return err
	}
	b.pause(ctx)
	b.say("exec of true on an idle machine")
	exec := func() error {
		code, err := d.client.Exec(ctx, env.ID, wire.ExecStart{Command: []string{"true"}}, client.ExecStreams{})
		if err == nil && code != 0 {
			err = fmt.Errorf("true exited with %d", code)
		}
		return err
	}
	idle, err := interleave(b.execs, exec)
	if err != nil {
		return fmt.Errorf("exec/load: %w", err)
	}
	if err := d.keepWarm(ctx, poolKept, false); err != nil {
		return err
	}
	if err := b.spin(ctx, d); err != nil {
		return err
	}
	b.say("exec of true while every core is busy")
	busy, err := interleave(b.execs, exec)
	if err != nil {
		return fmt.Errorf("exec/load: %w", err)
	}
	b.row(result{
		name: "exec/load", unit: "ms", ours: busy[0], hand: idle[0], goal: times(1.3),
		how: "the Go client, while sandboxes keep every core busy; hand: the same before, on the idle machine",
	})
	if err := b.claimsUnderLoad(ctx, d); err != nil {
		return fmt.Errorf("warm-claim/load: %w", err)
	}
	if err := b.leasesUnderLoad(ctx, d); err != nil {
		return fmt.Errorf("lease-end/load: %w", err)
	}
	return d.empty(ctx)
}

// spin saturates every core with sandboxes, twice over, and verifies it.
func (b *bench) spin(ctx context.Context, d *daemon) error {
	n := 2 * runtime.NumCPU()
	b.say("keeping every core busy with %d sandboxes", n)
	for range n {
		env, err := d.create(ctx)
		if err != nil {
			return err
		}
		sandbox, err := d.sandboxes(ctx, env.ID)
		if err != nil {
			return err
		}
		if _, err := docker(ctx, "exec", "--detach", "--user", "dev", sandbox, "sh", "-c", spinning); err != nil {
			return err
		}
	}
	return await(ctx, "every core is busy", func() (bool, error) {
		before, err := processorTime()
		if err != nil {
			return false, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
		after, err := processorTime()
		return after.busyPercent(before) >= leastBusy, err
	})
}

// claimsUnderLoad claims one environment after the other, while the pool refills.
func (b *bench) claimsUnderLoad(ctx context.Context, d *daemon) error {
	b.say("claims while every core is busy")
	var took []float64
	for range b.claims + warmUps {
		if err := await(ctx, "one is warm", func() (bool, error) {
			p, err := d.client.Pool(ctx, poolName)
			return p.Warm > 0, err
		}); err != nil {
			return err
		}
		began := time.Now()
		env, _, err := d.client.Create(ctx, wire.CreateRequest{
			Blueprint: "build", Size: "small", Secrets: map[string][]byte{"token": []byte(rand.Text())},
		}, "")
		took = append(took, milliseconds(time.Since(began)))
		if err == nil && !env.Claimed {
			err = fmt.Errorf("%s is not from the pool: %s", env.Name, env.Cold)
		}
		if err != nil {
			return err
		}
		if _, err := d.client.Release(ctx, env.ID); err != nil { // it is deleted while the next is claimed
			return err
		}
	}
	b.row(result{
		name: "warm-claim/load", unit: "ms", ours: took[warmUps:], goal: goal{bound: 50, p99: 50},
		how: "client: request to answer, while sandboxes keep every core busy and the pool is filled again",
	})
	return nil
}

// leasesUnderLoad measures how long after the end of its lease each environment is gone.
func (b *bench) leasesUnderLoad(ctx context.Context, d *daemon) error {
	b.say("leases that end while every core is busy")
	if err := d.awaitWarm(ctx, poolKept); err != nil {
		return err
	}
	ttl := int64(shortLease.Seconds())
	late := make([]float64, poolKept)
	_, err := atOnce(poolKept, func(i int) error {
		env, _, err := d.client.Create(ctx, wire.CreateRequest{Blueprint: "build", Size: "small", TTLSeconds: &ttl}, "")
		if err != nil {
			return err
		}
		if env.Lease.End == nil {
			return fmt.Errorf("%s has no lease", env.Name)
		}
		end := *env.Lease.End
		if env, err = d.await(ctx, env, "destroyed"); err != nil {
			return err
		}
		late[i] = milliseconds(env.DestroyedAt.Sub(end))
		return nil
	})
	if err != nil {
		return err
	}
	b.row(result{
		name: "lease-end/load", unit: "ms", ours: late, worst: true, goal: atMost(2000),
		how: fmt.Sprintf("end of the lease to nothing left, the worst of %d at once, while sandboxes keep every core busy", poolKept),
	})
	return nil
}

// cpuTime is the work of a machine's cores since boot, in the kernel's ticks.
type cpuTime struct{ all, idle uint64 }

// processorTime reads the first line of /proc/stat: "cpu USER NICE SYSTEM IDLE IOWAIT ...".
func processorTime() (cpuTime, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cpuTime{}, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return readProcessorTime(line)
}

func readProcessorTime(line string) (t cpuTime, err error) {
	f := strings.Fields(line)
	if len(f) < 6 || f[0] != "cpu" {
		return t, errors.New("/proc/stat does not begin with the sum of all cores")
	}
	for i, word := range f[1:] {
		n, err := strconv.ParseUint(word, 10, 64)
		if err != nil {
			return t, fmt.Errorf("read /proc/stat: %w", err)
		}
		if i >= 8 { // the first two include guests
			break
		}
		t.all += n
		if i == 3 || i == 4 {
			t.idle += n
		}
	}
	return t, nil
}

// busyPercent is the percentage of time since before in which cores worked.
func (t cpuTime) busyPercent(before cpuTime) float64 {
	all := t.all - before.all
	if all == 0 {
		return 0
	}
	return 100 * float64(all-(t.idle-before.idle)) / float64(all)
}
