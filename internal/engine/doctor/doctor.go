// Package doctor is how rooms say what they find wrong: the form of a check, and nothing that looks.
package doctor

import "time"

// Check is one finding about what the daemon needs.
type Check struct {
	// Name is a short word: "store", "terraform", or the kind of a provider.
	Name string
	// Status is "ok", "warning" or "failed"; one failed means not ready.
	Status string
	// Message is one sentence, Hint the next thing to do.
	Message, Hint string
	// Age is how long ago it was found.
	Age time.Duration
}

// Statuses of a check.
const (
	OK      = "ok"
	Warning = "warning"
	Down    = "failed"
)

// CutOff is what is found where the look itself panicked.
const CutOff = "it could not be looked at: a fault inside bothy, see its log"
