package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

const (
	// clients is how many clients work at the same time.
	clients = 16
	// warmUpShare is the first part of the claims, which does not count: one in so many.
	warmUpShare = 10
)

func (b *bench) claimsSQLite(ctx context.Context) error {
	file := func(name string) string { return filepath.Join(b.dir, name) }
	return b.claimsOn(ctx, "sqlite", atLeast(500), "sqlite://"+file("rate.db"), "sqlite://"+file("store-rate.db"), bareSQLite(file("hand-rate.db")))
}

func (b *bench) claimsPostgres(ctx context.Context) (err error) {
	b.say("starting PostgreSQL")
	server, err := pgtest.Start(ctx, pgtest.Options{Durable: true})
	if err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	defer func() {
		// The daemon first: it cannot stop cleanly without its database.
		err = errors.Join(err, b.stop(ctx, "postgres"), server.Stop())
	}()
	for _, name := range []string{"rate", "store", "hand"} {
		if err := server.Exec(ctx, "CREATE DATABASE "+name); err != nil {
			return fmt.Errorf("make a database: %w", err)
		}
	}
	return b.claimsOn(ctx, "postgres", atLeast(1000), server.DSN("rate"), server.DSN("store"), barePostgres(server.DSN("hand")))
}

// claimsOn measures claims per second on one kind of database: through the daemon, of the store alone, and by hand.
func (b *bench) claimsOn(ctx context.Context, kind string, goal goal, database, storeDatabase string, bare bareDatabase) error {
	all, err := b.claimRate(ctx, kind, database)
	if err != nil {
		return fmt.Errorf("claims on %s: %w", kind, err)
	}
	hand, err := b.handRate(ctx, bare)
	if err != nil {
		return fmt.Errorf("claims by hand on %s: %w", kind, err)
	}
	b.row(result{
		name: "claims/" + kind, unit: "/s", ours: []float64{all.rate}, hand: []float64{hand.rate}, goal: goal,
		how: fmt.Sprintf("%d by %d clients, the first %d not counted, fake driver, no double claim; one took %s and %s ms of bothyd's processor; "+
			"hand: two bare transactions each, no quota, ledger or API", b.rate, clients, b.rate/warmUpShare, all.latency(), number(all.cpu)),
	})
	alone, err := b.storeRate(ctx, storeDatabase)
	if err != nil {
		return fmt.Errorf("claims in the store on %s: %w", kind, err)
	}
	b.row(result{
		name: "claims/store-" + kind, unit: "/s", ours: []float64{alone.rate},
		how: fmt.Sprintf("the same in the store alone: no API, no handover; one took %s", alone.latency()),
	})
	return nil
}

// rated is the number of claims per second, the ms that each took, and the daemon's processor ms per claim.
type rated struct {
	rate float64
	took []float64
	cpu  float64
}

func (r rated) latency() string {
	return fmt.Sprintf("%s ms, p99 %s ms", number(percentile(r.took, 50)), number(percentile(r.took, 99)))
}

