package engine

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// poolFile remembers what is wrong with the platform team's file of pools; empty when nothing is.
type poolFile struct {
	mu    sync.Mutex
	wrong string
}

func (f *poolFile) set(wrong string) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	changed = f.wrong != wrong
	f.wrong = wrong
	return changed
}

func (f *poolFile) get() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wrong
}

// followPoolFile keeps the pools in step with the platform team's file. One that cannot be read changes nothing, and
// what is wrong is told once.
func (e *Engine) followPoolFile(ctx context.Context) {
	if e.cfg.Pools == nil {
		return
	}
	pools, err := e.cfg.Pools()
	if err == nil {
		err = e.ApplyPools(ctx, pools)
	}
	if ctx.Err() != nil {
		return
	}
	wrong := ""
	if err != nil {
		wrong = err.Error()
	}
	switch changed := e.poolFile.set(wrong); {
	case changed && wrong != "":
		e.logger.Error("the file of pools is not followed as a whole", "error", err)
	case changed:
		e.logger.Info("the file of pools is followed")
	}
}

// checkPools tells of what keeps pools from being filled.
func (e *Engine) checkPools(ctx context.Context) Check {
	check := Check{Name: "pools", Status: OK, Message: "all pools work"}
	if wrong := e.poolFile.get(); wrong != "" {
		check.Status, check.Message, check.Hint = Warning, wrong, "mend the file of pools; the daemon reads it again by itself"
		return check
	}
	if e.cfg.Pools != nil && !e.reconcile.Leader().Leads() {
		if differs := e.poolFileDiffers(ctx); differs != "" {
			check.Status, check.Message = Warning, "this daemon does not plan now, so its file of pools is not followed: "+differs
			check.Hint = "give every daemon of the database the same file of pools, or none; the one that plans follows its own"
			return check
		}
	}
	pools, err := e.pricedPools(ctx)
	if err != nil {
		check.Status, check.Message, check.Hint = Warning, "the pools cannot be read: "+err.Error(), "see the check of the store"
		return check
	}
	for _, p := range pools {
		switch {
		case p.Held != "":
			check.Status, check.Message = Warning, fmt.Sprintf("pool %s is held: %s", p.Name, p.Held)
			check.Hint = "when the cause is mended: bothy pool resume " + p.Name
		case p.Broken != "":
			check.Status, check.Message = Warning, fmt.Sprintf("pool %s cannot be filled: %s", p.Name, p.Broken)
			check.Hint = "see: bothy pool show " + p.Name
		}
	}
	if check.Status != OK {
		return check
	}
	return e.checkRollovers(ctx, pools, check)
}

// poolFileDiffers says in what the pools are not as this daemon's file has them; empty when they are.
func (e *Engine) poolFileDiffers(ctx context.Context) string {
	wanted, err := e.cfg.Pools()
	if err != nil {
		return "it is wrong: " + err.Error()
	}
	kept, err := e.store.Pools(ctx)
	if err != nil {
		return "the pools cannot be read: " + err.Error()
	}
	named, gone := e.compareFile(kept, wanted)
	for _, p := range named {
		switch {
		case p.err != nil:
			return p.err.Error()
		case !p.there:
			return fmt.Sprintf("there is no pool %s", p.Name)
		case !p.same:
			return fmt.Sprintf("pool %s is not as it says", p.Name)
		}
	}
	if len(gone) > 0 {
		return fmt.Sprintf("it does not name pool %s, which another file does", gone[0].Name)
	}
	return ""
}

// filePool is a pool that a file names: whether one of its name is there, and the same, and what is wrong with it.
type filePool struct {
	fleet.Pool
	there, same bool
	err         error
}

// compareFile compares the pools that a file names with those that are kept. gone are those of a file that it does not name, in
// the order in which they are kept.
func (e *Engine) compareFile(kept, wanted []fleet.Pool) (named []filePool, gone []fleet.Pool) {
	before := map[string]fleet.Pool{}
	for _, p := range kept {
		before[p.Name] = p
	}
	for _, p := range wanted {
		p.FromFile = true
		old, there := before[p.Name]
		delete(before, p.Name)
		err := e.checkPool(&p)
		named = append(named, filePool{Pool: p, there: there, same: err == nil && there && e.same(old, p), err: err})
	}
	for _, p := range kept {
		if _, left := before[p.Name]; left && p.FromFile {
			gone = append(gone, p)
		}
	}
	return named, gone
}

// actorFile is the actor of what the platform team's file says.
const actorFile = "file"

// ApplyPools makes the pools that a file keeps those given: it writes what differs and removes what is gone from
// the file. Pools that were set by hand stay, unless the file names them. Each is applied for itself; the error
// names every one that is wrong.
func (e *Engine) ApplyPools(ctx context.Context, pools []fleet.Pool) error {
	kept, err := e.store.Pools(ctx)
	if err != nil {
		return err
	}
	named, gone := e.compareFile(kept, pools)
	var errs []error
	for _, p := range named {
		switch {
		case p.err != nil:
			errs = append(errs, p.err)
		case !p.same:
			if _, err := e.writePool(ctx, p.Pool, actorFile); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for _, old := range gone {
		if err := e.store.RemovePool(ctx, old.Name, e.journal.PoolEvent(old.Name, actorFile, "pool.removed", "the file does not name it any more")); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// same reports whether a pool is already as the file has it.
func (e *Engine) same(kept, wanted fleet.Pool) bool {
	// A blueprint's own types: a number may come back from the store as another kind.
	if err := e.checkPool(&kept); err != nil {
		return false
	}
	said := func(p fleet.Pool) fleet.Pool {
		p.Held, p.HeldAt, p.Failures = "", time.Time{}, 0
		p.Revision, p.UpdatedAt, p.UpdatedBy = 0, time.Time{}, ""
		return p
	}
	return reflect.DeepEqual(said(kept), said(wanted))
}
