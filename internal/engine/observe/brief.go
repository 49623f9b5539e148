package observe

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/target"
	"github.com/bothy-env/bothy/internal/fleet"
)

const (
	// briefSweeps is how many sweeps an idle time must last for its environment to be measured as seldom as they are: what works
	// on after its last command would be over before the second reading.
	briefSweeps = 4
	// briefEvery is the time between two looks at the others.
	briefEvery = 5 * time.Second
)

// briefly are the environments with such a short idle time in which commands ran here, by host, with their last readings.
type briefly struct {
	mu   sync.Mutex
	read map[string]map[string]metered
}

func (b *briefly) add(host, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.read == nil {
		b.read = map[string]map[string]metered{}
	}
	if b.read[host] == nil {
		b.read[host] = map[string]metered{}
	}
	if _, known := b.read[host][id]; !known {
		b.read[host][id] = metered{}
	}
}

func (b *briefly) on(host string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Keys(b.read[host]))
}

func (b *briefly) drop(host, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.read[host], id)
}

// next keeps a reading and gives the one before.
func (b *briefly) next(host, id string, now metered) (before metered) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before, b.read[host][id] = b.read[host][id], now
	return before
}

// measureBriefly measures the environments of a host whose idle time is too short for the usual readings, and forgets those that are
// no longer in use here.
func (m *Meter) measureBriefly(ctx context.Context, h *target.Host) error {
	var wanted []fleet.Environment
	for _, id := range m.brief.on(h.Name) {
		env, err := m.cfg.Store.Get(ctx, id)
		if err != nil && fleet.CodeOf(err) != fleet.CodeNotFound {
			return err
		}
		if err != nil || env.State != fleet.Leased || env.Lease.Idle <= 0 || env.Host != h.Name {
			m.brief.drop(h.Name, id)
			continue
		}
		wanted = append(wanted, env)
	}
	read, err := m.readAll(ctx, h, wanted)
	for _, env := range wanted {
		now, ok := read[env.ID]
		if !ok {
			continue
		}
		if before := m.brief.next(h.Name, env.ID, now); !before.at.IsZero() && now.used(before) {
			if _, noteErr := m.Note(ctx, env); noteErr != nil {
				return noteErr
			}
		}
	}
	return err
}
