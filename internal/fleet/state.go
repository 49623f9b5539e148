package fleet

import "slices"

// State is an environment's state.
type State string

// The states. Failed is not final: it leads to Destroying, because a failed create may have left resources. Only a re-read that finds
// nothing leads to Destroyed.
const (
	Pending      State = "pending"
	Provisioning State = "provisioning"
	Warm         State = "warm"
	Leased       State = "leased"
	Failed       State = "failed"
	Destroying   State = "destroying"
	Destroyed    State = "destroyed"
)

// transitions is the only table of legal transitions. Pending leads straight to Destroyed if nothing was ever begun.
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

// CanBecome reports whether a transition from s to next is legal. Staying in a state is not a transition.
func (s State) CanBecome(next State) bool { return slices.Contains(transitions[s], next) }

// Live reports whether the environment still has a name, quota and possibly resources.
func (s State) Live() bool { return s != Destroyed }

// Valid reports whether s is one of the states.
func (s State) Valid() bool {
	_, ok := transitions[s]
	return ok
}
