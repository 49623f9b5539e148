package fleet

import "time"

// Rate is the price of a blueprint's size from a moment on.
type Rate struct {
	Blueprint, Size string
	From            time.Time
	// Micros per hour, in millionths of Currency.
	Micros   int64
	Currency string
	SetBy    string
}

// Receipt proves that everything an environment created is gone. Receipts form a chain: each
// hash covers the one before.
type Receipt struct {
	// Seq counts receipts from 1, without gaps.
	Seq           int64
	EnvironmentID string
	At            time.Time
	// Body is the JSON text that was signed, byte for byte.
	Body []byte
	// PrevHash, Hash (SHA-256, hex) and Signature (Ed25519 over Hash's bytes, base64).
	PrevHash, Hash, Signature string
}

// Orphan exists at the provider with our label and a valid MAC, and is unknown to the store.
type Orphan struct {
	Host, Kind, ID, Name string
	EnvironmentID        string
	// Labels as found; their MAC was checked.
	Labels map[string]string
	// CreatedAt is the provider's time; FirstSeen and LastSeen are the sweep's, Sightings counts them.
	CreatedAt, FirstSeen, LastSeen time.Time
	Sightings                      int
}

// Brake keeps a jump of the clock from ending leases in mass.
type Brake struct {
	// Since is when it was put on; zero when it is off. Reason says why.
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
	// Live is how many environments there were then, Reaped how many it has let go since.
	Live   int `json:"live"`
	Reaped int `json:"reaped"`
	// Last is when it last let some go.
	Last time.Time `json:"last"`
}

// On reports whether the brake is on.
func (b Brake) On() bool { return !b.Since.IsZero() }

// Estimate is how good the queue's estimates have been.
type Estimate struct {
	// Count of requests that waited and got ready; Median and P90 are how far off the first estimate was (absolute).
	Count       int
	Median, P90 time.Duration
}
