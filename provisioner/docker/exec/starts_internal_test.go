package exec

import (
	"bufio"
	"errors"
	"net"
	"testing"
	"testing/iotest"

	"github.com/docker/docker/api/types"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
	"github.com/bothy-env/bothy/provisioner/docker/sandbox"
)

// TestLostStartIsGivenUp: the slot of a command whose connection broke before it was seen to start is given back once the
// engine says that it is over. Otherwise so many broken connections keep a sandbox from starting any.
func TestLostStartIsGivenUp(t *testing.T) {
	for _, tty := range []bool{false, true} {
		e, err := engine.New(engine.Options{Host: "tcp://192.0.2.1:2376", Instance: "lost", Key: provisioner.Key("a key of the tests")})
		if err != nil {
			t.Fatal(err)
		}
		r := New(t.Context(), e, sandbox.New(e), nil, nil)
		at := &starting{slots: make(chan struct{}, 1)}
		at.slots <- struct{}{}
		near, far := net.Pipe()
		t.Cleanup(func() { _ = far.Close() })
		s := newSession(r, "sandbox", "exec", provisioner.ExecRequest{Command: []string{"true"}, TTY: tty}, provisioner.Streams{},
			types.HijackedResponse{Conn: near, Reader: bufio.NewReader(iotest.ErrReader(errors.New("connection reset")))})
		s.began = &start{at: at, restore: func() {}}
		if _, err := s.run(t.Context()); err == nil {
			t.Fatal("a command whose connection broke ended well")
		}
		s.conn.Close()
		if len(at.left) != 1 || at.left[0].execID != "exec" {
			t.Errorf("terminal %v: %d starts are given up, want the one", tty, len(at.left))
		}
	}
}
