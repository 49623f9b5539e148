package chaos_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// The databases that everything is tried on.
const (
	sqlite   = "sqlite"
	postgres = "postgres"
)

var databases = []string{sqlite, postgres}

// house is one installation under test: a database, a provider in a folder that this process
// shares, and the daemons on both.
type house struct {
	dir, dsn string
	world    *fake.World
	// real says that Docker and Terraform are what environments are made with, and not world.
	real bool
	// targets are the pools that the script sets, and how many each keeps warm.
	targets map[string]int
	witness *witness
	// store reads the same database beside the daemons.
	store   *store.Store
	daemons []*daemon
	// instance is in the labels of all that is made.
	instance string
	// disk is where a disk is mounted that can be full; "" for none.
	disk string
	// next is the daemon that is asked next.
	next int
}

// setup is what an installation is made of.
type setup struct {
	// database is sqlite (also when it is "") or postgres. dsn names one that is there already; through, when
	// not "", is what the daemons are given in its place.
	database, dsn, through string
	daemons                int
	// capacity is how many environments the host holds; 0 does not bound it.
	capacity int
	// real makes environments with Docker and Terraform.
	real bool
	// smallDisk has the first daemon's state, and SQLite's database in it, on a disk that can be full.
	smallDisk bool
	args      []string
}

// newHouse makes an installation whose daemons do not run yet.
func newHouse(t *testing.T, o setup) (h *house, err error) {
	t.Helper()
	if o.database == postgres && o.dsn == "" {
		o.dsn = pgtest.Shared(t).Database(t)
	}
	ctx := t.Context()
	h = &house{dsn: o.dsn, real: o.real, targets: map[string]int{"running": 2, "frozen": 1}}
	if o.real {
		h.targets = map[string]int{"running": 1}
	}
	// A unix socket's path has a short limit; a test's own folder may be too long.
	if h.dir, err = os.MkdirTemp("", "bothy-chaos-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.unmountDisk(), os.RemoveAll(h.dir))
		}
	}()
	if o.smallDisk {
		if err := h.mountDisk(t); err != nil {
			return nil, err
		}
	}
	if h.dsn == "" {
		h.dsn = "sqlite://" + filepath.Join(cmp.Or(h.disk, h.dir), "bothy.db")
	}
	if h.witness, err = openWitness(ctx, h.dsn); err != nil {
		return nil, err
	}
	if h.store, err = store.Open(ctx, h.dsn); err != nil {
		return nil, err
	}
	folder := filepath.Join(h.dir, "world")
	h.world = fake.New(fake.Options{Dir: folder})
	args, err := h.arguments(o, folder)
	if err != nil {
		return nil, err
	}
	key := make([]byte, 32)
	if _, err = rand.Read(key); err != nil {
		return nil, err
	}
	for i := range o.daemons {
		d, err := newDaemon(h.dir, fmt.Sprintf("d%d", i), args...)
		if err != nil {
			return nil, err
		}
		// One installation has one key.
		if err := os.WriteFile(filepath.Join(d.dir, "state", "key"), key, 0o600); err != nil {
			return nil, err
		}
		h.daemons = append(h.daemons, d)
	}
	return h, nil
}

// arguments are those of every daemon.
func (h *house) arguments(o setup, folder string) ([]string, error) {
	common := append([]string{
		"--database=" + cmp.Or(o.through, h.dsn),
		"--timing-sweep=1s", "--timing-orphan-grace=1s", "--timing-work-lease=3s",
	}, o.args...)
	if o.real {
		// A busy engine takes its time to remove a network. A stop that is cut short leaves it to the next start, and here is none.
		return append(common, "--network-spare=2", "--shutdown-timeout="+stopBound.String()), nil
	}
	common = append(common, "--shutdown-timeout=10s")
	hosts := filepath.Join(h.dir, "hosts.yaml")
	text := fmt.Sprintf("hosts:\n  - name: shared\n    endpoint: fake://%s\n", folder)
	if o.capacity > 0 {
		text += fmt.Sprintf("    environments: %d\n", o.capacity)
	}
	if err := os.WriteFile(hosts, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return append(common, "--driver=fake", "--hosts="+hosts), nil
}

// open runs the daemons, the first of them under orders, and waits until all answer.
func (h *house) open(ctx context.Context, orders string) error {
	for _, d := range h.daemons {
		go d.keep(orders)
		orders = ""
	}
	for _, d := range h.daemons {
		if err := d.answers(ctx); err != nil {
			return fmt.Errorf("%w\n%s", err, d.lastLog())
		}
	}
	return h.ask(ctx, "read the installation's id", func(c *client.Client) error {
		v, err := c.Version(ctx)
		h.instance = v.Instance
		return err
	})
}

// close stops the daemons and removes everything.
func (h *house) close() error {
	errs := []error{h.vacate(context.Background())}
	for _, d := range h.daemons {
		errs = append(errs, d.stop())
		d.client.Close()
	}
	return errors.Join(append(errs, h.sweep(context.Background()), h.store.Close(), h.witness.close(), h.unmountDisk(), os.RemoveAll(h.dir))...)
}

// releaseAll gives back everything that somebody holds.
func (h *house) releaseAll(ctx context.Context) error {
	live, err := h.live(ctx)
	if err != nil {
		return err
	}
	for _, env := range live {
		if env.Tenant == "" {
			continue // a pool's own goes with the pool
		}
		err = errors.Join(err, h.ask(ctx, "release "+env.Name, func(c *client.Client) error {
			_, err := c.Release(ctx, env.ID)
			return err
		}))
	}
	return err
}

// logs are the ends of the daemons' logs.
func (h *house) logs() string {
	var text string
	for _, d := range h.daemons {
		text += fmt.Sprintf("---- log of %s\n%s\n", d.name, d.lastLog())
	}
	return text
}

// killed counts the daemons' deaths.
func (h *house) killed() (n int) {
	for _, d := range h.daemons {
		n += d.killed()
	}
	return n
}

// failedStarts are when daemons ended with an error.
func (h *house) failedStarts() (all []time.Time) {
	for _, d := range h.daemons {
		d.mu.Lock()
		all = append(all, d.failedStarts...)
		d.mu.Unlock()
	}
	return all
}

// ask makes a call, on one daemon after the other, until one has answered it.
func (h *house) ask(ctx context.Context, what string, call func(*client.Client) error) error {
	return retry(ctx, what, func() error {
		h.next++
		return call(h.daemons[h.next%len(h.daemons)].client)
	})
}

// retry calls until the answer is not "unavailable". What the daemon did say is given at once.
func retry(ctx context.Context, what string, call func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := call()
		if err == nil || client.CodeOf(err) != "unavailable" {
			return wrap(what, err)
		}
		select {
		case <-ctx.Done():
			return wrap(what, fmt.Errorf("no answer for %s: %w", patience, err))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// until waits for a condition, at most as long as anything may take.
func until(ctx context.Context, what string, cond func() (done bool, why string, err error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		done, why, err := cond()
		if fleet.CodeOf(err) == fleet.CodeUnavailable {
			done, why, err = false, err.Error(), nil // the database is away, and comes back
		}
		if err != nil || done {
			return wrap(what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s in vain until %s: %s", patience, what, why)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// mustHouse is newHouse and open for a test of its own, which closes it.
func mustHouse(t *testing.T, o setup) *house {
	t.Helper()
	h, err := newHouse(t, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
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
	return h
}
