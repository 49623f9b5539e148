package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/sweep"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

// tidy removes what a process of this folder left half-written when it was killed: one may hold the key or the database in clear. The
// folder's lock is held.
func (d *stateDir) tidy() error {
	entries, err := os.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("cannot list the state directory: %w", err)
	}
	for _, e := range entries {
		if !halfWritten.MatchString(e.Name()) {
			continue
		}
		if err := os.RemoveAll(d.join(e.Name())); err != nil {
			return fmt.Errorf("cannot delete the files of a killed process: %w", err)
		}
	}
	return nil
}

// halfWritten matches the names that replace and restore write under first.
var halfWritten = regexp.MustCompile(`^\.(restore|restored|key|daemon|workers|instance|marks)-[0-9]+$`)

// hostFolders are the folders that this daemon keeps for one host.
type hostFolders struct {
	// above holds all but the sockets where their path would be too long; "" for the only host of a daemon without a file of hosts.
	above               string
	work, etcs, sockets string
}

// foldersOf gives the folders for a host.
func (d *stateDir) foldersOf(host string) hostFolders {
	if host == localHost {
		return hostFolders{"", d.join("terraform"), d.join("etc"), socketFolder(d.join("sockets"))}
	}
	above := d.join("hosts", host)
	return hostFolders{above, filepath.Join(above, "terraform"), filepath.Join(above, "etc"), socketFolder(filepath.Join(above, "sockets"))}
}

// leftHosts gives the hosts that are not declared any more, of which there still are folders.
func leftHosts(dir *stateDir, declared []daemon.Host) ([]sweep.LeftHost, error) {
	known := func(name string) bool {
		return slices.ContainsFunc(declared, func(h daemon.Host) bool { return h.Name == name })
	}
	var names []string
	entries, err := os.ReadDir(dir.join("hosts"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("cannot list hosts that are no longer declared: %w", err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if _, err := os.Lstat(dir.foldersOf(localHost).work); err == nil {
		names = append(names, localHost)
	}
	var left []sweep.LeftHost
	for _, name := range names {
		if known(name) {
			continue
		}
		at := dir.foldersOf(name)
		left = append(left, sweep.LeftHost{Name: name, Work: terraform.Works(at.work), Etcs: docker.Etcs(at.etcs), Remove: at.remove})
	}
	return left, nil
}

// remove deletes the directories of a host that is no longer declared.
func (f hostFolders) remove() error {
	err := errors.Join(terraform.Works(f.work).Leave(), os.RemoveAll(f.etcs), os.RemoveAll(f.sockets))
	if err == nil && f.above != "" {
		err = os.RemoveAll(f.above)
	}
	if err != nil {
		return fmt.Errorf("cannot delete the directories of a host that is no longer declared: %w", err)
	}
	return nil
}
