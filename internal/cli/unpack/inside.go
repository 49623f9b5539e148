package unpack

import (
	"os"
	"path"
	"strings"
)

// maxLinks is as many links as a kernel follows for one path.
const maxLinks = 40

// stayInside reports whether the link at p with that target never leads out of root, whatever other
// links it goes through. A link that goes in circles or nowhere leads nowhere, so it stays.
func stayInside(root *os.Root, p, target string) bool {
	if path.IsAbs(target) || strings.HasPrefix(path.Join(path.Dir(p), target)+"/", "../") {
		return false
	}
	at := path.Dir(p)
	todo := strings.Split(target, "/")
	for followed := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch {
		case name == "" || name == ".":
			continue
		case name == ".." && at == ".":
			return false
		case name == "..":
			at = path.Dir(at)
			continue
		}
		next := path.Join(at, name)
		onward, err := root.Readlink(next)
		if err != nil {
			// Not a link, or not there.
			at = next
			continue
		}
		if followed++; followed > maxLinks {
			return true
		}
		if path.IsAbs(onward) {
			return false
		}
		todo = append(strings.Split(onward, "/"), todo...)
	}
	return true
}
