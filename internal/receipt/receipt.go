// Package receipt proves that everything an environment created is gone. A receipt is a JSON text that
// says what there was and what was looked for and not found, bound by a hash to the receipt before it
// and signed by the installation. Who holds the installation's public key can verify it
// offline: nothing here reads a file, a clock or a network.
package receipt

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Version is that of the bodies that are written now.
const Version = 1

// hashLen is the length of a hash as it is written, in hex digits.
const hashLen = 2 * sha256.Size

// Receipt is a body with its place in the chain. Its fields are those of the wire form.
type Receipt struct {
	// Seq counts receipts from 1, without gaps.
	Seq int64 `json:"seq"`
	// Environment is the environment's id, At when the receipt was made.
	Environment string    `json:"environment_id"`
	At          time.Time `json:"at"`
	// Body is the JSON text of a Body, byte for byte as it was signed.
	Body []byte `json:"body"`
	// PrevHash is the hash of the receipt before; 64 zeros before the first.
	PrevHash string `json:"prev_hash"`
	// Hash is the SHA-256 of PrevHash, as it is written, and Body, in hex.
	Hash string `json:"hash"`
	// Signature is Ed25519 over the 32 bytes that Hash stands for, in base64.
	Signature string `json:"signature"`
}

// Body is what a receipt says. Times are UTC.
type Body struct {
	Version  int    `json:"version"`
	Instance string `json:"instance"`
	// Environment is what is gone.
	Environment Environment `json:"environment"`
	CreatedAt   time.Time   `json:"created_at"`
	DestroyedAt time.Time   `json:"destroyed_at"`
	// Resources are all that were ever seen of it; none when nothing was begun.
	Resources []Resource `json:"resources"`
	// Checks are the last looks for what might be left.
	Checks []Check `json:"checks"`
	// CostMicros is what its whole life cost, in millionths of Currency.
	CostMicros int64  `json:"cost_micros"`
	Currency   string `json:"currency"`
	// Seq and PrevHash are the receipt's own.
	Seq      int64  `json:"seq"`
	PrevHash string `json:"prev_hash"`
}

// Environment says what is gone, and whose it was.
type Environment struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Tenant    string `json:"tenant"`
	Team      string `json:"team"`
	User      string `json:"user"`
	Blueprint string `json:"blueprint"`
	Digest    string `json:"digest"`
	Pool      string `json:"pool"`
	Host      string `json:"host"`
}

// Resource is one thing that there was.
type Resource struct {
	// Kind is the provider's word: "container", "network", "volume", ...; "unknown" where Note has all that is on record.
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// CreatedAt is the provider's time; nil when it was not told.
	CreatedAt *time.Time `json:"created_at,omitempty"`
	// Note says what is special about it; empty as a rule.
	Note string `json:"note,omitempty"`
}

// Check is one look for what might be left.
type Check struct {
	At time.Time `json:"at"`
	// What was looked at, in words; Found is how much of the environment was there.
	What  string `json:"what"`
	Found int    `json:"found"`
}

// First is the PrevHash of the first receipt.
func First() string { return fmt.Sprintf("%0*d", hashLen, 0) }

// Sign makes the receipt of a body, which takes its place in the chain from Seq and PrevHash.
func Sign(b Body, key ed25519.PrivateKey) (Receipt, error) {
	if len(key) != ed25519.PrivateKeySize {
		return Receipt{}, fmt.Errorf("sign receipt: the key has %d bytes, want %d", len(key), ed25519.PrivateKeySize)
	}
	if b.Resources == nil {
		b.Resources = []Resource{}
	}
	text, err := json.Marshal(b)
	if err != nil {
		return Receipt{}, fmt.Errorf("encode receipt: %w", err)
	}
	hash := hashOf(b.PrevHash, text)
	return Receipt{
		Seq: b.Seq, Environment: b.Environment.ID, At: b.DestroyedAt, Body: text, PrevHash: b.PrevHash,
		Hash:      hex.EncodeToString(hash),
		Signature: base64.StdEncoding.EncodeToString(ed25519.Sign(key, hash)),
	}, nil
}

func hashOf(prev string, body []byte) []byte {
	h := sha256.New()
	h.Write([]byte(prev))
	h.Write(body)
	return h.Sum(nil)
}
