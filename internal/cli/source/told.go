package source

import (
	"io/fs"
	"path/filepath"
)

// Notes list the files that do not arrive unchanged, one sentence per kind.
func (t Tree) Notes() []string {
	var all []string
	for _, n := range []struct {
		before string
		names  []string
	}{
		{"skipped special files (sockets, pipes, devices): ", t.Skipped},
		{"dropped set-user-ID and set-group-ID bits: ", t.SetID},
		{"dropped extended attributes: ", t.Attributes},
		{"skipped .git (--git includes it) in: ", t.LeftHistory},
		{"git cannot read these nested repositories, using only their .gitignore: ", t.Broken},
	} {
		if len(n.names) > 0 {
			all = append(all, n.before+Few(n.names))
		}
	}
	if len(t.Worktrees) > 0 {
		all = append(all, "including nested working trees (exclude them with .gitignore): "+Few(t.Worktrees))
	}
	for _, w := range t.Warnings {
		all = append(all, "git: "+w)
	}
	return all
}

// Told returns a Tree with the notes on one file.
func Told(file string, info fs.FileInfo) Tree {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	t := Tree{Dir: filepath.Dir(file)}
	t.tell(Entry{Path: filepath.Base(file), Mode: info.Mode()}, info)
	return t
}

// tell records what the copy of an entry drops.
func (t *Tree) tell(e Entry, info fs.FileInfo) {
	if e.Mode.IsRegular() && e.Mode&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
		t.SetID = append(t.SetID, e.Path)
	}
	if e.Mode.IsRegular() && sparseInfo(info) {
		t.Sparse = append(t.Sparse, e.Path)
	}
	if e.Mode.Type() != fs.ModeSymlink && hasAttributes(filepath.Join(t.Dir, e.Path)) {
		t.Attributes = append(t.Attributes, e.Path)
	}
}
