package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// sample gives the n-th environment of a benchmark, with every field filled as in real use.
func sample(n int) fleet.Environment {
	at := time.Date(2026, 3, 1, 12, 0, n, 0, time.UTC)
	return fleet.Environment{
		ID: fmt.Sprintf("%08x", n*2654435761%(1<<32)), Name: fmt.Sprintf("hello-%d", n), Tenant: "acme", Team: "core", Owner: "ada", Project: "hello", Host: "local",
		IdempotencyKey: fmt.Sprint("key", n),
		Blueprint:      fleet.BlueprintRef{Name: "build", Version: "1.0.0", Digest: "sha256:" + fmt.Sprintf("%064x", 7)},
		Size:           fleet.Size{Name: "small", CPUs: 1, MemoryMiB: 1024, Pids: 512, RateMicros: 10_000, Currency: "USD"},
		Image:          "sha256:" + fmt.Sprintf("%064x", 9), Users: []string{"dev", "root"}, Workspace: "/workspace",
		Inputs: map[string]any{"shm_mib": int64(64)}, State: fleet.Pending, Network: fmt.Sprintf("bothy-slot-%d", n),
		SandboxID: fmt.Sprintf("%064x", n), CreatedAt: at, UpdatedAt: at, BilledFrom: at,
		Lease: fleet.Lease{TTL: time.Hour, MaxTTL: 8 * time.Hour, Start: at, End: at.Add(time.Hour)},
	}
}

// benchStore gives a store with n live environments and as many gone ones.
func benchStore(b *testing.B, n int) *store.Store {
	b.Helper()
	s := openAt(b, dsn(b.TempDir()))
	// The disk's time is not what is measured while filling.
	if _, err := s.WriteDB().ExecContext(b.Context(), "PRAGMA synchronous = OFF"); err != nil {
		b.Fatal(err)
	}
	for i := range 2 * n {
		env := sample(i)
		if _, err := s.Admit(b.Context(), store.Admission{Env: env}); err != nil {
			b.Fatal(err)
		}
		if i%2 == 0 {
			continue
		}
		if _, err := s.Change(b.Context(), env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			e.State = fleet.Destroyed
			return store.Writes{}, nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := s.WriteDB().ExecContext(b.Context(), "PRAGMA synchronous = FULL"); err != nil {
		b.Fatal(err)
	}
	return s
}

// cpuTime reports what the process used of the processors for each operation: the
// clock says little on a machine that others use too.
func cpuTime(b *testing.B) func() {
	before := cpuUsed(b)
	return func() { b.ReportMetric(float64((cpuUsed(b)-before).Microseconds())/float64(b.N), "cpu-µs/op") }
}

// cpuUsed is what the process has used of the processors.
func cpuUsed(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkStore measures on 10,000 live environments among 10,000 gone ones.
func BenchmarkStore(b *testing.B) {
	const n = 10_000
	s := benchStore(b, n)
	b.Run("Live", func(b *testing.B) {
		defer cpuTime(b)()
		for b.Loop() {
			if live, err := s.Live(b.Context()); err != nil || len(live) != n {
				b.Fatal(len(live), err)
			}
		}
	})
	kept := s.Keep()
	read := func(b *testing.B) {
		if live, err := kept.Live(b.Context()); err != nil || len(live) != n {
			b.Fatal(len(live), err)
		}
	}
	read(b)
	b.Run("KeptAtRest", func(b *testing.B) {
		defer cpuTime(b)()
		for b.Loop() {
			read(b)
		}
	})
	b.Run("KeptAfter20", func(b *testing.B) {
		var cpu time.Duration
		for b.Loop() {
			for i := range 20 {
				if _, err := s.Change(b.Context(), sample(2*i).ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
					e.Work.Attempts++
					return store.Writes{}, nil
				}); err != nil {
					b.Fatal(err)
				}
			}
			before := cpuUsed(b)
			read(b)
			cpu += cpuUsed(b) - before
		}
		b.ReportMetric(float64(cpu.Microseconds())/float64(b.N), "cpu-µs/read")
	})
	b.Run("List50", func(b *testing.B) {
		defer cpuTime(b)()
		for b.Loop() {
			if page, _, err := s.List(b.Context(), store.Filter{Limit: 50}); err != nil || len(page) != 50 {
				b.Fatal(len(page), err)
			}
		}
	})
	b.Run("List1000", func(b *testing.B) {
		defer cpuTime(b)()
		for b.Loop() {
			if page, _, err := s.List(b.Context(), store.Filter{Limit: 1000}); err != nil || len(page) != 1000 {
				b.Fatal(len(page), err)
			}
		}
	})
	b.Run("Find", func(b *testing.B) {
		defer cpuTime(b)()
		for b.Loop() {
			if _, err := s.Find(b.Context(), store.Lookup{ID: "hello-5000", Sees: "acme", Name: "hello-5000", Tenant: "acme"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("TakeWorkNone", func(b *testing.B) {
		defer cpuTime(b)()
		now := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
		for b.Loop() {
			if _, ok, err := s.TakeWork(b.Context(), "w", []string{"local"}, now, now); err != nil || ok {
				b.Fatal(ok, err)
			}
		}
	})
	change := func(b *testing.B, id string) {
		if _, err := s.Change(b.Context(), id, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			e.Work.Attempts++
			return store.Writes{Events: []fleet.Event{{Kind: "tick"}}}, nil
		}); err != nil {
			b.Error(err)
		}
	}
	b.Run("Change", func(b *testing.B) {
		defer cpuTime(b)()
		for b.Loop() {
			change(b, sample(0).ID)
		}
	})
	b.Run("Change8Writers", func(b *testing.B) {
		defer cpuTime(b)()
		var next atomic.Int64
		b.SetParallelism(4) // times 2 cores
		b.RunParallel(func(pb *testing.PB) {
			id := sample(int(next.Add(1)) * 2).ID
			for pb.Next() {
				change(b, id)
			}
		})
	})
	b.Run("AppendLog100", func(b *testing.B) {
		defer cpuTime(b)()
		lines := make([]fleet.LogLine, 100)
		for i := range lines {
			lines[i] = fleet.LogLine{Source: "terraform", Text: "docker_container.this: Still creating... [10s elapsed]"}
		}
		for b.Loop() {
			if err := s.AppendLog(b.Context(), sample(0).ID, lines); err != nil {
				b.Fatal(err)
			}
		}
	})
}
