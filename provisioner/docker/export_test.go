package docker

import (
	"context"
	"time"

	"github.com/bothy-env/bothy/provisioner"
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

// Inward gives the name of the chain for what comes to sandboxes.
func (r *Runtime) Inward() string { return r.net.tables.fw.inward }

// Impossible makes every firewall command fail as if there were no right to it.
func (r *Runtime) Impossible() {
	t := r.net.tables
	t.mu.Lock()
	defer t.mu.Unlock()
	t.root = false
	t.look = func(string) (string, error) { return "", context.Canceled }
	t.prefix = ""
}

// JoinPrefix and SlotOf lead from a slot's name to what is reserved, and back.
const JoinPrefix = joinPrefix

// SlotOf gives the slot of a reservation.
func SlotOf(reserved string) string { return slotOf(reserved) }

// StageScript is what waits in a sandbox, EncodeFiles what it is sent.
const StageScript = stageScript

// EncodeFiles makes what StageScript reads.
func EncodeFiles(files []provisioner.File) ([]byte, error) { return encodeFiles(files) }
