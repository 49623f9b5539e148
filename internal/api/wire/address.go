package wire

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const socketScheme = "unix:"

// SocketAddress is the address of a unix socket, by its path. SocketPath is the way back; there is no other spelling: all that
// follows unix:// is the path, byte for byte, as with Docker.
func SocketAddress(path string) string { return socketScheme + "//" + path }

// SocketPath gives the path of a unix socket's address; ok is false for an address of another kind.
func SocketPath(address string) (path string, ok bool) {
	if len(address) < len(socketScheme) || !strings.EqualFold(address[:len(socketScheme)], socketScheme) {
		return "", false
	}
	return strings.TrimPrefix(address[len(socketScheme):], "//"), true
}

// DefaultSocket is the path of the daemon's unix socket when nothing else is
// configured; daemon and clients take it from here. Root's is
// /run/bothy/bothyd.sock; another user's lies in $XDG_RUNTIME_DIR/bothy and,
// where there is none, in the user's state folder, never in a shared one unless HOME is unset too.
func DefaultSocket(euid int, getenv func(string) string) string {
	return ownSockets(euid, getenv)[0]
}

// DefaultSockets is where a client looks for the daemon of its own user, the likeliest place first: cron, su and some ssh have
// other variables than the session that the daemon was started in. Only a socket of that user may be used.
func DefaultSockets(euid int, getenv func(string) string) []string {
	paths := ownSockets(euid, getenv)
	if euid > 0 { // what pam_systemd sets XDG_RUNTIME_DIR to
		paths = slices.Insert(paths, 1, filepath.Join("/run/user", strconv.Itoa(euid), "bothy", socketName))
	}
	var all []string
	for _, p := range paths {
		if !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}

const socketName = "bothyd.sock"

func ownSockets(euid int, getenv func(string) string) (paths []string) {
	if euid == 0 {
		return []string{filepath.Join("/run/bothy", socketName)}
	}
	for _, place := range []struct{ variable, below string }{
		{"XDG_RUNTIME_DIR", "bothy"}, {"XDG_STATE_HOME", "bothy"}, {"HOME", ".local/state/bothy"},
	} {
		// The XDG rules: a relative path is as good as none.
		if dir := getenv(place.variable); filepath.IsAbs(dir) {
			paths = append(paths, filepath.Join(dir, place.below, socketName))
		}
	}
	return append(paths, filepath.Join("/tmp", "bothy-"+strconv.Itoa(euid), socketName))
}
