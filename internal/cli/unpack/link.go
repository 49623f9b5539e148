package unpack

import (
	"archive/tar"
	"fmt"
	"path"
	"strings"
)

// link is a link to create at the end.
type link struct {
	name   string
	header *tar.Header
}

// keepLink checks the text of a link and keeps the link for the end.
func (x *extractor) keepLink(h *tar.Header, name string) error {
	h = x.homeward(h, name)
	target := h.Linkname
	x.seen[name] = aLink // even if refused: entries below it must not be written
	switch {
	case len(target) > maxName || strings.Count(target, "/") > maxParts:
		return refusef("link target of more than %d bytes or %d elements", maxName, maxParts)
	case target == "" || strings.ContainsRune(target, 0):
		return refusal("link without target")
	case path.IsAbs(target) || strings.HasPrefix(path.Join(path.Dir(name), target)+"/", "../"):
		return refusef("link to %s, outside the copy", quoted(target))
	}
	x.links = append(x.links, link{name: name, header: h})
	return nil
}

// homeward rewrites a link that leaves the directory and returns by its name, as self -> ../src in src does, to a target within the
// directory: the target is part of the copy, whatever the copy is called.
func (x *extractor) homeward(h *tar.Header, name string) *tar.Header {
	inner := ""
	if dir := path.Dir(name); dir != "." {
		inner = strings.Repeat("../", strings.Count(dir, "/")+1)
	}
	rest, ok := strings.CutPrefix(h.Linkname, inner+"../"+x.top)
	if !ok || rest != "" && rest[0] != '/' {
		return h
	}
	home := *h
	if home.Linkname = strings.TrimSuffix(inner+strings.TrimLeft(rest, "/"), "/"); home.Linkname == "" {
		home.Linkname = "."
	}
	return &home
}

// makeLinks creates the links. All files are written already, so none can be written through a link.
func (x *extractor) makeLinks() error {
	made := x.links[:0]
	for _, l := range x.links {
		if !x.steady(l.name, l.header.Linkname) {
			x.refuse(l.header, fmt.Sprintf("link to %s, which may lead outside the copy through other links", quoted(l.header.Linkname)))
			continue
		}
		if err := x.clear(l.name); err != nil {
			return entryError(l.header, err)
		}
		if err := x.root.Symlink(l.header.Linkname, l.name); err != nil {
			return entryError(l.header, err)
		}
		made = append(made, l)
	}
	if x.fresh {
		return nil
	}
	// Links that existed before may lead anywhere.
	for _, l := range made {
		if stayInside(x.root, l.name, l.header.Linkname) {
			continue
		}
		if err := x.root.Remove(l.name); err != nil {
			return fmt.Errorf("cannot remove link: %w", err)
		}
		x.refuse(l.header, fmt.Sprintf("link to %s, which leads outside the copy through an existing link", quoted(l.header.Linkname)))
	}
	return nil
}

// steady reports whether every ".." in a link's target leaves a directory, never a link or a missing name. A copy never replaces a
// directory by a link. Therefore such a link stays inside, whatever the links on its path become later: each of them is steady too,
// and after the first one the path only goes down.
func (x *extractor) steady(name, target string) bool {
	at, sure := path.Dir(name), true
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if !sure || at == "." {
				return false
			}
			at = path.Dir(at)
		default:
			at = path.Join(at, part)
			sure = sure && x.isFolder(at)
		}
	}
	return true
}

func (x *extractor) isFolder(name string) bool {
	switch x.seen[name] {
	case aFolder:
		return true
	case 0:
		info, err := x.root.Lstat(name)
		return err == nil && info.IsDir()
	}
	return false
}
