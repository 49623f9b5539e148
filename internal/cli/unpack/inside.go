package unpack

import (
	"os"
	"path"
	"strings"
)

// maxLinks is the number of links that a kernel follows for one path.
const maxLinks = 40

// stayInside reports whether the link at p never leads out of root, through whatever other
// links. A cyclic or dangling link leads nowhere, so it stays inside.
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
			// Not a link, or missing.
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
