package wire_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/bothy-env/bothy/internal/api/wire"
)

func TestDefaultSocket(t *testing.T) {
	for _, c := range []struct {
		name string
		euid int
		env  map[string]string
		want string
	}{
		{"root, whatever is set", 0, map[string]string{"XDG_RUNTIME_DIR": "/run/user/1000", "HOME": "/root"}, "/run/bothy/bothyd.sock"},
		{"a session", 1000, map[string]string{"XDG_RUNTIME_DIR": "/run/user/1000", "HOME": "/home/ada"}, "/run/user/1000/bothy/bothyd.sock"},
		{"no session", 1000, map[string]string{"XDG_STATE_HOME": "/st", "HOME": "/home/ada"}, "/st/bothy/bothyd.sock"},
		{"only a home", 1000, map[string]string{"HOME": "/home/ada"}, "/home/ada/.local/state/bothy/bothyd.sock"},
		{"nothing", 1000, nil, "/tmp/bothy-1000/bothyd.sock"},
		{"relative paths count as none", 1000, map[string]string{"XDG_RUNTIME_DIR": "run", "XDG_STATE_HOME": ".", "HOME": "x"}, "/tmp/bothy-1000/bothyd.sock"},
	} {
		if got := wire.DefaultSocket(c.euid, func(k string) string { return c.env[k] }); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestAProblemIsAnError(t *testing.T) {
	var err error = &wire.Problem{Status: 404, Detail: "no such thing"}
	if err.Error() != "no such thing" {
		t.Errorf("error %q", err)
	}
	if p, ok := errors.AsType[*wire.Problem](err); !ok || p.GetStatus() != 404 || p.ContentType("application/json") != wire.ProblemType {
		t.Errorf("status %d, type %s", p.GetStatus(), p.ContentType("application/json"))
	}
}

func TestDefaultSockets(t *testing.T) {
	for _, c := range []struct {
		euid int
		env  map[string]string
		want []string
	}{
		{0, map[string]string{"HOME": "/root", "XDG_RUNTIME_DIR": "/run/user/0"}, []string{"/run/bothy/bothyd.sock"}},
		{7, map[string]string{"HOME": "/h"}, []string{"/h/.local/state/bothy/bothyd.sock", "/run/user/7/bothy/bothyd.sock", "/tmp/bothy-7/bothyd.sock"}},
		{7, map[string]string{"HOME": "/h", "XDG_RUNTIME_DIR": "/run/user/7"}, []string{"/run/user/7/bothy/bothyd.sock", "/h/.local/state/bothy/bothyd.sock", "/tmp/bothy-7/bothyd.sock"}},
		{7, nil, []string{"/tmp/bothy-7/bothyd.sock", "/run/user/7/bothy/bothyd.sock"}},
	} {
		getenv := func(k string) string { return c.env[k] }
		if got := wire.DefaultSockets(c.euid, getenv); !slices.Equal(got, c.want) || got[0] != wire.DefaultSocket(c.euid, getenv) {
			t.Errorf("%d %v: %q, want %q", c.euid, c.env, got, c.want)
		}
	}
}

// FuzzSocketAddress: a path is the same after the way through an address, whatever its bytes.
func FuzzSocketAddress(f *testing.F) {
	for _, path := range []string{"/run/bothy/bothyd.sock", "/a b/%s/%20", "/#?;&$x'\"`\\", "//a", "", "unix://x", "/\xff\xfe", "/ü\n"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if got, ok := wire.SocketPath(wire.SocketAddress(path)); !ok || got != path {
			t.Errorf("%q became %q, %v", path, got, ok)
		}
		if _, ok := wire.SocketPath("https://" + path); ok {
			t.Errorf("https://%q is taken for a socket", path)
		}
	})
}
