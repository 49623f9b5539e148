// Package bus is how rooms wake each other: topics that wake a loop, the loops and waits themselves, and those who follow what is
// written. What it passes on says "look again" and nothing more: the facts are in the store, so a lost or doubled wake-up does no harm.
package bus

import "math/rand/v2"

// Topic is something that a loop looks at when it is woken. Each has one loop.
type Topic int

// Topics.
const (
	// Plan asks for a plan, Lead to bid for the lead.
	Plan Topic = iota
	Lead
	// Work asks to take work that is recorded, Back to try again what waited for something that is back.
	Work
	Back
	// Hold asks to hold hosts and to look whether they can be used, Warm to look at what is warm on them.
	Hold
	Warm
	// Prepare asks to get blueprints ready again.
	Prepare
	// Mark asks to tell the engines how far the records are, Check to look at what doctor tells.
	Mark
	Check
	topics
)

// Bus carries the wake-ups of one daemon.
type Bus struct {
	wakes  [topics]chan struct{}
	chance func() float64
}

// New makes a bus. chance draws from [0, 1), to keep what is tried again apart; nil for math/rand's.
func New(chance func() float64) *Bus {
	if chance == nil {
		chance = rand.Float64
	}
	b := &Bus{chance: chance}
	for t := range b.wakes {
		b.wakes[t] = make(chan struct{}, 1)
	}
	return b
}

// On gives what wakes the loop of a topic.
func (b *Bus) On(t Topic) <-chan struct{} { return b.wakes[t] }

// Nudge wakes the loops of some topics without ever blocking.
func (b *Bus) Nudge(all ...Topic) {
	for _, t := range all {
		Nudge(b.wakes[t])
	}
}
