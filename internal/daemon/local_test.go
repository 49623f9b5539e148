package daemon_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// hoarder is a driver that has files on environments.
type hoarder struct {
	provisioner.Driver
	mu   sync.Mutex
	kept []string
}

func (h *hoarder) Kept(context.Context) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.kept), nil
}

func (h *hoarder) Discard(_ context.Context, environment string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = slices.DeleteFunc(h.kept, func(id string) bool { return id == environment })
	return nil
}

func (h *hoarder) keep(ids ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept = append(h.kept, ids...)
}

func (h *hoarder) keeps(ids ...string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Equal(h.kept, ids)
}

func (h *hoarder) with(c *daemon.Config) { c.Hosts[0].Driver = h }

// TestLocalFilesGoWithTheirWork: what a driver keeps on environments that are gone, or that another daemon works on, is removed
// at the start and in each sweep; what is of live ones of its own stays.
func TestLocalFilesGoWithTheirWork(t *testing.T) {
	b := setup(t)
	mine := &hoarder{Driver: b.world.Driver()}
	b.engine = b.newEngine("daemon-1.a", patient, mine.with)
	b.run()
	live := b.untilState(b.acquire().ID, fleet.Leased)
	gone := b.release(b.untilState(b.acquire().ID, fleet.Leased).ID)
	mine.keep(live.ID, gone.ID, "neverheardof")
	waitUntil(t, "the daemon that serves the host keeps the live one's alone", func() bool { return mine.keeps(live.ID) })

	theirs := &hoarder{Driver: b.world.Driver()}
	theirs.keep(live.ID, gone.ID)
	other := b.newEngine("daemon-2.a", patient, theirs.with)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- other.Run(ctx, time.Second) }()
	waitUntil(t, "another daemon keeps nothing", func() bool { return theirs.keeps() })
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !mine.keeps(live.ID) {
		t.Error("the daemon that serves the host has lost what it works with")
	}
}

// TestADriverThatIsAwayIsNotWaitedForAnew: the time that a destroy waits for its driver goes on over a restart.
func TestADriverThatIsAwayIsNotWaitedForAnew(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	away := fake.FailBefore(fake.OpDestroy, provisioner.Transient, "the driver is away")
	away.Times, away.Fail.Unavailable = fake.Always, true
	b.inject(away)
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.until(env.ID, "put off", func(e fleet.Environment) bool { return e.Work.LastError != "" && e.Work.Worker == "" })
	b.stop()
	b.pass(90 * time.Second)
	before := b.world.Calls(fake.OpDestroy)
	b.engine = b.newEngine("daemon-1.b", patient)
	b.run()
	b.untilState(env.ID, fleet.Destroyed)
	if tries := b.world.Calls(fake.OpDestroy) - before; tries != 1 {
		t.Errorf("the driver was asked %d times more, want 1", tries)
	}
	b.oracles()
}
