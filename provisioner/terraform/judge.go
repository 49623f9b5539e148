package terraform

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"

	"github.com/bothy-env/bothy/provisioner"
)

// judge decides whether an installed provider may be run: its address is one of Config.Providers, and what was
// installed is, byte by byte, what the mirror holds of it. It runs nothing.
func (d *Driver) judge(p provider) error {
	const op = "judge providers"
	if !slices.Contains(d.cfg.Providers, p.Address) {
		return provisioner.Errorf(provisioner.Permanent, op, "the blueprint uses the provider %s, which is not one of those allowed (%s)",
			p.Address, strings.Join(d.cfg.Providers, ", "))
	}
	at := filepath.Dir(p.Binary)
	held, err := d.mirrored(p, filepath.Base(at))
	switch {
	case errors.Is(err, fs.ErrNotExist) && d.cfg.CLIConfig != "":
		return nil // from another source, which whoever runs this daemon named
	case errors.Is(err, fs.ErrNotExist):
		return provisioner.Errorf(provisioner.Permanent, op, "the provider %s %s did not come from the mirror %s", p.Address, p.Version, d.cfg.Mirror)
	case err != nil:
		return fileError(op, err)
	}
	if resolved, err := filepath.EvalSymlinks(at); err == nil && resolved == held {
		return nil // init makes links into the mirror: these are its bytes
	}
	got, err := packageHash(at)
	if err != nil {
		return fileError(op, fmt.Errorf("hash installed provider: %w", err))
	}
	want, err := packageHash(held)
	if err != nil {
		return fileError(op, fmt.Errorf("hash provider in the mirror: %w", err))
	}
	if got != want {
		return provisioner.Errorf(provisioner.Permanent, op, "the provider %s %s is not the one that the mirror holds (%s, not %s)", p.Address, p.Version, got, want)
	}
	return nil
}

// mirrored is where the mirror holds a provider for a platform, its links resolved: a folder, or a package as it is released.
func (d *Driver) mirrored(p provider, platform string) (string, error) {
	if d.cfg.Mirror == "" {
		return "", fs.ErrNotExist
	}
	root := filepath.Join(d.cfg.Mirror, filepath.FromSlash(p.Address))
	held, err := filepath.EvalSymlinks(filepath.Join(root, p.Version, platform))
	if errors.Is(err, fs.ErrNotExist) {
		held, err = filepath.EvalSymlinks(filepath.Join(root, fmt.Sprintf("terraform-provider-%s_%s_%s.zip", filepath.Base(root), p.Version, platform)))
	}
	return held, err
}

// packageHash is the hash that Terraform's lock files call h1; it is the same for a folder and its archive.
func packageHash(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if info.IsDir() {
		return dirhash.HashDir(path, "", dirhash.Hash1)
	}
	return dirhash.HashZip(path, dirhash.Hash1)
}
