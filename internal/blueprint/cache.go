package blueprint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
)

var digestRE = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// unfinished is the prefix of directories that are still being written.
const unfinished = ".new-"

// keep writes the files to cacheDir/<digest>, all or nothing, and returns that directory's absolute path.
func keep(files fileSet, cacheDir string) (string, error) {
	digest := files.digest()
	dir, err := kept(digest, cacheDir)
	if err == nil || !errors.Is(err, errAltered) && fleet.CodeOf(err) != fleet.CodeNotFound {
		return dir, err
	}
	if errors.Is(err, errAltered) {
		if err := discard(dir); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(cacheDir, 0o700); err != nil {
		return "", fmt.Errorf("make blueprint cache: %w", err)
	}
	part, err := os.MkdirTemp(cacheDir, unfinished)
	if err != nil {
		return "", fmt.Errorf("make blueprint cache: %w", err)
	}
	if err := write(files, part, dir); err != nil {
		return "", errors.Join(err, discard(part))
	}
	return dir, nil
}

func write(files fileSet, part, dir string) error {
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(part, name), data, 0o400); err != nil {
			return fmt.Errorf("write blueprint cache: %w", err)
		}
	}
	if err := os.Chmod(part, 0o500); err != nil {
		return fmt.Errorf("write blueprint cache: %w", err)
	}
	err := os.Rename(part, dir)
	if errors.Is(err, fs.ErrExist) {
		// Another process was quicker with the same content.
		return discard(part)
	}
	if err != nil {
		return fmt.Errorf("write blueprint cache: %w", err)
	}
	return nil
}

var errAltered = errors.New("its content no longer matches its name")

// kept returns the directory of a digest after comparing its content with its name: CodeNotFound when there is none, errAltered (and the
// directory) when it does not match.
func kept(digest, cacheDir string) (string, error) {
	if !digestRE.MatchString(digest) {
		return "", fleet.Errorf(fleet.CodeInvalid, "blueprint digest %.80q is not sha256: and 64 hex digits", digest)
	}
	dir, err := filepath.Abs(filepath.Join(cacheDir, strings.TrimPrefix(digest, digestPrefix)))
	if err != nil {
		return "", fmt.Errorf("find blueprint %s: %w", digest, err)
	}
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return dir, fleet.Errorf(fleet.CodeNotFound, "unknown blueprint digest %s", digest)
	}
	files, err := read(dir, stored)
	if err == nil && files.digest() == digest {
		return dir, nil
	}
	return dir, fmt.Errorf("find blueprint %s in %s: %w", digest, dir, errors.Join(errAltered, err))
}

// discard removes a directory of the cache, even if it is read-only.
func discard(dir string) error {
	// If this fails, so does RemoveAll, which reports it.
	_ = os.Chmod(dir, 0o700)
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("clear blueprint cache: %w", err)
	}
	return nil
}

// Tidy removes from the cache blueprints that are neither on offer nor needed by their digest.
func (c *Catalogue) Tidy(_ context.Context, known func(digest string) bool) error {
	entries, err := os.ReadDir(c.cacheDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the cache was removed; Dir writes it again
	}
	if err != nil {
		return fmt.Errorf("list blueprint cache: %w", err)
	}
	var errs []error
	for _, e := range entries {
		digest := digestPrefix + e.Name()
		// Anything else is being written, or belongs to others.
		if !digestRE.MatchString(digest) || known(digest) || c.offers(digest) {
			continue
		}
		errs = append(errs, discard(filepath.Join(c.cacheDir, e.Name())))
	}
	return errors.Join(errs...)
}

func (c *Catalogue) offers(digest string) bool {
	return slices.ContainsFunc(c.blueprints, func(bp fleet.Blueprint) bool { return bp.Ref.Digest == digest })
}

// sweep removes the leftovers of an interrupted Load.
func sweep(cacheDir string) error {
	left, err := filepath.Glob(filepath.Join(cacheDir, unfinished+"*"))
	if err != nil {
		return fmt.Errorf("clear blueprint cache: %w", err)
	}
	for _, dir := range left {
		if err := discard(dir); err != nil {
			return err
		}
	}
	return nil
}
