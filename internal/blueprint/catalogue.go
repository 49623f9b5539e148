package blueprint

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Catalogue has the blueprints on offer. It does not change once opened and is safe for concurrent use.
type Catalogue struct {
	blueprints []fleet.Blueprint // by name, newest version first
	refused    []Refused
	overridden []Overridden
	cacheDir   string

	// files are the offered files by digest, so that a removed cache can be written again. mu is held meanwhile.
	mu    sync.Mutex
	files map[string]fileSet
}

// Sources are where blueprints come from. Each directory is a blueprint or contains directories that are.
type Sources struct {
	// Builtin are directories that this process wrote itself.
	Builtin []string
	// Folders are the platform team's: only root and this process's user may have write access.
	Folders []string
	// Overrides are the names of built-in blueprints that one of Folders may replace.
	Overrides []string
	// Trusted are the digests in Folders that may exceed the limits of a sandbox.
	Trusted []string
}

// Refused is a directory that is not offered, and why.
type Refused struct {
	Folder string
	Err    error
}

// Overridden is a built-in blueprint that a directory replaces.
type Overridden struct {
	Name, Folder string
}

// Limits of loading all directories.
const (
	// maxFolders is how many blueprints one directory may contain.
	maxFolders = 200
	// together is how many are loaded at once: each uses up to 30 MB meanwhile.
	together = 4
	// loadTime bounds loading one, in case of a disk that does not answer.
	loadTime = 10 * time.Second
)

// Open loads the blueprints of the directories in parallel. If some are invalid, the catalogue has the others, and Refused lists them;
// without a usable directory or cache the catalogue is nil. Only one process may use a cacheDir.
func Open(from Sources, cacheDir string) (*Catalogue, error) {
	return open(from, cacheDir, loading{load, loadTime})
}

// loading is how a directory is loaded, and for how long at most; tests replace it.
type loading struct {
	load func(dir, cacheDir string, on terms) (fleet.Blueprint, error)
	most time.Duration
}

// candidate is a directory and the result of loading it.
type candidate struct {
	folder string
	on     terms
	bp     fleet.Blueprint
	err    error
}

func open(from Sources, cacheDir string, by loading) (*Catalogue, error) {
	if err := os.MkdirAll(cacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("make blueprint cache: %w", err)
	}
	if err := sweep(cacheDir); err != nil {
		return nil, err
	}
	folders := untrusted
	folders.trusted = from.Trusted
	var all []*candidate
	for _, group := range []struct {
		dirs []string
		on   terms
	}{{from.Builtin, offered}, {from.Folders, folders}} {
		for _, dir := range group.dirs {
			found, err := expand(dir, group.on)
			if err != nil {
				return nil, err
			}
			all = append(all, found...)
		}
	}
	loadAll(all, cacheDir, by)
	c := &Catalogue{cacheDir: cacheDir}
	c.offer(all, from.Overrides)
	c.remember()
	slices.SortFunc(c.blueprints, func(a, b fleet.Blueprint) int {
		return cmp.Or(cmp.Compare(a.Ref.Name, b.Ref.Name), -compareVersions(a.Ref.Version, b.Ref.Version))
	})
	return c, nil
}

// loadAll loads directories in parallel. One that takes too long is abandoned and delays no other.
func loadAll(all []*candidate, cacheDir string, by loading) {
	slots := make(chan struct{}, together)
	var wg sync.WaitGroup
	for _, one := range all {
		if one.err != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			one.bp, one.err = by.inTime(one.folder, cacheDir, one.on)
		})
	}
	wg.Wait()
}

func (by loading) inTime(folder, cacheDir string, on terms) (fleet.Blueprint, error) {
	type result struct {
		bp  fleet.Blueprint
		err error
	}
	done := make(chan result, 1)
	go func() {
		bp, err := by.load(folder, cacheDir, on)
		done <- result{bp, err}
	}()
	late := time.NewTimer(by.most)
	defer late.Stop()
	select {
	case r := <-done:
		return r.bp, r.err
	case <-late.C:
		return fleet.Blueprint{}, fleet.Errorf(fleet.CodeInvalid, "load blueprint %s: reading and checking its files took longer than %s", folder, by.most)
	}
}

