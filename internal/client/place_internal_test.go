package client

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// TestTheFirstSocketOfOnesOwnIsTaken: not one that another user put where ours is looked for, nor a file.
func TestTheFirstSocketOfOnesOwnIsTaken(t *testing.T) {
	dir, err := os.MkdirTemp("", "client")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	missing, file, socket := filepath.Join(dir, "missing"), filepath.Join(dir, "file"), filepath.Join(dir, "socket")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	paths := []string{missing, file, socket}
	if got := firstOwn(paths, os.Geteuid()); got != socket {
		t.Errorf("took %s", got)
	}
	if got := firstOwn(paths, os.Geteuid()+1); got != missing {
		t.Errorf("took %s, which is another user's", got)
	}
}

// TestThePlacesAreNamed: who finds no daemon reads where one was looked for.
func TestThePlacesAreNamed(t *testing.T) {
	c, err := New(Options{Host: wire.SocketAddress("/nowhere/a.sock")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.looked = []string{"/nowhere/a.sock", "/nowhere/b.sock"}
	if _, err := c.Version(t.Context()); err == nil || !strings.Contains(err.Error(), "/nowhere/a.sock, /nowhere/b.sock") {
		t.Errorf("got %v", err)
	}
}
