package files

import (
	"fmt"
	"os"
)

// NoRights and NoWriting are the rights that nobody but its owner may have to a file.
const (
	NoRights  os.FileMode = 0o077
	NoWriting os.FileMode = 0o022
)

// Guarded refuses a file or folder that others than its owner have forbidden rights to, or that belongs to
// somebody other than root or this process's user: whoever may write there says what this process does.
func Guarded(info os.FileInfo, forbidden os.FileMode) error {
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		what, most := "use", os.FileMode(0o666)
		if forbidden == NoWriting {
			what = "change"
		}
		if info.IsDir() {
			most = 0o777
		}
		return fmt.Errorf("%s has mode %04o, so others may %s it: chmod %03o", info.Name(), mode, what, most&^forbidden)
	}
	if uid, ok := ownerOf(info); ok && uid != os.Geteuid() && uid != 0 {
		return fmt.Errorf("%s belongs to uid %d", info.Name(), uid)
	}
	return nil
}
