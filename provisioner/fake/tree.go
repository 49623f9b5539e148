package fake

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// tree is a sandbox's files by absolute, clean path. The nil tree is the image's own.
type tree map[string]node

// node is a file, a folder or a symbolic link.
type node struct {
	// Mode holds permission bits and, for folders and links, the type.
	Mode fs.FileMode
	User string
	Data []byte `json:",omitempty"`
	Link string `json:",omitempty"`
	// Time is when it was last changed; zero is not known.
	Time time.Time `json:",omitzero"`
}

// imageTree is what every fake image holds. Users are root and dev.
var imageTree = tree{
	"/":           {Mode: fs.ModeDir | 0o755, User: "root"},
	"/etc":        {Mode: fs.ModeDir | 0o755, User: "root"},
	"/etc/passwd": {Mode: 0o644, User: "root", Data: []byte("root:x:0:0::/root:/bin/sh\ndev:x:1000:1000::/home/dev:/bin/sh\n")},
	"/etc/shadow": {Mode: 0o600, User: "root", Data: []byte("root:*:::::::\n")},
	"/home":       {Mode: fs.ModeDir | 0o755, User: "root"},
	"/home/dev":   {Mode: fs.ModeDir | 0o755, User: "dev"},
	"/root":       {Mode: fs.ModeDir | 0o700, User: "root"},
	"/run":        {Mode: fs.ModeDir | 0o755, User: "root"},
	"/run/bothy":  {Mode: fs.ModeDir | 0o700, User: "dev"},
	"/tmp":        {Mode: fs.ModeDir | 0o777, User: "root"},
	"/workspace":  {Mode: fs.ModeDir | 0o755, User: "dev"},
}

const (
	imageUser    = "dev"
	imageWorkDir = "/workspace"
	maxLinks     = 40
)

// files returns the tree to read from.
func (s *sandbox) files() tree {
	if s.Files == nil {
		return imageTree
	}
	return s.Files
}

// own returns a tree to write to.
func (s *sandbox) own() tree {
	if s.Files == nil {
		s.Files = maps.Clone(imageTree)
	}
	return s.Files
}

// resolve follows links in p, the last one too when last is set, and goes up at
// ".." from where a link led, as a kernel does. It reports the path that is
// meant, which may not exist, and false when links go round in circles.
func (t tree) resolve(p string, last bool) (string, bool) {
	todo := strings.Split(p, "/")
	at := "/"
	for links := 0; len(todo) > 0; {
		part, rest := todo[0], todo[1:]
		todo = rest
		switch part {
		case "", ".":
			continue
		case "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, part)
		n, ok := t[next]
		if !ok || n.Mode&fs.ModeSymlink == 0 || (len(rest) == 0 && !last) {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", false
		}
		if path.IsAbs(n.Link) {
			at = "/"
		}
		todo = slices.Concat(strings.Split(n.Link, "/"), rest)
	}
	return at, true
}

// get finds a node through links.
func (t tree) get(p string) (string, node, bool) {
	at, ok := t.resolve(p, true)
	if !ok {
		return "", node{}, false
	}
	n, ok := t[at]
	return at, n, ok
}

// may reports whether user has the permission bits (4 read, 2 write) on n.
func (n node) may(user string, bits fs.FileMode) bool {
	switch user {
	case "root":
		return true
	case n.User:
		return n.Mode>>6&bits == bits
	}
	return n.Mode&bits == bits
}

// below lists p and what is under it, in order.
func (t tree) below(p string) []string {
	var all []string
	for q := range t {
		if q == p || inside(q, p) {
			all = append(all, q)
		}
	}
	slices.Sort(all)
	return all
}

// inside reports whether clean path q lies under folder p.
func inside(q, p string) bool {
	return p == "/" && q != "/" || strings.HasPrefix(q, p+"/")
}
