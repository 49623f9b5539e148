package fleet

import "time"

// Object is one thing that an environment's blueprint made, or means to make, as it was recorded before the provider was asked.
type Object struct {
	// Generation is the try that it belongs to.
	Generation int64
	// Kind is the provider's word.
	Kind, Name string
	// ID is the provider's own; "" while the provider has not answered, and when it made nothing.
	ID string
	// Answered says that the provider has answered.
	Answered bool
	// At is when it was intended.
	At time.Time
}
