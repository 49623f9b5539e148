package client

import (
	"io"
	"sync"
	"time"
)

// maxAhead is how many bytes of a stream's lines are held for whoever takes them.
const maxAhead = 16 << 20

// ahead holds lines that were read before they are asked for. The daemon ends streams whose client takes nothing; somebody who
// reads slowly, as with a pager, is no such client.
type ahead struct {
	mu     sync.Mutex
	change *sync.Cond
	lines  [][]byte
	held   int
	err    error
	closed bool
}

// readAhead reads with next until it gives an error, in a goroutine that ends soon after close and next's own end.
func readAhead(next func() ([]byte, error)) *ahead {
	a := &ahead{}
	a.change = sync.NewCond(&a.mu)
	go func() {
		for a.put(next()) {
		}
	}()
	return a
}

// put adds a line, when there is room for it, or the end; it reports whether more is wanted.
func (a *ahead) put(line []byte, err error) bool {
	const overhead = 64 // of a line in memory
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.held > maxAhead && !a.closed {
		a.change.Wait()
	}
	if err != nil {
		a.err = err
	} else {
		a.lines, a.held = append(a.lines, line), a.held+len(line)+overhead
	}
	a.change.Broadcast()
	return err == nil && !a.closed
}

// take gives the lines that are there, at least one, or the error that ended them.
func (a *ahead) take() ([][]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(a.lines) == 0 && a.err == nil {
		a.change.Wait()
	}
	lines := a.lines
	if len(lines) == 0 {
		return nil, a.err
	}
	a.lines, a.held = nil, 0
	a.change.Broadcast()
	return lines, nil
}

// close lets the reading end.
func (a *ahead) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.change.Broadcast()
}

// attentive calls silent when a Read brings nothing for as long as its patience, once it is armed.
type attentive struct {
	io.Reader
	patience time.Duration
	silent   func()
	armed    bool
}

func (a *attentive) Read(p []byte) (int, error) {
	if a.armed {
		defer time.AfterFunc(a.patience, a.silent).Stop()
	}
	return a.Reader.Read(p)
}
