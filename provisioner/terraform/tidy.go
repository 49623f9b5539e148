package terraform

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

var (
	_ provisioner.Tidier = (*Driver)(nil)
	_ provisioner.Keeper = Works("")
)

// Works is a Config.WorkDir whose working directories no driver uses, as of a host that is not declared any more.
type Works string

// Kept lists the environments that have a working directory.
func (w Works) Kept(context.Context) ([]string, error) {
	entries, err := os.ReadDir(w.dir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fileError("list working directories", err)
	}
	var all []string
	for _, entry := range entries {
		if environmentForm.MatchString(entry.Name()) {
			all = append(all, entry.Name())
		}
	}
	return all, nil
}

// Discard removes an environment's working directory.
func (w Works) Discard(_ context.Context, environment string) error {
	if err := removeAny(filepath.Join(w.dir(), environment)); err != nil {
		return fileError("remove working directory", err)
	}
	return nil
}

// dir is the folder of the working directories, each named by its environment.
func (w Works) dir() string { return filepath.Join(string(w), "work") }

// Leave removes everything else that a driver made for a WorkDir which none uses any more: its folder for sockets, its processes and
// their control groups included.
func (w Works) Leave() error {
	endMarked(string(w), "", 0)
	confine.Leave(shortHash(string(w)))
	tmp := socketPath(string(w))
	info, err := os.Lstat(tmp)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fileError("remove a driver's directories", err)
	case info.IsDir() && ownedByUs(info):
		if err := os.RemoveAll(tmp); err != nil {
			return fileError("remove a driver's directories", err)
		}
	}
	if err := removeTree(string(w)); err != nil {
		return fileError("remove a driver's directories", err)
	}
	return nil
}

// Kept implements provisioner.Keeper: the environments that have a working directory.
func (d *Driver) Kept(ctx context.Context) ([]string, error) { return Works(d.cfg.WorkDir).Kept(ctx) }

// Discard implements provisioner.Keeper.
func (d *Driver) Discard(ctx context.Context, environment string) error {
	unlock, ok := d.environments.try(environment)
	if !ok {
		return nil
	}
	defer unlock()
	return Works(d.cfg.WorkDir).Discard(ctx, environment)
}

// replaced are the templates' folders that no record names, and when each was first seen so, since a Terraform may still be using one.
type replaced struct {
	mu    sync.Mutex
	since map[string]time.Time
}

// over reports whether whatever used a folder has ended: it was seen without a record for longer than a Terraform may run. It forgets
// those that are not in seen.
func (r *replaced) over(seen []string, atLeast time.Duration) (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.since
	r.since = map[string]time.Time{}
	for _, name := range seen {
		at, ok := before[name]
		if !ok {
			at = time.Now()
		}
		r.since[name] = at
		if ok && time.Since(at) > atLeast {
			all = append(all, name)
		}
	}
	return all
}

// Tidy implements provisioner.Tidier: the templates of blueprints that are not known go, and those that were replaced or half-made once
// nothing can be using them.
func (d *Driver) Tidy(ctx context.Context, known func(digest string) bool) error {
	const op = "tidy templates"
	records, unnamed, err := d.listTemplates()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fileError(op, err)
	}
	var errs []error
	for digest, dir := range records {
		if known(digest) || ctx.Err() != nil {
			continue
		}
		errs = append(errs, d.dropTemplate(digest, dir))
	}
	// The work of a template may take as long for init and for what is made from it.
	for _, name := range d.replaced.over(unnamed, 2*d.cfg.Timeout) {
		errs = append(errs, d.dropUnnamed(name))
	}
	if err := errors.Join(errs...); err != nil {
		return fileError(op, err)
	}
	return nil
}

// listTemplates returns the folders of the templates that records name, by digest, and the names of those that none does.
func (d *Driver) listTemplates() (records map[string]string, unnamed []string, err error) {
	entries, err := os.ReadDir(d.templates())
	if err != nil {
		return nil, nil, err
	}
	records, named := map[string]string{}, map[string]bool{}
	for _, e := range entries {
		digest, isRecord := strings.CutSuffix(e.Name(), ".json")
		if digest = "sha256:" + digest; !isRecord || !digestForm.MatchString(digest) {
			continue
		}
		data, err := os.ReadFile(filepath.Join(d.templates(), e.Name()))
		if err != nil {
			return nil, nil, err
		}
		var t template
		if json.Unmarshal(data, &t) != nil || t.Dir != filepath.Base(t.Dir) {
			continue
		}
		records[digest] = t.Dir
		named[t.Dir], named[e.Name()] = true, true
	}
	for _, e := range entries {
		if !named[e.Name()] {
			unnamed = append(unnamed, e.Name())
		}
	}
	return records, unnamed, nil
}

// dropTemplate removes a template that nothing is made from, unless it is in the making. The record goes first: a template that has one
// is whole.
func (d *Driver) dropTemplate(digest, dir string) error {
	unlock, ok := d.digests.try(digest)
	if !ok {
		return nil
	}
	defer unlock()
	d.log.Info("removing the template of a blueprint that nothing is made from", "digest", digest)
	if err := os.Remove(d.recordPath(digest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return removeTree(filepath.Join(d.templates(), dir))
}

// dropUnnamed removes what no record names, unless it is in the making.
func (d *Driver) dropUnnamed(name string) error {
	digest, _, _ := strings.Cut(name, "-")
	unlock, ok := d.digests.try("sha256:" + digest)
	if !ok {
		return nil
	}
	defer unlock()
	return removeTree(filepath.Join(d.templates(), name))
}
