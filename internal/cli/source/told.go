package source

import (
	"io/fs"
	"path/filepath"
)

// Notes say what of the tree does not arrive as it is here, one sentence each.
func (t Tree) Notes() []string {
	var all []string
	for _, n := range []struct {
		before string
		names  []string
	}{
		{"not copied, because they are no files, folders or links: ", t.Skipped},
		{"set-user-ID and set-group-ID bits of files are not copied: ", t.SetID},
		{"extended attributes are not copied: ", t.Attributes},
		{".git is not copied (--git copies it) of: ", t.LeftHistory},
		{"git cannot read these repositories, so their files were chosen by their .gitignore alone: ", t.Broken},
	} {
		if len(n.names) > 0 {
			all = append(all, n.before+Few(n.names))
		}
	}
	if len(t.Worktrees) > 0 {
		all = append(all, "working trees in the folder are copied as well (.gitignore leaves them out): "+Few(t.Worktrees))
	}
	for _, w := range t.Warnings {
		all = append(all, "git: "+w)
	}
	return all
}

// Told is what a Tree tells of one file that does not arrive as it is.
func Told(file string, info fs.FileInfo) Tree {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	t := Tree{Dir: filepath.Dir(file)}
	t.tell(Entry{Path: filepath.Base(file), Mode: info.Mode()}, info)
	return t
}

// tell notes what of an entry is left out.
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
