package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

const (
	// seedHost is the host of the rows that are written directly.
	seedHost = "fake"
	// seedKey is the match key of warm rows.
	seedKey = "bench"

	// overdue leases end while the reaper is watched, one every overdueApart. The first ends overdueLead after all are written: by then
	// the daemon has started and is idle.
	overdue      = 500
	overdueApart = 20 * time.Millisecond
	overdueLead  = 20 * time.Second
)

// seedRow has the common fields of all rows that are written directly.
func seedRow(n int, now time.Time) fleet.Environment {
	return fleet.Environment{
		ID: fmt.Sprintf("seed%06d", n), Name: fmt.Sprintf("seed-%d", n), Host: seedHost,
		Blueprint: fleet.BlueprintRef{Name: "build", Version: "1.0.0", Digest: fmt.Sprintf("sha256:%064d", 0)},
		Size:      fleet.Size{Name: "small", CPUs: 1, MemoryMiB: 1024, Pids: 512, RateMicros: 10_000, Currency: "USD"},
		Users:     []string{"dev", "root"}, Workspace: "/workspace",
		CreatedAt: now, UpdatedAt: now, BilledFrom: now, BookedUntil: now,
		Lease: fleet.Lease{TTL: time.Hour, MaxTTL: 8 * time.Hour},
	}
}

// leasedRow has a lease that ends at a time. Its holder was warned already: the end is measured, not the warning.
func leasedRow(n int, now, end time.Time) fleet.Environment {
	env := seedRow(n, now)
	env.Tenant, env.Team, env.Owner, env.State, env.ReadyAt = "default", "default", "bench", fleet.Leased, now
	env.Lease.Start, env.Lease.End, env.Lease.Warned = now, end, true
	return env
}

func warmRow(n int, now time.Time) fleet.Environment {
	env := seedRow(n, now)
	env.Pool, env.MatchKey, env.State, env.ReadyAt = poolName, seedKey, fleet.Warm, now
	return env
}

// admissionOf is a request for a warm row, as the engine makes it for a request with a secret.
func admissionOf(n int, now time.Time) store.Admission {
	env := leasedRow(n, now, now.Add(time.Hour))
	env.ID, env.Name, env.State, env.MatchKey = fmt.Sprintf("asked%06d", n), fmt.Sprintf("asked-%d", n), fleet.Pending, seedKey
	return store.Admission{
		Env: env, RequestHash: "bench", Event: fleet.Event{At: now, Kind: "environment.requested"},
		HeldMicros: env.Size.RateMicros, HeldFor: time.Hour, Secrets: []byte("sealed"),
		Decide: func([]fleet.ScopeUsage) error { return nil },
		Take: func(warm *fleet.Environment) (store.Writes, error) {
			warm.Name, warm.Tenant, warm.Team, warm.Owner = env.Name, env.Tenant, env.Team, env.Owner
			warm.State, warm.Lease, warm.Work.Action = fleet.Leased, env.Lease, fleet.Personalise
			return store.Writes{Events: []fleet.Event{{At: now, Kind: "environment.claimed"}}}, nil
		},
	}
}

// seed makes a SQLite file of size lasting leases, and of more that end one after the other, and returns when those end. It is written in
// memory first if possible: the disk time per row is not measured.
func seed(ctx context.Context, file string, size, ending int) (ends map[string]time.Time, err error) {
	dir, err := os.MkdirTemp(memoryDir(), "bothy-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	made := filepath.Join(dir, "seed.db")
	if ends, err = writeRows(ctx, "sqlite://"+made, size, ending); err != nil {
		return nil, err
	}
	return ends, copyFile(file, made)
}

// memoryDir is Linux's directory in memory; "", which means the usual temporary directory, if there is none.
func memoryDir() string {
	const dir = "/dev/shm"
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return dir
	}
	return ""
}

func copyFile(to, from string) error {
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("copy the database: %w", err)
	}
	return nil
}

func writeRows(ctx context.Context, database string, size, ending int) (ends map[string]time.Time, err error) {
	s, err := store.Open(ctx, database)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	now := time.Now().UTC().Truncate(time.Microsecond)
	write := func(env fleet.Environment) error {
		_, err := s.Adopt(ctx, env, fleet.Event{At: now, Kind: "environment.requested"})
		return err
	}
	for n := range size {
		if err := write(leasedRow(n, now, now.Add(time.Hour))); err != nil {
			return nil, err
		}
	}
	ends = map[string]time.Time{}
	first := time.Now().UTC().Truncate(time.Microsecond).Add(overdueLead)
	for n := range ending {
		env := leasedRow(size+n, now, first.Add(time.Duration(n)*overdueApart))
		ends[env.ID] = env.Lease.End
		if err := write(env); err != nil {
			return nil, err
		}
	}
	return ends, nil
}
