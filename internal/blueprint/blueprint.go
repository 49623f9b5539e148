// Package blueprint loads golden paths: it reads and checks blueprint.yaml and
// the Terraform files beside it, digests them, and keeps every digest in a
// content-addressed folder, so that an environment is destroyed by exactly what made it.
//
// What Terraform itself thinks of the files is the driver's business (Prepare);
// here is refused what bothy does not want Terraform to see at all.
package blueprint

import (
	"fmt"
	"os"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/strictyaml"
)

// ManifestName is the file that describes a blueprint.
const ManifestName = "blueprint.yaml"

// Errors are all wrong places of a blueprint's files: file, line, column, what was found, what is allowed.
type Errors = strictyaml.Errors

// Load reads, checks and digests the blueprint in folder dir, and copies its
// files to a folder of cacheDir named by the digest. The blueprint's Dir is that
// copy, which is read-only and never changes. Wrong files give Errors with CodeInvalid.
func Load(dir, cacheDir string) (fleet.Blueprint, error) {
	files, err := read(dir)
	if err != nil {
		return fleet.Blueprint{}, fmt.Errorf("load blueprint %s: %w", dir, err)
	}
	bp, err := check(files)
	if err != nil {
		return fleet.Blueprint{}, fleet.Errorf(fleet.CodeInvalid, "load blueprint %s: %w", dir, err)
	}
	bp.Ref.Digest = files.digest()
	bp.Dir, err = keep(files, cacheDir)
	if err != nil {
		return fleet.Blueprint{}, fmt.Errorf("load blueprint %s: %w", dir, err)
	}
	return bp, nil
}

// check gives the blueprint that the files describe, or Errors.
func check(files fileSet) (fleet.Blueprint, error) {
	bp, errs := parseManifest(files[ManifestName])
	// The Terraform files are looked at either way: a person wants to see everything at once.
	names := make([]string, len(bp.Inputs))
	for i, in := range bp.Inputs {
		names[i] = in.Name
	}
	errs = append(errs, checkTerraform(files, names, errs == nil)...)
	if len(errs) > 0 {
		return fleet.Blueprint{}, errs
	}
	return bp, nil
}

// isBlueprint reports whether a folder holds a manifest.
func isBlueprint(dir string) bool {
	_, err := os.Lstat(dir + "/" + ManifestName)
	return err == nil
}
