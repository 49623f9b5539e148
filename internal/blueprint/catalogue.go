package blueprint

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Catalogue holds the blueprints on offer. It does not change once opened and is safe for concurrent use.
type Catalogue struct {
	blueprints []fleet.Blueprint // by name, newest version first
	cacheDir   string
}

// Open loads the blueprints of folders; each folder is a blueprint itself or
// holds blueprints in folders of its own. When some are wrong, the catalogue holds the others and
// the error tells of all that are wrong, so that the caller may choose; without a usable
// folder or cache the catalogue is nil. Only one process may use a cacheDir.
func Open(dirs []string, cacheDir string) (*Catalogue, error) {
	if err := os.MkdirAll(cacheDir, 0o700); err != nil {
		return nil, fmt.Errorf("make blueprint cache: %w", err)
	}
	if err := sweep(cacheDir); err != nil {
		return nil, err
	}
	c := &Catalogue{cacheDir: cacheDir}
	var wrong []error
	for _, dir := range dirs {
		folders, err := expand(dir)
		if err != nil {
			return nil, err
		}
		for _, folder := range folders {
			bp, err := Load(folder, cacheDir)
			if err == nil {
				err = c.add(bp, folder)
			}
			if err != nil {
				wrong = append(wrong, err)
			}
		}
	}
	slices.SortFunc(c.blueprints, func(a, b fleet.Blueprint) int {
		return cmp.Or(cmp.Compare(a.Ref.Name, b.Ref.Name), -compareVersions(a.Ref.Version, b.Ref.Version))
	})
	return c, errors.Join(wrong...)
}

// expand gives the blueprint folders that dir stands for.
func expand(dir string) ([]string, error) {
	if isBlueprint(dir) {
		return []string{dir}, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("open blueprint folder: %w", err)
	}
	var folders []string
	for _, e := range entries {
		if folder := filepath.Join(dir, e.Name()); isBlueprint(folder) {
			folders = append(folders, folder)
		}
	}
	if len(folders) == 0 {
		return nil, fleet.Errorf(fleet.CodeInvalid, "open blueprint folder %s: there is no %s in it or in a folder of it", dir, ManifestName)
	}
	return folders, nil
}

// add refuses two contents under one name and version: a blueprint never changes under its version.
func (c *Catalogue) add(bp fleet.Blueprint, folder string) error {
	for _, other := range c.blueprints {
		if other.Ref == bp.Ref {
			return nil
		}
		if other.Ref.String() == bp.Ref.String() {
			return fleet.Errorf(fleet.CodeInvalid, "load blueprint %s: %s is already there with other content; raise its version", folder, bp.Ref)
		}
	}
	c.blueprints = append(c.blueprints, bp)
	return nil
}

// Get gives a blueprint by name (its newest version) or name@version.
// The error has CodeNotFound, and the nearest name as its hint.
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
		return fleet.Blueprint{}, err.WithHint("There are: %s.", strings.Join(names, ", "))
	}
	return fleet.Blueprint{}, err.WithHint("bothyd has none loaded; its setting blueprints names the folders.")
}

// List gives every blueprint, by name, newest version first.
func (c *Catalogue) List() []fleet.Blueprint { return slices.Clone(c.blueprints) }

// Dir gives the folder of a digest, also of one that is no longer on offer.
// CodeNotFound when it was never loaded here; an error when its content was altered.
func (c *Catalogue) Dir(digest string) (string, error) {
	dir, err := kept(digest, c.cacheDir)
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

// compareNumbers compares two parts as numbers where both are, as text else; a number comes before text.
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
