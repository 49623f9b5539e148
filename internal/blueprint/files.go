package blueprint

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/bothy-env/bothy/internal/files"
	"github.com/bothy-env/bothy/internal/fleet"
)

// Limits of a blueprint's directory. Everything done with the files takes linear time.
const (
	maxEntries   = 1000
	maxFiles     = 100
	maxFileBytes = 256 << 10
	// maxManifest bounds blueprint.yaml; parsing YAML uses several hundred times as many bytes.
	maxManifest = 64 << 10
	maxBytes    = 1 << 20
)

// terms are the conditions for reading a directory.
type terms struct {
	// guard, when not nil, checks the directory and each file after they were opened.
	guard func(os.FileInfo) error
	// fileBytes bounds a file, bytes all of them together.
	fileBytes, bytes int
	// trusted are the digests whose Terraform is not checked.
	trusted []string
	// kept: accept what an earlier version may have accepted, because its environments must still be destroyed.
	kept bool
}

var (
	offered   = terms{fileBytes: maxFileBytes, bytes: maxBytes}
	untrusted = terms{fileBytes: maxFileBytes, bytes: maxBytes, guard: guarded}
	stored    = terms{fileBytes: 1 << 20, bytes: maxFiles << 20, kept: true}
)

// lockName is Terraform's record of provider versions and hashes.
const lockName = ".terraform.lock.hcl"

// fileSet has the files of a blueprint, by name. They are read once: what was checked is what is digested and kept.
type fileSet map[string][]byte

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

// read reads blueprint.yaml, the *.tf files and the lock file of a directory. Other files (README, example) are not part of a blueprint.
// It never leaves the directory, not even by links.
func read(dir string, on terms) (files fileSet, err error) {
	before, err := os.Lstat(dir)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	if !before.IsDir() {
		return nil, fleet.Errorf(fleet.CodeInvalid, "it is a link or a file; a blueprint is a directory")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	names, err := list(root, before, on)
	if err != nil {
		return nil, err
	}
	files = fileSet{}
	left := on.bytes
	for _, name := range names {
		if files[name], err = readFile(root, name, left, on); err != nil {
			return nil, err
		}
		left -= len(files[name])
	}
	if files[ManifestName] == nil {
		return nil, fleet.Errorf(fleet.CodeInvalid, "it has no %s", ManifestName)
	}
	return files, nil
}

// list returns the names of the files of a blueprint, in order. before is the directory as it was found.
func list(root *os.Root, before os.FileInfo, on terms) (names []string, err error) {
	folder, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("open directory: %w", err)
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	now, err := folder.Stat()
	if err != nil || !os.SameFile(before, now) {
		return nil, errors.Join(fleet.Errorf(fleet.CodeInvalid, "the directory was replaced while it was opened"), err)
	}
	if on.guard != nil {
		if err := on.guard(called{now, before.Name()}); err != nil {
			return nil, fleet.Errorf(fleet.CodeInvalid, "directory %w; only root and bothyd's user may change a blueprint", err)
		}
	}
	entries, err := folder.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("list directory: %w", err)
	}
	if len(entries) > maxEntries {
		return nil, fleet.Errorf(fleet.CodeInvalid, "more than %d entries in the directory", maxEntries)
	}
	for _, e := range entries {
		take, why := concerns(e.Name())
		if why != "" && !on.kept {
			return nil, wrong(e.Name(), "this file", why)
		}
		if !take {
			continue
		}
		if !e.Type().IsRegular() {
			return nil, wrong(e.Name(), "a link, directory or device", "a plain file")
		}
		names = append(names, e.Name())
	}
	if len(names) > maxFiles {
		return nil, fleet.Errorf(fleet.CodeInvalid, "more than %d files", maxFiles)
	}
	slices.Sort(names)
	return names, nil
}

// wrong is a file that is not allowed as it is.
func wrong(name, found, want string) error {
	return fleet.Errorf(fleet.CodeInvalid, "%w", &Refusal{Errors: Errors{{File: name, Line: 1, Col: 1, Found: found, Want: want}}})
}

// concerns reports whether a file is part of a blueprint, or why it is not allowed at all.
func concerns(name string) (take bool, why string) {
	switch {
	case name == ManifestName || name == lockName:
		return true, ""
	case strings.HasSuffix(name, ".tf.json"), strings.HasSuffix(name, ".tofu"), strings.HasSuffix(name, ".tofu.json"):
		return false, "Terraform in *.tf files, which can be checked"
	case strings.HasSuffix(name, ".tfvars"), strings.HasSuffix(name, ".tfvars.json"):
		return false, "none: values come from bothy alone; defaults belong into " + ManifestName
	case name == "override.tf", strings.HasSuffix(name, "_override.tf"):
		return true, "none: Terraform merges an override file over the others; move its contents into them"
	case strings.HasSuffix(name, ".tf"):
		if !plainName.MatchString(name) {
			return false, `a name made of letters, digits, "_", "." and "-"`
		}
		return true, ""
	}
	return false, ""
}

// called is a file's info under another name: an open directory's is ".".
type called struct {
	os.FileInfo
	name string
}

func (c called) Name() string { return c.name }

// readFile reads a file of up to left bytes.
func readFile(root *os.Root, name string, left int, on terms) (data []byte, err error) {
	// Without blocking, in case it has become a pipe since the listing, and without following a link.
	f, err := root.OpenFile(name, os.O_RDONLY|asItIs, 0)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(wrong(name, "a link, directory or device", "a plain file"), err)
	}
	if on.guard != nil {
		if err := on.guard(info); err != nil {
			return nil, wrong(name, err.Error(), "a file that only root or bothyd's user can change")
		}
	}
	most := on.fileBytes
	if name == ManifestName && !on.kept {
		most = maxManifest
	}
	data, err = io.ReadAll(io.LimitReader(f, int64(min(left, most))+1))
	if err != nil {
		return nil, fmt.Errorf("read file %s: %w", name, err)
	}
	switch {
	case len(data) > most:
		return nil, wrong(name, fmt.Sprintf("more than %d bytes", most), "a smaller file")
	case len(data) > left:
		return nil, wrong(name, fmt.Sprintf("more than %d bytes with the files before it", on.bytes), "smaller files")
	}
	return data, nil
}

// guarded refuses files that others than their owner may write, and files owned by neither root nor this process's user.
func guarded(info os.FileInfo) error { return files.Guarded(info, files.NoWriting) }

// digest identifies names and contents, each with its length, so that no two sets have the same digest. Modes and times do not count.
func (f fileSet) digest() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(f)) {
		for _, part := range [][]byte{[]byte(name), f[name]} {
			h.Write([]byte(strconv.Itoa(len(part)) + ":"))
			h.Write(part)
		}
	}
	return digestPrefix + hex.EncodeToString(h.Sum(nil))
}

const digestPrefix = "sha256:"
