package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
)

// LeftHost is a host that this daemon declared once and does not any more, as one that was lost. Nothing is made on it from here, and
// its engine is not reached.
type LeftHost struct {
	Name string
	// Work and Etcs are the drivers' files on environments and the folders that sandboxes have as their /etc; nil for none.
	Work, Etcs provisioner.Keeper
	// Remove removes all else that was kept for the host. It is called once neither has anything, until it succeeds.
	Remove func() error
}

// Blueprints are those that are offered.
type Blueprints interface {
	// List gives all, by name.
	List() []fleet.Blueprint
}

// Local sweeps what this daemon keeps on its machine.
type Local struct {
	cfg        Config
	blueprints Blueprints
	worker     string
	left       []LeftHost
}

// NewLocal makes it. worker is this process's, and left are the hosts that it does not declare any more.
func NewLocal(c Config, blueprints Blueprints, worker string, left []LeftHost) *Local {
	return &Local{cfg: c, blueprints: blueprints, worker: worker, left: left}
}

// shelf is something on this machine that has files on environments.
type shelf struct {
	host, what string
	provisioner.Keeper
	// mounted says that sandboxes use the files for as long as they exist, whoever serves the host. Others are for work alone.
	mounted bool
}

// shelves are those of every host that this daemon declares, or did.
func (m *Local) shelves() (all []shelf) {
	for _, h := range m.cfg.Hosts.All() {
		if k, ok := h.Driver.(provisioner.Keeper); ok {
			all = append(all, shelf{h.Name, "the driver", k, false})
		}
		if k, ok := provisioner.Can[provisioner.Keeper](h.Runtime); ok {
			all = append(all, shelf{h.Name, "the runtime", k, true})
		}
	}
	for _, l := range m.left {
		if l.Work != nil {
			all = append(all, shelf{l.Name, "the driver", l.Work, false})
		}
		if l.Etcs != nil {
			all = append(all, shelf{l.Name, "the runtime", l.Etcs, true})
		}
	}
	return all
}

// Sweep removes what this daemon keeps on its machine and the store does not know: files on environments that are gone, or that
// another daemon works on by now (what was cut off here and gone on with elsewhere is nobody else's to find, and may hold a state in
// clear), and files on blueprints that nothing is made of any more.
func (m *Local) Sweep(ctx context.Context) error {
	shelves := m.shelves()
	kept, found := make([][]string, len(shelves)), 0
	for i, s := range shelves {
		var err error
		if kept[i], err = s.Kept(ctx); err != nil {
			return fmt.Errorf("list what %s of host %s keeps: %w", s.what, s.host, err)
		}
		found += len(kept[i])
	}
	var errs []error
	if found > 0 {
		errs = append(errs, m.sweepShelves(ctx, shelves, kept))
	}
	return errors.Join(append(errs, m.sweepBlueprints(ctx), m.sweepLeft(ctx))...)
}

func (m *Local) sweepShelves(ctx context.Context, shelves []shelf, kept [][]string) error {
	// Rows after files: the row of an environment is there before the first file on it.
	live := map[string]string{} // the host of each
	err := m.cfg.Rows.Read(ctx, func(rows []fleet.Environment) {
		for i := range rows {
			live[rows[i].ID] = rows[i].Host
		}
	})
	if err != nil {
		return err
	}
	elsewhere, err := m.servedElsewhere(ctx)
	if err != nil {
		return err
	}
	used, err := m.mayBeUsed(ctx, live)
	if err != nil {
		return err
	}
	var errs []error
	for i, s := range shelves {
		for _, id := range kept[i] {
			if s.mounted && used(id) {
				continue
			}
			if host, ok := live[id]; ok && host == s.host && !s.mounted && !elsewhere[s.host] {
				continue
			}
			m.cfg.Logger.Info("removing what was kept on an environment that is not worked on here", "of", s.what, "environment", id, "host", s.host)
			errs = append(errs, s.Discard(ctx, id))
		}
	}
	return errors.Join(errs...)
}

// mayBeUsed tells of which environments something may exist that uses files of this machine: the live ones on any host, those that are
// found at an engine and not known, and in safe mode all.
func (m *Local) mayBeUsed(ctx context.Context, live map[string]string) (func(id string) bool, error) {
	unsafe, err := m.cfg.Safety.Reason(ctx)
	if err != nil {
		return nil, err
	}
	orphans, err := m.cfg.Store.Orphans(ctx)
	if err != nil {
		return nil, err
	}
	return func(id string) bool {
		_, lives := live[id]
		return lives || unsafe != "" || slices.ContainsFunc(orphans, func(o fleet.Orphan) bool { return o.EnvironmentID == id })
	}, nil
}

// sweepBlueprints has drivers and the catalogue remove what they keep on blueprints that are neither offered nor those of live
// environments. In safe mode the catalogue keeps all: the database may not know of an environment, and a blueprint that is not
// offered any more cannot be had again. Drivers make theirs from it anew.
func (m *Local) sweepBlueprints(ctx context.Context) error {
	unsafe, err := m.cfg.Safety.Reason(ctx)
	if err != nil {
		return err
	}
	var tidiers []provisioner.Tidier
	if t, ok := m.blueprints.(provisioner.Tidier); ok && unsafe == "" {
		tidiers = append(tidiers, t)
	}
	for _, h := range m.cfg.Hosts.All() {
		if t, ok := h.Driver.(provisioner.Tidier); ok {
			tidiers = append(tidiers, t)
		}
	}
	if len(tidiers) == 0 {
		return nil
	}
	digests := map[string]bool{}
	for _, bp := range m.blueprints.List() {
		digests[bp.Ref.Digest] = true
	}
	err = m.cfg.Rows.Read(ctx, func(live []fleet.Environment) {
		for i := range live {
			digests[live[i].Blueprint.Digest] = true
		}
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, t := range tidiers {
		errs = append(errs, t.Tidy(ctx, func(digest string) bool { return digests[digest] }))
	}
	return errors.Join(errs...)
}

// sweepLeft removes what is left of hosts that are not declared any more, once nothing of an environment is kept there.
func (m *Local) sweepLeft(ctx context.Context) error {
	if len(m.left) == 0 {
		return nil
	}
	var errs []error
	m.left = slices.DeleteFunc(m.left, func(l LeftHost) bool { // nobody else uses it
		empty := true
		for _, k := range []provisioner.Keeper{l.Work, l.Etcs} {
			if k == nil {
				continue
			}
			kept, err := k.Kept(ctx)
			errs = append(errs, err)
			empty = empty && err == nil && len(kept) == 0
		}
		if !empty {
			return false
		}
		err := l.Remove()
		if err == nil {
			m.cfg.Logger.Info("removed what was kept for a host that is not declared any more", "host", l.Name)
		}
		errs = append(errs, err)
		return err == nil
	})
	return errors.Join(errs...)
}

// servedElsewhere gives the hosts that another daemon serves now.
func (m *Local) servedElsewhere(ctx context.Context) (map[string]bool, error) {
	rows, err := m.cfg.Store.Hosts(ctx)
	if err != nil {
		return nil, err
	}
	now, others := m.cfg.Clock.Now(), map[string]bool{}
	for _, row := range rows {
		others[row.Name] = row.Served(now) && fleet.DaemonOf(row.Worker) != fleet.DaemonOf(m.worker)
	}
	return others, nil
}
