package daemon_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
)

// TestAFullDiskMakesNothingNew: without room a request is refused and pools are not filled; what is there is given back. With room
// all goes on.
func TestAFullDiskMakesNothingNew(t *testing.T) {
	var full atomic.Bool
	b := setup(t, patient, func(c *daemon.Config) {
		c.Room = func() error {
			if full.Load() {
				return fleet.Errorf(fleet.CodeUnavailable, "the disk is full")
			}
			return nil
		}
	}).run().served()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	full.Store(true)
	b.engine.LookAtHosts()
	waitUntil(t, "the host takes nothing new", func() bool {
		hosts, err := b.db.Hosts(t.Context())
		return err == nil && strings.Contains(hosts[0].Down, "the disk is full")
	})
	b.pool("builders", 1)
	_, err := b.request()
	wantCode(t, err, fleet.CodeUnavailable)
	b.release(env.ID)
	b.untilGone(env.ID)
	if len(b.warm()) > 0 {
		t.Error("a pool was filled")
	}
	full.Store(false)
	b.engine.LookAtHosts()
	b.untilWarm(1)
	if _, err := b.request(); err != nil {
		t.Errorf("with room: %v", err)
	}
}
