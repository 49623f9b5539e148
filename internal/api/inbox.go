package api

import (
	"io"
	"sync"
)

// inbox holds a command's input between the connection and whoever reads it.
// Its sender never waits; the window that the client keeps to bounds what it holds.
type inbox struct {
	// given is called, outside of the lock, with how many bytes were read.
	given func(n int)

	mu    sync.Mutex
	ready *sync.Cond
	data  []byte
	err   error
}

func newInbox(given func(int)) *inbox {
	b := &inbox{given: given}
	b.ready = sync.NewCond(&b.mu)
	return b
}

// put adds input and reports whether it fits into a window of most bytes. Input after the end is dropped.
func (b *inbox) put(p []byte, most int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return true
	}
	if len(b.data)+len(p) > most {
		return false
	}
	b.data = append(b.data, p...)
	b.ready.Broadcast()
	return true
}

// end ends the input: readers get what is left, then err. The first end counts.
func (b *inbox) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.err = err
	}
	b.ready.Broadcast()
}

// discard ends the input at once.
func (b *inbox) discard() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data, b.err = nil, io.ErrClosedPipe
	b.ready.Broadcast()
}

func (b *inbox) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b.mu.Lock()
	for len(b.data) == 0 && b.err == nil {
		b.ready.Wait()
	}
	n := copy(p, b.data)
	if b.data = b.data[n:]; len(b.data) == 0 {
		b.data = nil // Lets the memory go.
	}
	err := b.err
	b.mu.Unlock()
	if n == 0 {
		return 0, err
	}
	b.given(n)
	return n, nil
}
