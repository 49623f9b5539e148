package tarstream

import (
	"archive/tar"
	"path"
	"strings"
)

// kind is what a name of the stream stands for.
type kind byte

const (
	kindDir kind = iota + 1
	kindFile
	kindLink
)

// tarChecker checks the entries of one tar stream. It knows the tree as the stream has built it so far. A link may lead anywhere, as
// it is the sandbox that follows it: nothing of the stream lies behind one, and none takes the place of anything else or has its place
// taken, so that nothing is ever written through one. A name is walked part by part from its folder's number, so that looking it up
// costs its length, however deep it is.
type tarChecker struct {
	parts map[part]node
	nodes []treeNode
	// names counts the bytes that are remembered, looked the look-ups: the memory and the work.
	names, looked int
}

// part is one name in one folder.
type part struct {
	in   node
	name string
}

// node is the number of a name; the folder that is unpacked into has 0.
type node int32

const rootNode, noNode node = 0, -1

type treeNode struct {
	kind kind
}

func newTarChecker() *tarChecker {
	return &tarChecker{parts: map[part]node{}, nodes: []treeNode{{kind: kindDir}}}
}

// at finds a name in a folder, and notes it when it is new: it then is of no kind yet.
func (c *tarChecker) at(in node, name string) node {
	c.looked++
	key := part{in, name}
	n, ok := c.parts[key]
	if !ok {
		n = node(len(c.nodes))         //nolint:gosec // maxEntries bounds it, but for the parts of one entry
		key.name = strings.Clone(name) // not all of the name that it is a part of
		c.parts[key] = n
		c.names += len(name)
		c.nodes = append(c.nodes, treeNode{})
	}
	return n
}

// folder walks the folders that a clean name is in; each becomes one with mark. It gives noNode and the link when one is a link.
func (c *tarChecker) folder(dirs string, mark bool) (at node, link string) {
	for rest := dirs; rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		at = c.at(at, name)
		if c.nodes[at].kind == kindLink {
			return noNode, dirs[:len(dirs)-len(rest)-min(len(rest), 1)]
		}
		if mark {
			c.nodes[at].kind = kindDir
		}
	}
	return at, ""
}

// place puts a name into the tree, or says why not.
func (c *tarChecker) place(name string, as kind, target string, typ byte) string {
	dirs, base := path.Split(name)
	in, link := c.folder(strings.TrimSuffix(dirs, "/"), true)
	if in == noNode {
		return "it lies behind the link " + link
	}
	self := c.at(in, base)
	if was := c.nodes[self].kind; was != 0 && was != as && (was == kindLink || as == kindLink) {
		return "another entry of that name is a link"
	}
	if typ == tar.TypeSymlink && target == "" {
		return "its target is empty"
	}
	if typ == tar.TypeLink {
		if why := c.hardLink(target); why != "" {
			return why
		}
	}
	c.nodes[self].kind = as
	return ""
}

// hardLink says why a hard link's target is none.
func (c *tarChecker) hardLink(target string) string {
	to := path.Clean(target)
	if path.IsAbs(target) || to == ".." || strings.HasPrefix(to, "../") {
		return "its target is outside the directory"
	}
	dirs, base := path.Split(to)
	in, link := c.folder(strings.TrimSuffix(dirs, "/"), false)
	if in == noNode {
		return "its target lies behind the link " + link
	}
	if c.nodes[c.at(in, base)].kind != kindFile {
		return "its target is no file of this stream"
	}
	return ""
}
