package fleet

import "time"

// Object is a resource that an environment's blueprint created, or is about to create: it is recorded before the provider is asked.
type Object struct {
	// Generation is the generation of the work that creates it.
	Generation int64
	// Kind is the provider's word.
	Kind, Name string
	// ID is the provider's id; "" while the provider has not answered, and when it created nothing.
	ID string
	// Answered: the provider has answered.
	Answered bool
	// At is when it was recorded.
	At time.Time
}