// offer adds loaded blueprints to the catalogue: the built-in ones first, whose names are then taken.
func (c *Catalogue) offer(all []*candidate, overrides []string) {
	builtin := map[string]bool{}
	for _, one := range all {
		if one.err == nil && one.on.guard == nil {
			builtin[one.bp.Ref.Name] = true
		}
	}
	replaced := map[string]bool{}
	for _, one := range all {
		if name := one.bp.Ref.Name; one.err == nil && one.on.guard != nil && builtin[name] {
			if !slices.Contains(overrides, name) {
				one.err = fleet.Errorf(fleet.CodeInvalid, "load blueprint %s: a built-in blueprint has the name %s: rename it, or set blueprint_overrides to [%s]", one.folder, name, name)
				continue
			}
			replaced[name] = true
			c.overridden = append(c.overridden, Overridden{Name: name, Folder: one.folder})
		}
	}
	for _, one := range all {
		if one.err == nil && (one.on.guard != nil || !replaced[one.bp.Ref.Name]) {
			one.err = c.add(one.bp, one.folder)
		}
		if one.err != nil {
			c.refused = append(c.refused, Refused{Folder: one.folder, Err: one.err})
		}
	}
	for _, name := range overrides {
		if !builtin[name] {
			c.refused = append(c.refused, Refused{Folder: "blueprint_overrides", Err: fleet.Errorf(fleet.CodeInvalid, "no built-in blueprint is named %q", name)})
		}
	}
}

// remember keeps the offered files in memory, besides the cache.
func (c *Catalogue) remember() {
	c.files = map[string]fileSet{}
	for _, bp := range c.blueprints {
		// Dir reports files that cannot be read or were altered.
		if files, err := read(bp.Dir, stored); err == nil && files.digest() == bp.Ref.Digest {
			c.files[bp.Ref.Digest] = files
		}
	}
}

// Refused returns the directories that are not offered, in order.
func (c *Catalogue) Refused() []Refused { return slices.Clone(c.refused) }

// Overridden returns the built-in blueprints that directories replace.
func (c *Catalogue) Overridden() []Overridden { return slices.Clone(c.overridden) }

// expand returns the blueprint directories of dir; those that are already invalid with their error.
func expand(dir string, on terms) ([]*candidate, error) {
	if isBlueprint(dir) {
		return []*candidate{{folder: dir, on: on}}, nil
	}
	folder, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open blueprint directory: %w", err)
	}
	entries, err := folder.ReadDir(maxEntries + 1)
	if err = errors.Join(err, folder.Close()); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("open blueprint directory: %w", err)
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	// Whoever can write to the parent directory can replace its directories.
	var foreign error
	if on.guard != nil {
		info, err := os.Lstat(dir)
		switch {
		case err != nil:
			return nil, fmt.Errorf("open blueprint directory: %w", err)
		case !info.IsDir():
			foreign = fleet.Errorf(fleet.CodeInvalid, "%s is a link; use the directory itself", dir)
		default:
			foreign = on.guard(info)
		}
	}
	var found []*candidate
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if !isBlueprint(path) {
			continue
		}
		one := &candidate{folder: path, on: on}
		if foreign != nil {
			one.err = fleet.Errorf(fleet.CodeInvalid, "load blueprint %s: directory %w; only root and bothyd's user may have write access", path, foreign)
		} else if len(found) >= maxFolders || len(entries) > maxEntries {
			one.err = fleet.Errorf(fleet.CodeInvalid, "load blueprint %s: more than %d blueprints, or %d entries, in %s", path, maxFolders, maxEntries, dir)
		}
		found = append(found, one)
	}
	if len(found) == 0 {
		return nil, fleet.Errorf(fleet.CodeInvalid, "open blueprint directory %s: neither it nor one of its directories has a %s", dir, ManifestName)
	}
	return found, nil
}

