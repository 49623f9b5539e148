// Package blueprint loads golden paths: it reads and checks blueprint.yaml and the Terraform files beside it, digests them, and keeps
// every digest in a content-addressed directory, so that an environment is destroyed by exactly the files that created it.
//
// Whether Terraform accepts the files is the driver's business (Prepare); this package refuses files that Terraform must not see at all.
package blueprint

import (
	"fmt"
	"os"
	"slices"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/strictyaml"
)

// ManifestName is the file that describes a blueprint.
const ManifestName = "blueprint.yaml"

// Errors are problems in a blueprint's files: file, line, column, what was found, what is allowed.
type (
	Errors = strictyaml.Errors
	// Error is one of Errors.
	Error = strictyaml.Error
)

// Refusal lists the problems in a blueprint's files.
type Refusal struct {
	// Errors are the first problems, at least one.
	Errors Errors
	// More counts the others.
	More int
	// Digest identifies the files: the platform team may trust them all the same.
	Digest string
}

// Error returns a line for each problem.
func (r *Refusal) Error() string {
	if r.More == 0 {
		return r.Errors.Error()
	}
	return fmt.Sprintf("%s\nand %d more", r.Errors.Error(), r.More)
}

// Unwrap returns the Errors.
func (r *Refusal) Unwrap() error { return r.Errors }

// Load reads, checks and digests the blueprint in the directory dir, and copies its files to a directory of cacheDir named by the digest.
// The blueprint's Dir is that copy, which is read-only and never changes. Invalid files cause a Refusal with CodeInvalid.
func Load(dir, cacheDir string) (fleet.Blueprint, error) { return load(dir, cacheDir, offered) }

// Check is Load without a copy: the blueprint has no Dir. It accepts files of any owner.
func Check(dir string) (fleet.Blueprint, error) {
	_, bp, err := inspect(dir, offered)
	return bp, err
}

func load(dir, cacheDir string, on terms) (fleet.Blueprint, error) {
	files, bp, err := inspect(dir, on)
	if err != nil {
		return fleet.Blueprint{}, err
	}
	bp.Dir, err = keep(files, cacheDir)
	if err != nil {
		return fleet.Blueprint{}, fmt.Errorf("load blueprint %s: %w", dir, err)
	}
	return bp, nil
}

func inspect(dir string, on terms) (fileSet, fleet.Blueprint, error) {
	files, err := read(dir, on)
	if err != nil {
		return nil, fleet.Blueprint{}, fmt.Errorf("load blueprint %s: %w", dir, err)
	}
	bp, refusal := check(files, slices.Contains(on.trusted, files.digest()))
	if refusal != nil {
		refusal.Digest = files.digest()
		return nil, fleet.Blueprint{}, fleet.Errorf(fleet.CodeInvalid, "load blueprint %s: %w", dir, refusal)
	}
	bp.Ref.Digest = files.digest()
	return files, bp, nil
}

// check returns the blueprint that the files describe, or a Refusal. For a trusted one, only the manifest is checked.
func check(files fileSet, trusted bool) (fleet.Blueprint, *Refusal) {
	bp, errs := parseManifest(files[ManifestName])
	if bp.Trusted = trusted; trusted && len(errs) == 0 {
		return bp, nil
	}
	// The Terraform files are checked either way, so that a person sees all problems at once.
	wrong, more := checkTerraform(files, bp, errs == nil)
	if errs = append(errs, wrong...); len(errs) == 0 {
		return bp, nil
	}
	told := min(len(errs), maxErrors)
	return fleet.Blueprint{}, &Refusal{Errors: errs[:told:told], More: more + len(errs) - told}
}

// isBlueprint reports whether a directory has a manifest.
func isBlueprint(dir string) bool {
	_, err := os.Lstat(dir + "/" + ManifestName)
	return err == nil
}
