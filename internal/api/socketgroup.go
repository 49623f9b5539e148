package api

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// group is one whose members may use the socket beside its owner.
type group struct {
	name string
	gid  int
}

// groupNamed finds a group of this machine; nil for the empty name.
func groupNamed(name string) (*group, error) {
	if name == "" {
		return nil, nil
	}
	found, err := user.LookupGroup(name)
	if err != nil {
		return nil, fmt.Errorf("listen.unix_group: there is no group %q on this machine: make it with groupadd, or name one that getent group lists", name)
	}
	gid, err := strconv.Atoi(found.Gid)
	if err != nil {
		return nil, fmt.Errorf("listen.unix_group: group %q has the id %q: %w", name, found.Gid, err)
	}
	return &group{name, gid}, nil
}

// letIn gives the socket to the group. Until it has it, nobody but the owner may use it.
func (g *group) letIn(path string) error {
	if err := os.Chown(path, -1, g.gid); err != nil {
		return fmt.Errorf("listen.unix_group: give the socket to group %s: %w: run bothyd as root or as a member of that group", g.name, err)
	}
	return os.Chmod(path, 0o660)
}

// makeFolder makes the socket's folder, for the group to pass through. One that is there is left as it is.
func (g *group) makeFolder(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chown(dir, -1, g.gid); err != nil {
		return errors.Join(fmt.Errorf("listen.unix_group: cannot change the group of directory %s to %s: %w: run bothyd as root or as a member of that group", dir, g.name, err), os.Remove(dir))
	}
	return os.Chmod(dir, 0o710)
}

// reaches refuses a folder that members of the group cannot pass through, or that is below such a one.
func (g *group) reaches(dir string) error {
	for {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		mode, owner := info.Mode().Perm(), -1
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			owner = int(st.Gid)
		}
		if open := owner == g.gid && mode&0o010 != 0 || owner != g.gid && mode&0o001 != 0; !open {
			return fmt.Errorf("listen.unix_group: members of group %s cannot reach the socket, because directory %s has mode %04o and gid %d: "+
				"chgrp %[1]s and chmod g+x it, or choose another listen.unix", g.name, dir, mode, owner)
		}
		if dir == filepath.Dir(dir) {
			return nil
		}
		dir = filepath.Dir(dir)
	}
}
