package chaos_test

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
)

// TestPostgresCutOff: a daemon loses its database, without a word, while its Terraform creates or destroys. The other daemon takes
// over; the first one's Terraform still runs, and can do nothing: by the brokers' own record nobody acts on the environment
// while somebody else does.
func TestPostgresCutOff(t *testing.T) {
	fallSilent(t, func(_ *house, _ *daemon, database *cuttable) (back func() error) {
		database.cut()
		return func() error { database.heal(); return nil }
	})
}

// TestFrozenInTheMiddleForReal: the same of a daemon that is stopped (SIGSTOP) while its Terraform goes on. When it wakes, its
// requests are as old as its lease.
func TestFrozenInTheMiddleForReal(t *testing.T) {
	fallSilent(t, func(h *house, first *daemon, _ *cuttable) (back func() error) {
		h.freeze(t, first)
		return func() error { return first.signal(syscall.SIGCONT) }
	})
}

// fallSilent has one of two daemons fall silent in mid-create and in mid-destroy, until it is given back.
func fallSilent(t *testing.T, silence func(h *house, first *daemon, database *cuttable) (back func() error)) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the Docker engine and Terraform; left out by -short")
	}
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	h, err := newHouse(t, setup{dsn: dsn, real: true, daemons: 2})
	if err != nil {
		t.Fatal(err)
	}
	var cuts []*cuttable
	var engines []*cuttable
	for _, d := range h.daemons {
		database, engine := newCuttable(t, server.Socket()), newCuttable(t, "/var/run/docker.sock")
		address, err := url.Parse(dsn)
		if err != nil {
			t.Fatal(err)
		}
		through, err := server.DSNAt(database.listen(t, "tcp", "127.0.0.1:0"), strings.TrimPrefix(address.Path, "/"))
		if err != nil {
			t.Fatal(err)
		}
		d.args = append(d.args, "--database="+through, "--engine-host=unix://"+engine.listen(t, "unix", filepath.Join(h.dir, d.name+"-engine")))
		cuts, engines = append(cuts, database), append(engines, engine)
	}
	t.Cleanup(func() {
		for i := range cuts {
			cuts[i].heal()
			engines[i].heal()
		}
		if t.Failed() {
			t.Log(h.logs())
		}
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	if err := h.open(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	s := &script{h: h}
	id := ""
	for _, c := range []struct {
		what  string
		call  func(piece []byte) bool
		begin func() error
		want  fleet.State
	}{
		{"create", createSandbox.Match, func() error {
			err := s.ask(t.Context(), "cut", wire.CreateRequest{NoPool: true})
			if err == nil {
				id = s.orders[0].id
			}
			return err
		}, fleet.Leased},
		{"destroy", func(piece []byte) bool { return bytes.Contains(piece, []byte("/stop?t=0")) }, func() error {
			return h.ask(t.Context(), "release", func(c *client.Client) error { _, err := c.Release(t.Context(), id); return err })
		}, fleet.Destroyed},
	} {
		t.Run(c.what, func(t *testing.T) {
			held := make(chan int, len(engines))
			for i, e := range engines {
				e.holdAt(c.call, func() { held <- i })
			}
			if err := c.begin(); err != nil {
				t.Fatal(err)
			}
			first := -1
			select {
			case first = <-held:
			case <-time.After(patience):
				t.Fatalf("no call to the engine was held\n%s", h.logs())
			}
			for i, e := range engines {
				if i != first {
					e.heal()
				}
			}
			back := silence(h, h.daemons[first], cuts[first])
			began := time.Now()
			other := h.daemons[1-first].client
			err := until(t.Context(), "the other daemon has done it", func() (bool, string, error) {
				env, err := other.Get(t.Context(), id)
				return err == nil && env.State == string(c.want), env.State + ": " + env.Reason, nil
			})
			if err != nil {
				t.Error(err)
			}
			t.Logf("taken over and done after %s", time.Since(began).Round(100*time.Millisecond))
			time.Sleep(max(0, time.Duration(pick(8, 90))*time.Second-time.Since(began))) // how long it is silent is what is tried
			engines[first].heal()                                                        // what it had asked for arrives now
			if err := back(); err != nil {
				t.Error(err)
			}
			err = until(t.Context(), "the daemon that was silent answers", func() (bool, string, error) {
				env, err := h.daemons[first].client.Get(t.Context(), id)
				return err == nil && env.State == string(c.want), env.State, nil
			})
			if err != nil {
				t.Error(err)
			}
			h.wantNoOverlap(t, id)
		})
	}
	if err := h.noneLeft(t.Context(), id); err != nil {
		t.Error(err)
	}
}

// noneLeft waits until nothing of an environment exists at the engine.
func (h *house) noneLeft(ctx context.Context, id string) error {
	return until(ctx, "nothing of it is left", func() (bool, string, error) {
		all, err := h.exists(ctx)
		for _, f := range all {
			if strings.Contains(f.Name, id) {
				return false, f.Name, err
			}
		}
		return err == nil, "", err
	})
}

var brokerLine = regexp.MustCompile(`time=(\S+) .*msg="broker (begins|ends|fails)".* environment=(\S+) generation=(\S+)`)

// wantNoOverlap checks by the brokers' own record that each daemon's requests for an environment come before those of the
// next that works on it: once somebody of a later generation has begun, nobody of an earlier one begins anything.
func (h *house) wantNoOverlap(t *testing.T, id string) {
	t.Helper()
	type passed struct {
		at                 time.Time
		daemon, generation string
	}
	var all []passed
	daemons := map[string]bool{}
	for _, d := range h.daemons {
		log, err := os.ReadFile(d.logFile())
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(log) {
			m := brokerLine.FindSubmatch(line)
			if len(m) == 0 || string(m[3]) != id || string(m[2]) != "begins" {
				continue
			}
			at, err := time.Parse(time.RFC3339Nano, string(m[1]))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, passed{at, d.name, string(m[4])})
			daemons[d.name] = true
		}
	}
	slices.SortStableFunc(all, func(a, b passed) int { return a.at.Compare(b.at) })
	if len(daemons) < 2 {
		t.Errorf("%d daemons acted on it: nothing was tried", len(daemons))
	}
	for i := 1; i < len(all); i++ {
		before, now := all[i-1], all[i]
		if len(now.generation) < len(before.generation) || len(now.generation) == len(before.generation) && now.generation < before.generation {
			t.Errorf("%s acted at generation %s at %s, after %s had begun %s at %s",
				now.daemon, now.generation, now.at, before.daemon, before.generation, before.at)
		}
	}
	t.Logf("%d requests passed the brokers of %d daemons, none of an earlier generation after a later one", len(all), len(daemons))
}

// createSandbox is the create of a sandbox; the name of a network's holder is longer.
var createSandbox = regexp.MustCompile(`/containers/create\?name=bothy-[a-z0-9]+-[a-z2-7]{16} `)
