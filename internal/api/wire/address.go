package wire

import (
	"path/filepath"
	"strconv"
)

// DefaultSocket is the path of the daemon's unix socket when nothing else is
// configured; daemon and clients take it from here. Root's is
// /run/bothy/bothyd.sock; another user's lies in $XDG_RUNTIME_DIR/bothy and,
// where there is none, in the user's state folder, never in a shared one unless HOME is unset too.
func DefaultSocket(euid int, getenv func(string) string) string {
	const name = "bothyd.sock"
	if euid == 0 {
		return filepath.Join("/run/bothy", name)
	}
	// The XDG rules: a relative path is as good as none.
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "bothy", name)
	}
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "bothy", name)
	}
	if home := getenv("HOME"); filepath.IsAbs(home) {
		return filepath.Join(home, ".local/state/bothy", name)
	}
	return filepath.Join("/tmp", "bothy-"+strconv.Itoa(euid), name)
}
