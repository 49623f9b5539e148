package journal

import (
	"context"
	"sync"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// Rows are the live environments for whoever looks at hosts now and then: a look reads what has changed since the last one.
type Rows struct {
	mu   sync.Mutex
	kept *store.Kept
}

// NewRows makes those of a store.
func NewRows(db *store.Store) *Rows { return &Rows{kept: db.Keep()} }

// Read gives all of them to use, which is not to keep what it is given.
func (r *Rows) Read(ctx context.Context, use func(live []fleet.Environment)) error {
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

// On returns the live environments of a host, by id.
func (r *Rows) On(ctx context.Context, host string) (byID map[string]fleet.Environment, err error) {
	err = r.Read(ctx, func(live []fleet.Environment) { byID = On(host, live) })
	return byID, err
}

// Those gives the live environments that are wanted.
func (r *Rows) Those(ctx context.Context, wanted func(env *fleet.Environment) bool) (all []fleet.Environment, err error) {
	err = r.Read(ctx, func(live []fleet.Environment) {
		for i := range live {
			if wanted(&live[i]) {
				all = append(all, live[i])
			}
		}
	})
	return all, err
}

// On returns the environments of a host, by id.
func On(host string, envs []fleet.Environment) map[string]fleet.Environment {
	byID := map[string]fleet.Environment{}
	for _, env := range envs {
		if env.Host == host {
			byID[env.ID] = env
		}
	}
	return byID
}
