package fleet_test

import (
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// TestLost: a daemon that holds a host for long renews its hold seldom, and is not silent meanwhile.
func TestLost(t *testing.T) {
	seen := time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)
	for name, c := range map[string]struct {
		host fleet.Host
		from time.Duration
	}{
		"nobody serves it":        {fleet.Host{SeenAt: seen}, fleet.LostAfter},
		"it is held for less":     {fleet.Host{SeenAt: seen, Worker: "a", Until: seen.Add(15 * time.Second)}, fleet.LostAfter},
		"it is held for more":     {fleet.Host{SeenAt: seen, Worker: "a", Until: seen.Add(10 * time.Minute)}, 10 * time.Minute},
		"its holder gave it back": {fleet.Host{SeenAt: seen, Until: seen.Add(10 * time.Minute)}, fleet.LostAfter},
	} {
		at := seen.Add(c.from)
		if c.host.Lost(at) || !c.host.Lost(at.Add(1)) {
			t.Errorf("%s: it is lost from %s on, want %s", name, c.host.LostFrom(), at)
		}
	}
}
