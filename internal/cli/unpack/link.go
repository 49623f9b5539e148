package unpack

import (
	"archive/tar"
	"fmt"
	"path"
	"strings"
)

// link is one that is yet to be made.
type link struct {
	name   string
	header *tar.Header
}

// keepLink judges a link by its words alone, and keeps it for the end.
func (x *extractor) keepLink(h *tar.Header, name string) error {
	h = x.homeward(h, name)
	target := h.Linkname
	x.seen[name] = aLink // also when it is refused: what is said to lie behind it does not
	switch {
	case len(target) > maxName || strings.Count(target, "/") > maxParts:
		return refusef("a link to a name of more than %d bytes or %d parts", maxName, maxParts)
	case target == "" || strings.ContainsRune(target, 0):
		return refusal("a link to nothing")
	case path.IsAbs(target) || strings.HasPrefix(path.Join(path.Dir(name), target)+"/", "../"):
		return refusef("a link to %s, outside of the target", quoted(target))
	}
	x.links = append(x.links, link{name: name, header: h})
	return nil
}

// homeward gives a link that leaves the folder and comes back by the folder's own name, as self -> ../src in src does, the target that
// it has within the folder: what it leads to is part of the copy, whatever name that was given.
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

// makeLinks makes the links. All files are written, so nothing can go through one.
func (x *extractor) makeLinks() error {
	made := x.links[:0]
	for _, l := range x.links {
		if !x.steady(l.name, l.header.Linkname) {
			x.refuse(l.header, fmt.Sprintf("a link to %s, which may lead out of the target by way of other links", quoted(l.header.Linkname)))
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
	// Links that were there before may lead anywhere.
	for _, l := range made {
		if stayInside(x.root, l.name, l.header.Linkname) {
			continue
		}
		if err := x.root.Remove(l.name); err != nil {
			return fmt.Errorf("take away link: %w", err)
		}
		x.refuse(l.header, fmt.Sprintf("a link to %s, which leads out of the target by way of a link that was there before", quoted(l.header.Linkname)))
	}
	return nil
}

// steady reports whether a link's target steps back out of folders alone, never out of a link or of what is not there. No
// copy ever replaces a folder by a link, so such a link stays inside whatever the links that it goes through are made to be later:
// each of those is steady itself, and once one was passed there are steps down alone.
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
