package blueprint

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/bothy-env/bothy/internal/fleet"
)

// Limits of a blueprint's folder.
const (
	maxFiles     = 100
	maxFileBytes = 1 << 20
)

// lockName is Terraform's record of provider versions and hashes.
const lockName = ".terraform.lock.hcl"

// fileSet holds the files that make a blueprint, by name. They are read once:
// what was checked is what is digested and kept.
type fileSet map[string][]byte

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$`)

// read takes blueprint.yaml, the *.tf files and the lock file of a folder.
// Other files (README, example) are no part of a blueprint. The folder is never left, not by links either.
func read(dir string) (files fileSet, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	entries, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("list folder: %w", err)
	}
	files = fileSet{}
	for _, e := range entries {
		take, why := concerns(e.Name())
		if why != "" {
			return nil, fleet.Errorf(fleet.CodeInvalid, "%s: %s", e.Name(), why)
		}
		if !take {
			continue
		}
		if !e.Type().IsRegular() {
			return nil, fleet.Errorf(fleet.CodeInvalid, "%s: it is a link, folder or device; a blueprint is made of plain files", e.Name())
		}
		if files[e.Name()], err = readFile(root, e.Name()); err != nil {
			return nil, err
		}
		if len(files) > maxFiles {
			return nil, fleet.Errorf(fleet.CodeInvalid, "more than %d files", maxFiles)
		}
	}
	if files[ManifestName] == nil {
		return nil, fleet.Errorf(fleet.CodeInvalid, "there is no %s", ManifestName)
	}
	return files, nil
}

// concerns reports whether a file is part of a blueprint, or why it may not be there at all.
func concerns(name string) (take bool, why string) {
	switch {
	case name == ManifestName || name == lockName:
		return true, ""
	case strings.HasSuffix(name, ".tf.json"), strings.HasSuffix(name, ".tofu"), strings.HasSuffix(name, ".tofu.json"):
		return false, "Terraform files must be *.tf, which can be checked"
	case strings.HasSuffix(name, ".tfvars"), strings.HasSuffix(name, ".tfvars.json"):
		return false, "values come from bothy alone; defaults belong into " + ManifestName
	case strings.HasSuffix(name, ".tf"):
		if !plainName.MatchString(name) {
			return false, `a file's name is made of letters, digits, "_", "." and "-"`
		}
		return true, ""
	}
	return false, ""
}

func readFile(root *os.Root, name string) (data []byte, err error) {
	// Without waiting, should it have become a pipe since the listing.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fleet.Errorf(fleet.CodeInvalid, "%s: it is not a plain file", name)
	}
	data, err = io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read file %s: %w", name, err)
	}
	if len(data) > maxFileBytes {
		return nil, fleet.Errorf(fleet.CodeInvalid, "%s: more than %d bytes", name, maxFileBytes)
	}
	return data, nil
}

// digest identifies names and contents: each with its length, so that no two
// sets share one. Modes and times do not count.
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
