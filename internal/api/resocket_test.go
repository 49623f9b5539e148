package api_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
)

// The file of a running daemon's socket may be removed by whatever cleans up, with its folder or without: it is made again, as
// closed to others as before, it is said once, and no other daemon takes the place.
func TestARemovedSocketIsMadeAgain(t *testing.T) {
	for name, remove := range map[string]func(socket string) error{
		"the socket":              os.Remove,
		"the socket and its lock": func(s string) error { return firstError(os.Remove(s+".lock"), os.Remove(s)) },
		"the folder":              func(s string) error { return os.RemoveAll(filepath.Dir(s)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, newDouble(), func(c *apiConfig) { c.SocketEvery = 5 * time.Millisecond })
			for range 2 {
				if err := remove(r.socket); err != nil {
					t.Fatal(err)
				}
				until(t, "the daemon is reached again", func() bool {
					_, err := r.clientOf(client.Options{Host: wire.SocketAddress(r.socket)}).Version(limited(t))
					return err == nil
				})
				if m := mode(t, r.socket); m != os.ModeSocket|0o600 {
					t.Errorf("socket has mode %v", m)
				}
			}
			if n := strings.Count(r.log.String(), "the socket was removed, and made again"); n != 2 {
				t.Errorf("it was said %d times, want 2:\n%s", n, r.log)
			}
			if err := listenAt(t, r.socket); err == nil || !strings.Contains(err.Error(), "another bothyd") {
				t.Errorf("another daemon at the same socket: %v", err)
			}
		})
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// What somebody else put in the socket's place stays, now and when the daemon stops.
func TestAnotherSocketInItsPlaceStays(t *testing.T) {
	r := start(t, newDouble(), func(c *apiConfig) { c.SocketEvery = 5 * time.Millisecond })
	other := filepath.Join(r.dir, "other")
	ln, err := net.Listen("unix", other)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := os.Lstat(r.socket); err != nil {
			t.Errorf("it was removed: %v", err)
		}
		ln.Close()
	})
	if err := os.Rename(other, r.socket); err != nil {
		t.Fatal(err)
	}
	until(t, "it is said", func() bool { return strings.Contains(r.log.String(), "replaced by another process") })
	if err := r.server.Shutdown(limited(t)); err != nil {
		t.Error(err)
	}
}

// TestASocketsPathMayBeAnything: home folders have names with all kinds of signs.
func TestASocketsPathMayBeAnything(t *testing.T) {
	for _, name := range []string{"a b", "%s", "%20", "a#b", "a?b", "$x", "'", `"`, "`", `\`, ";", "ü", "日本", "\xe9", "a\nb", "unix:", "@"} {
		r := start(t, newDouble(), func(c *apiConfig) { c.Socket = filepath.Join(filepath.Dir(filepath.Dir(c.Socket)), name, "s") })
		host := wire.SocketAddress(filepath.Join(r.dir, name, "s"))
		if _, err := r.clientOf(client.Options{Host: host}).Version(limited(t)); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	}
}