// add refuses two contents under one name and version: a version of a blueprint never changes.
func (c *Catalogue) add(bp fleet.Blueprint, folder string) error {
	for _, other := range c.blueprints {
		if other.Ref == bp.Ref {
			return nil
		}
		if other.Ref.String() == bp.Ref.String() {
			return fleet.Errorf(fleet.CodeInvalid, "load blueprint %s: %s exists with other content; raise its version", folder, bp.Ref)
		}
	}
	c.blueprints = append(c.blueprints, bp)
	return nil
}

// Get returns a blueprint by name (its newest version) or name@version. The error has CodeNotFound, and the nearest name as its hint.
func (c *Catalogue) Get(name string) (fleet.Blueprint, error) {
	var names, versions []string
	base, _, exact := strings.Cut(name, "@")
	for _, bp := range c.blueprints {
		if bp.Ref.String() == name || !exact && bp.Ref.Name == name {
			return bp, nil
		}
		if bp.Ref.Name == base {
			versions = append(versions, bp.Ref.Version)
		}
		names = append(names, bp.Ref.Name)
	}
	err := fleet.Errorf(fleet.CodeNotFound, "there is no blueprint %.80q", name)
	names = slices.Compact(names)
	near := fleet.Nearest(base, names)
	switch {
	case len(versions) > 0:
		return fleet.Blueprint{}, err.WithHint("Versions of %s: %s.", base, strings.Join(versions, ", "))
	case near != "":
		return fleet.Blueprint{}, err.WithHint("Did you mean %s?", near)
	case len(names) > 0:
		return fleet.Blueprint{}, err.WithHint("Available blueprints: %s.", strings.Join(names, ", "))
	}
	return fleet.Blueprint{}, err.WithHint("bothyd has loaded none; its setting blueprints lists their directories.")
}

// List returns every blueprint, by name, newest version first.
func (c *Catalogue) List() []fleet.Blueprint { return slices.Clone(c.blueprints) }

// Dir returns the directory of a digest, also of one that is no longer on offer. The directory of an offered one is written again if it
// was removed. CodeNotFound if it was never loaded here; an error if its content was altered.
func (c *Catalogue) Dir(digest string) (string, error) {
	dir, err := kept(digest, c.cacheDir)
	if files, offered := c.files[digest]; offered && fleet.CodeOf(err) == fleet.CodeNotFound {
		c.mu.Lock()
		defer c.mu.Unlock()
		return keep(files, c.cacheDir)
	}
	if err != nil {
		return "", err
	}
	return dir, nil
}

// compareVersions orders versions of three numbers, and a pre-release before its release.
func compareVersions(a, b string) int {
	coreA, preA, _ := strings.Cut(a, "-")
	coreB, preB, _ := strings.Cut(b, "-")
	if c := slices.CompareFunc(strings.Split(coreA, "."), strings.Split(coreB, "."), compareNumbers); c != 0 {
		return c
	}
	switch {
	case preA == preB:
		return 0
	case preA == "":
		return 1
	case preB == "":
		return -1
	}
	return slices.CompareFunc(strings.Split(preA, "."), strings.Split(preB, "."), compareNumbers)
}

// compareNumbers compares two parts as numbers if both are, otherwise as text; a number comes before text.
func compareNumbers(a, b string) int {
	x, errX := strconv.ParseUint(a, 10, 64)
	y, errY := strconv.ParseUint(b, 10, 64)
	switch {
	case errX == nil && errY == nil:
		return cmp.Compare(x, y)
	case errX == nil:
		return -1
	case errY == nil:
		return 1
	}
	return cmp.Compare(a, b)
}
