package exec

import (
	"bytes"
	"io"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/docker/docker/pkg/stdcopy"
)

// copyOutput takes the command's output apart and hands it on; memory is bounded by the engine's 32 KiB frames.
func (s *session) copyOutput() {
	var err error
	if s.req.TTY {
		_, err = io.Copy(s.stdout, s.conn.Reader)
	} else {
		_, err = stdcopy.StdCopy(s.stdout, s.errs, s.conn.Reader)
	}
	s.stdout.ended(err)
	s.outputErr = err
	close(s.outputEnded)
}

// gate passes writes on until it is shut or one fails. From then on it swallows them: the engine
// stalls a sandbox whose output is not read to its end.
type gate struct {
	w      io.Writer
	closed atomic.Bool
	failed chan error // receives the first fault
}

func newGate(w io.Writer) *gate { return &gate{w: w, failed: make(chan error, 1)} }

// Write never fails.
func (g *gate) Write(p []byte) (int, error) {
	if g.w == nil || g.closed.Load() {
		return len(p), nil
	}
	if _, err := g.w.Write(p); err != nil {
		g.closed.Store(true)
		g.failed <- err
	}
	return len(p), nil
}

func (g *gate) shut() { g.closed.Store(true) }

// fault returns the first fault, nil when there is none (any more).
func (g *gate) fault() error {
	select {
	case err := <-g.failed:
		return err
	default:
		return nil
	}
}

// preamble takes the first line, with the process id, off the command's
// output. When there is none, what comes may be the engine's words on why the command could not be started.
type preamble struct {
	w       *gate
	decided chan struct{} // closed when pid is known, or known to be missing
	started func()        // called before that, unless the connection was lost
	open    bool          // decided, write through
	isOpen  bool          // decided is closed
	wrote   bool          // anything came at all
	lost    bool          // the connection broke before it was decided; set before decided is closed
	held    []byte
	pid     int
}

// heldMost bounds what is held back of an output without a process id.
const heldMost = 4096

func newPreamble(w *gate) *preamble { return &preamble{w: w, decided: make(chan struct{})} }

func (p *preamble) Write(b []byte) (int, error) {
	if p.open {
		return p.w.Write(b)
	}
	p.held, p.wrote = append(p.held, b...), true
	line, rest, whole := bytes.Cut(p.held, []byte("\n"))
	mark := []byte(pidMark)
	switch {
	case whole && bytes.HasPrefix(line, mark):
		pid, err := strconv.Atoi(strings.TrimRight(string(line[len(mark):]), "\r"))
		if err == nil && pid > 1 {
			p.pid = pid
			p.held = rest
		}
	case len(p.held) < heldMost:
		return len(b), nil
	}
	p.open = true
	p.decide()
	held := p.held
	p.held = nil
	if len(held) == 0 {
		return len(b), nil
	}
	if _, err := p.w.Write(held); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (p *preamble) decide() {
	if !p.isOpen {
		p.isOpen = true
		if p.started != nil {
			p.started()
		}
		close(p.decided)
	}
}

// ended says that no more output comes, and whether that is the engine's word.
func (p *preamble) ended(err error) {
	if err != nil && !p.isOpen {
		p.started, p.lost = nil, true
	}
	p.decide()
}

// finish hands over what was held back and returns "", or returns the engine's
// words when the command was not started. Call it after the output ended.
func (p *preamble) finish(code int) string {
	held := p.held
	p.held = nil
	if len(held) == 0 {
		return ""
	}
	if text := string(held); notStarted(text, code) {
		return strings.TrimSpace(text)
	}
	_, _ = p.w.Write(held) // the gate keeps the fault
	return ""
}
