package daemon_test

import (
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
)

// TestARowOfAnEarlierReleaseKeepsItsNetwork: how a sandbox joins its network is the keeper's own text. Whatever form it had when it was
// written down, the keeper gets it back as it is: while the environment lives nobody takes the network, and afterwards it goes.
func TestARowOfAnEarlierReleaseKeepsItsNetwork(t *testing.T) {
	needs(t, "networks", func(can provisioner.Capabilities) bool { return can.Networks })
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.stop()
	earlier := strings.TrimPrefix(env.Network, "join:")
	if earlier == env.Network || earlier == "" {
		t.Fatalf("its network is written down as %q", env.Network)
	}
	if _, err := b.db.Change(t.Context(), env.ID, store.Expect{}, func(row *fleet.Environment) (store.Writes, error) {
		row.Network = earlier
		return store.Writes{}, nil
	}); err != nil {
		t.Fatal(err)
	}
	b.engine = b.newEngine("daemon-1.b")
	b.run()
	there := func() bool {
		all, err := b.world.All()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range all {
			if f.Kind == "network" && f.Name == earlier {
				return true
			}
		}
		return false
	}
	for range 3 { // a keeper forgets what two sweeps in a row have missed
		b.sweeps()
	}
	if !there() {
		t.Fatal("its network was taken while it lives")
	}
	b.release(env.ID)
	waitUntil(t, "its network is gone", func() bool { return !there() })
}