// claimRate fills a pool and empties it by claims. The pool fills the host, so nothing is created meanwhile.
func (b *bench) claimRate(ctx context.Context, name, database string) (rated, error) {
	flags, err := b.fakeHost(name, b.rate)
	if err != nil {
		return rated{}, err
	}
	d, err := b.daemon(ctx, name, append(flags, "--database="+database)...)
	if err != nil {
		return rated{}, err
	}
	b.say("filling a pool of %d on %s", b.rate, name)
	if err := d.keepWarm(ctx, b.rate, false); err != nil {
		return rated{}, err
	}
	b.say("claiming all of it")
	var asking [clients]*client.Client // each with connections of its own
	for i := range asking {
		if asking[i], err = client.New(client.Options{Host: d.host()}); err != nil {
			return rated{}, fmt.Errorf("make a client: %w", err)
		}
	}
	defer func() {
		for _, c := range asking {
			c.Close()
		}
	}()
	var given sync.Map
	claim := func(i, who int) error {
		env, _, err := asking[who].Create(ctx, wire.CreateRequest{Blueprint: "build", Size: "small"}, "")
		if err != nil {
			return fmt.Errorf("claim: %w", err)
		}
		if !env.Claimed || env.State != "leased" {
			return fmt.Errorf("claim: %s is %s, and not from the pool: %s", env.Name, env.State, env.Cold)
		}
		if other, double := given.LoadOrStore(env.ID, i); double {
			return fmt.Errorf("double claim: environment %s was given to request %v and to %d", env.ID, other, i)
		}
		return nil
	}
	first := b.rate / warmUpShare
	if _, err := inParallel(first, claim); err != nil {
		return rated{}, err
	}
	before, err := usageOf(d.cmd.Process.Pid)
	if err != nil {
		return rated{}, err
	}
	r, err := inParallel(b.rate-first, func(i, who int) error { return claim(first+i, who) })
	if err != nil {
		return r, err
	}
	after, err := usageOf(d.cmd.Process.Pid)
	r.cpu = milliseconds(after.cpu-before.cpu) / float64(b.rate-first)
	return r, errors.Join(err, b.stop(ctx, name))
}

// storeRate is the same without a daemon: warm rows, and the transactions that claim them.
func (b *bench) storeRate(ctx context.Context, database string) (r rated, err error) {
	s, err := store.Open(ctx, database)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	b.say("writing %d warm rows", b.rate)
	now := time.Now().UTC().Truncate(time.Microsecond)
	_, err = inParallel(b.rate, func(i, _ int) error {
		_, err := s.Adopt(ctx, warmRow(i, now), fleet.Event{At: now, Kind: "environment.requested"})
		return err
	})
	if err != nil {
		return r, err
	}
	var given sync.Map
	claim := func(i, _ int) error {
		got, err := s.Admit(ctx, admissionOf(i, now))
		if err != nil {
			return err
		}
		if _, double := given.LoadOrStore(got.Env.ID, i); double || !got.Claimed {
			return fmt.Errorf("environment %s was given twice, or was not warm", got.Env.ID)
		}
		return nil
	}
	return b.warmedUp(claim)
}

// warmedUp claims n times with all clients. The first claims do not count.
func (b *bench) warmedUp(claim func(i, who int) error) (rated, error) {
	first := b.rate / warmUpShare
	if _, err := inParallel(first, claim); err != nil {
		return rated{}, err
	}
	return inParallel(b.rate-first, func(i, who int) error { return claim(first+i, who) })
}

// inParallel calls fn for 0 to n-1 with all clients, and passes the client's number. It stops at an error.
func inParallel(n int, fn func(i, who int) error) (rated, error) {
	var (
		next   atomic.Int64
		failed atomic.Bool
		took   = make([]float64, n)
	)
	all, err := atOnce(clients, func(who int) error {
		for i := int(next.Add(1)) - 1; i < n && !failed.Load(); i = int(next.Add(1)) - 1 {
			began := time.Now()
			if err := fn(i, who); err != nil {
				failed.Store(true)
				return err
			}
			took[i] = milliseconds(time.Since(began))
		}
		return nil
	})
	return rated{rate: float64(n) / all.Seconds(), took: took}, err
}

// fakeHost returns the flags of a daemon with one simulated host of limited capacity.
func (b *bench) fakeHost(name string, capacity int) ([]string, error) {
	hosts := filepath.Join(b.dir, name+".yaml")
	text := fmt.Sprintf("hosts:\n  - name: %s\n    endpoint: fake://%s\n    environments: %d\n",
		seedHost, filepath.Join(b.dir, name+".world"), capacity)
	if err := os.WriteFile(hosts, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write hosts: %w", err)
	}
	return []string{fakeDriver, "--concurrency=64", "--hosts=" + hosts}, nil
}
