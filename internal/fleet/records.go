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

// Receipt proves that everything an environment created is gone. Receipts form a chain: each hash covers the one before.
type Receipt struct {
	// Seq counts receipts from 1, without gaps.
	Seq           int64
	EnvironmentID string
	At            time.Time
	// Body is the signed JSON text, byte for byte.
	Body []byte
	// PrevHash, Hash (SHA-256, hex) and Signature (Ed25519 over Hash's bytes, base64).
	PrevHash, Hash, Signature string
}

// Orphan is a resource at the provider with our label and a valid MAC that the store does not know.
type Orphan struct {
	Host, Kind, ID, Name string
	EnvironmentID        string
	// Labels as found; their MAC is valid.
	Labels map[string]string
	// CreatedAt is the provider's time; FirstSeen and LastSeen are the sweep's, Sightings counts its finds.
	CreatedAt, FirstSeen, LastSeen time.Time
	Sightings                      int
}

// Brake is the reap limiter: it limits mass expiry after a clock jump.
type Brake struct {
	// Since is when it was engaged; zero when it is off. Reason says why.
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
	// Live is how many environments there were then, Reaped how many it has released since.
	Live   int `json:"live"`
	Reaped int `json:"reaped"`
	// Last is when it last released some.
	Last time.Time `json:"last"`
}

// On reports whether the brake is engaged.
func (b Brake) On() bool { return !b.Since.IsZero() }

// Estimate is the accuracy of the queue's estimates.
type Estimate struct {
	// Count is the number of requests that waited and became ready; Median and P90 are the absolute error of their first estimate.
	Count       int
	Median, P90 time.Duration
}
