package docker

import (
	"context"
	"time"
)

// SetRemoveFor shortens the tries to remove what is stuck, and gives the way back.
func SetRemoveFor(d time.Duration) (restore func()) {
	was := removeFor
	removeFor = d
	return func() { removeFor = was }
}

// Spares counts the networks that are ready.
func (r *Runtime) Spares() int {
	r.net.mu.Lock()
	defer r.net.mu.Unlock()
	return len(r.net.spare)
}

// Firewall gives the names of the installation's chains and the text of its rules.
func (r *Runtime) Firewall() (binary, forward, input, bridges string) {
	t := r.net.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.prefix, t.fw.forward, t.fw.input, t.fw.bridges
}

// Impossible makes every firewall command fail as if there were no right to it.
func (r *Runtime) Impossible() {
	t := r.net.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	t.root = false
	t.look = func(string) (string, error) { return "", context.Canceled }
	t.prefix = ""
}
