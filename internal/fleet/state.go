package fleet

import "slices"

// State is where an environment is in its life.
type State string

// The states. Failed is not an end: it passes through Destroying, because a
// failed create may have left resources. Only a re-read that finds nothing reaches Destroyed.
const (
	Pending      State = "pending"
	Provisioning State = "provisioning"
	Warm         State = "warm"
	Leased       State = "leased"
	Failed       State = "failed"
	Destroying   State = "destroying"
	Destroyed    State = "destroyed"
)

// transitions is the one table of legal moves; nothing else moves a state.
// Pending goes straight to Destroyed when nothing was ever begun for it.
var transitions = map[State][]State{
	Pending:      {Provisioning, Destroying, Destroyed},
	Provisioning: {Leased, Warm, Failed, Destroying},
	Warm:         {Leased, Destroying},
	Leased:       {Failed, Destroying},
	Failed:       {Destroying},
	Destroying:   {Destroyed},
	Destroyed:    {},
}

// States lists every state, in order of life.
func States() []State {
	return []State{Pending, Provisioning, Warm, Leased, Failed, Destroying, Destroyed}
}

// CanBecome reports whether a move from s to next is legal. Staying is not a move.
func (s State) CanBecome(next State) bool { return slices.Contains(transitions[s], next) }

// Live reports whether the environment still holds a name, quota and perhaps resources.
func (s State) Live() bool { return s != Destroyed }

// Valid reports whether s is one of the states.
func (s State) Valid() bool {
	_, ok := transitions[s]
	return ok
}
