package pools

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/engine/doctor"
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

// Follow keeps the pools in step with the platform team's file. One that cannot be read changes nothing, and
// the reason is logged once.
func (c *Catalogue) Follow(ctx context.Context) {
	if c.cfg.File == nil {
		return
	}
	pools, err := c.cfg.File()
	if err == nil {
		err = c.Apply(ctx, pools)
	}
	if ctx.Err() != nil {
		return
	}
	wrong := ""
	if err != nil {
		wrong = err.Error()
	}
	switch changed := c.file.set(wrong); {
	case changed && wrong != "":
		c.cfg.Logger.Error("the file of pools is not followed as a whole", "error", err)
	case changed:
		c.cfg.Logger.Info("the file of pools is followed")
	}
}

// Check tells of what keeps pools from being filled.
func (c *Catalogue) Check(ctx context.Context) doctor.Check {
	check := doctor.Check{Name: "pools", Status: doctor.OK, Message: "all pools work"}
	if wrong := c.file.get(); wrong != "" {
		check.Status, check.Message, check.Hint = doctor.Warning, wrong, "mend the file of pools; the daemon reads it again by itself"
		return check
	}
	if c.cfg.File != nil && !c.cfg.Planner.Leads() {
		if differs := c.fileDiffers(ctx); differs != "" {
			check.Status, check.Message = doctor.Warning, "this daemon does not plan now, so its file of pools is not followed: "+differs
			check.Hint = "give every daemon of the database the same file of pools, or none; the one that plans follows its own"
			return check
		}
	}
	pools, err := c.Priced(ctx)
	if err != nil {
		check.Status, check.Message, check.Hint = doctor.Warning, "the pools cannot be read: "+err.Error(), "see the check of the store"
		return check
	}
	for _, p := range pools {
		switch {
		case p.Held != "":
			check.Status, check.Message = doctor.Warning, fmt.Sprintf("pool %s is held: %s", p.Name, p.Held)
			check.Hint = "when the cause is mended: bothy pool resume " + p.Name
		case p.Broken != "":
			check.Status, check.Message = doctor.Warning, fmt.Sprintf("pool %s cannot be filled: %s", p.Name, p.Broken)
			check.Hint = "see: bothy pool show " + p.Name
		}
	}
	if check.Status != doctor.OK {
		return check
	}
	return c.checkRollovers(ctx, pools, check)
}

// fileDiffers says in what the pools are not as this daemon's file has them; empty when they are.
func (c *Catalogue) fileDiffers(ctx context.Context) string {
	wanted, err := c.cfg.File()
	if err != nil {
		return "it is wrong: " + err.Error()
	}
	kept, err := c.cfg.Store.Pools(ctx)
	if err != nil {
		return "the pools cannot be read: " + err.Error()
	}
	named, gone := c.compareFile(kept, wanted)
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
func (c *Catalogue) compareFile(kept, wanted []fleet.Pool) (named []filePool, gone []fleet.Pool) {
	before := map[string]fleet.Pool{}
	for _, p := range kept {
		before[p.Name] = p
	}
	for _, p := range wanted {
		p.FromFile = true
		old, there := before[p.Name]
		delete(before, p.Name)
		err := c.check(&p)
		named = append(named, filePool{Pool: p, there: there, same: err == nil && there && c.same(old, p), err: err})
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

// Apply makes the pools that a file keeps those given: it writes what differs and removes what is gone from
// the file. Pools that were set by hand stay, unless the file names them. Each is applied for itself; the error
// names every one that is wrong.
func (c *Catalogue) Apply(ctx context.Context, pools []fleet.Pool) error {
	kept, err := c.cfg.Store.Pools(ctx)
	if err != nil {
		return err
	}
	named, gone := c.compareFile(kept, pools)
	var errs []error
	for _, p := range named {
		switch {
		case p.err != nil:
			errs = append(errs, p.err)
		case !p.same:
			if _, err := c.write(ctx, p.Pool, actorFile); err != nil {
				errs = append(errs, err)
			}
		}
	}
	for _, old := range gone {
		if err := c.cfg.Store.RemovePool(ctx, old.Name, c.cfg.Journal.PoolEvent(old.Name, actorFile, "pool.removed", "the file does not name it any more")); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// same reports whether a pool is already as the file has it.
func (c *Catalogue) same(kept, wanted fleet.Pool) bool {
	// A blueprint's own types: a number may come back from the store as another kind.
	if err := c.check(&kept); err != nil {
		return false
	}
	said := func(p fleet.Pool) fleet.Pool {
		p.Held, p.HeldAt, p.Failures = "", time.Time{}, 0
		p.Revision, p.UpdatedAt, p.UpdatedBy = 0, time.Time{}, ""
		return p
	}
	return reflect.DeepEqual(said(kept), said(wanted))
}
