package engine

import (
	"context"
	"sync"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// rows are the live environments for whoever looks at hosts now and then: a look reads what has changed since the last one.
type rows struct {
	mu   sync.Mutex
	kept *store.Kept
}

// read gives all of them to use, which is not to keep what it is given.
func (r *rows) read(ctx context.Context, use func(live []fleet.Environment)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	whole := false
	defer func() {
		if !whole {
			r.kept.Forget() // whatever cut the read off
		}
	}()
	live, err := r.kept.Live(ctx)
	if err != nil {
		return err
	}
	whole = true
	use(live)
	return nil
}

// on gives the live environments that stand on a host, by id.
func (r *rows) on(ctx context.Context, h *Host) (byID map[string]fleet.Environment, err error) {
	err = r.read(ctx, func(live []fleet.Environment) { byID = on(h, live) })
	return byID, err
}

// those gives the live environments that are wanted.
func (r *rows) those(ctx context.Context, wanted func(env *fleet.Environment) bool) (all []fleet.Environment, err error) {
	err = r.read(ctx, func(live []fleet.Environment) {
		for i := range live {
			if wanted(&live[i]) {
				all = append(all, live[i])
			}
		}
	})
	return all, err
}
