package client

import (
	"io"
	"sync"
	"time"
)

// maxAhead is the maximum number of bytes to read ahead of a stream.
const maxAhead = 16 << 20

// ahead buffers lines before the caller takes them. The daemon ends streams whose client reads nothing, but a person who reads slowly,
// for example in a pager, must not lose the stream.
type ahead struct {
	mu     sync.Mutex
	change *sync.Cond
	lines  [][]byte
	held   int
	err    error
	closed bool
}

// readAhead calls next until it returns an error, in a goroutine that ends soon after close, once next returns.
func readAhead(next func() ([]byte, error)) *ahead {
	a := &ahead{}
	a.change = sync.NewCond(&a.mu)
	go func() {
		for a.put(next()) {
		}
	}()
	return a
}

// put adds a line, once there is room, or the error that ends the stream. It reports whether to continue.
func (a *ahead) put(line []byte, err error) bool {
	const overhead = 64 // bytes of memory per line
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

// take returns the buffered lines, at least one, or the error that ended the stream.
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

// close ends the reading.
func (a *ahead) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.change.Broadcast()
}

// attentive calls silent if a Read returns nothing within patience. It is inactive until it is armed.
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
