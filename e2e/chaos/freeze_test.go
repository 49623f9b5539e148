package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// freezeInTheMiddle freezes the daemon that makes an environment at the moment its container stands and
// nothing of it is recorded, waits until the other daemon has made it, and wakes the first. It gives how long the other took.
func (h *house) freezeInTheMiddle(t *testing.T, name string, asleep time.Duration) time.Duration {
	t.Helper()
	fault, err := h.world.Inject(fake.Hang(fake.OpCreate, fake.After))
	if err != nil {
		t.Fatal(err)
	}
	s := &script{h: h}
	if err := s.ask(t.Context(), name, wire.CreateRequest{NoPool: true}); err != nil {
		t.Fatal(err)
	}
	reached, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := fault.Reached(reached); err != nil {
		t.Fatalf("nobody makes it: %v", err)
	}
	env, err := h.store.Get(t.Context(), s.orders[0].id)
	if err != nil {
		t.Fatal(err)
	}
	first := h.worker(t, env.Work.Worker)
	h.freeze(t, first)
	frozen := time.Now()
	if err := fault.Lift(); err != nil { // for the one that wakes
		t.Fatal(err)
	}
	if err := s.untilStates(t.Context(), name, fleet.Leased); err != nil {
		t.Fatal(err)
	}
	took := time.Since(frozen)
	made, err := h.store.Get(t.Context(), env.ID)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(max(0, asleep-time.Since(frozen))) // how long it sleeps is what is tried
	if err := first.signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// It has woken when it answers, and its late work has ended when it says so.
	err = until(t.Context(), "the daemon that was frozen gives its work up", func() (bool, string, error) {
		_, err := first.client.Version(t.Context())
		return err == nil && strings.Contains(first.lastLog(), "took"), first.lastLog(), nil
	})
	if err != nil {
		t.Error(err)
	}
	h.wantUnchanged(t, made)
	return took
}

// wantUnchanged checks that an environment is the one that was handed over, and works.
func (h *house) wantUnchanged(t *testing.T, made fleet.Environment) {
	t.Helper()
	now, err := h.store.Get(t.Context(), made.ID)
	if err != nil {
		t.Fatal(err)
	}
	if now.State != fleet.Leased || now.SandboxID != made.SandboxID || !now.Lease.End.Equal(made.Lease.End) {
		t.Errorf("the daemon that was frozen changed it: %s", describe([]fleet.Environment{made, now}))
	}
	err = h.ask(t.Context(), "exec", func(c *client.Client) error {
		code, err := c.Exec(t.Context(), made.ID, wire.ExecStart{Command: []string{"true"}}, client.ExecStreams{})
		if err == nil && code != 0 {
			err = fmt.Errorf("true ended with %d", code)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// worker gives the daemon whose process a worker's id names.
func (h *house) worker(t *testing.T, worker string) *daemon {
	t.Helper()
	id, _, _ := strings.Cut(worker, ".")
	for _, d := range h.daemons {
		if d.id() == id {
			return d
		}
	}
	t.Fatalf("no daemon is %q", worker)
	return nil
}

// freeze stops a daemon, but never while it holds the lock of the provider's folder, which would stop everybody.
func (h *house) freeze(t *testing.T, d *daemon) {
	t.Helper()
	if err := d.stopOutside(h.world); err != nil {
		t.Fatal(err)
	}
}

// stopOutside is freeze for what is no test's own goroutine, or has no house.
func (d *daemon) stopOutside(world *fake.World) error {
	for range 20 {
		if err := d.signal(syscall.SIGSTOP); err != nil {
			return err
		}
		d.untilStopped()
		looked := make(chan error, 1)
		go func() {
			_, err := world.All()
			looked <- err
		}()
		select {
		case err := <-looked:
			return err
		case <-time.After(500 * time.Millisecond):
			if err := errors.Join(d.signal(syscall.SIGCONT), <-looked); err != nil {
				return err
			}
		}
	}
	return fmt.Errorf("bothyd %s held the provider's lock twenty times", d.name)
}

// untilStopped waits until every thread of a daemon that was sent SIGSTOP stands still. One that still runs for a moment could take the
// provider's lock after the look that found it free.
func (d *daemon) untilStopped() {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.pid()))
	if err != nil {
		return
	}
	for _, task := range tasks {
		for range 5000 {
			stat, err := os.ReadFile(task)
			if err != nil {
				break // it has ended
			}
			if _, rest, _ := strings.Cut(string(stat), ") "); strings.HasPrefix(rest, "T") || strings.HasPrefix(rest, "Z") {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}
