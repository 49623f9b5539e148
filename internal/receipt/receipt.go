// Package receipt proves that everything an environment created is gone. A receipt is a JSON text with the environment's resources and
// the checks that found none left, bound by a hash to the receipt before it and signed by the installation. Anybody with the
// installation's public key can verify it offline: nothing here reads a file, a clock or a network.
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

// Version is the version of new bodies.
const Version = 1

// hashLen is the length of a hash in hex digits.
const hashLen = 2 * sha256.Size

// Receipt is a body with its place in the chain. Its fields are those of the wire form.
type Receipt struct {
	// Seq counts receipts from 1, without gaps.
	Seq int64 `json:"seq"`
	// Environment is the environment's id, At when the receipt was made.
	Environment string    `json:"environment_id"`
	At          time.Time `json:"at"`
	// Body is the JSON text of a Body, byte for byte as signed.
	Body []byte `json:"body"`
	// PrevHash is the hash of the receipt before; 64 zeros for the first.
	PrevHash string `json:"prev_hash"`
	// Hash is the SHA-256 of PrevHash, in its written form, and Body, in hex.
	Hash string `json:"hash"`
	// Signature is Ed25519 over the 32 bytes of Hash, in base64.
	Signature string `json:"signature"`
}

// Body is the content of a receipt. Times are UTC.
type Body struct {
	Version  int    `json:"version"`
	Instance string `json:"instance"`
	// Environment is the destroyed environment.
	Environment Environment `json:"environment"`
	CreatedAt   time.Time   `json:"created_at"`
	DestroyedAt time.Time   `json:"destroyed_at"`
	// Resources are all resources that were ever seen; none when nothing was begun.
	Resources []Resource `json:"resources"`
	// Checks are the last checks for leftovers.
	Checks []Check `json:"checks"`
	// CostMicros is the total cost of its life, in millionths of Currency.
	CostMicros int64  `json:"cost_micros"`
	Currency   string `json:"currency"`
	// Seq and PrevHash are the receipt's own.
	Seq      int64  `json:"seq"`
	PrevHash string `json:"prev_hash"`
}

// Environment identifies a destroyed environment and its owner.
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

// Resource is a resource that existed.
type Resource struct {
	// Kind is the provider's word: "container", "network", "volume", ...; "unknown" when Note has everything on record.
	Kind string `json:"kind"`
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
	// CreatedAt is the provider's time; nil if unknown.
	CreatedAt *time.Time `json:"created_at,omitempty"`
	// Note is a remark; usually empty.
	Note string `json:"note,omitempty"`
}

// Check is one check for leftovers.
type Check struct {
	At time.Time `json:"at"`
	// What was checked, in words; Found is how many of the environment's resources were found.
	What  string `json:"what"`
	Found int    `json:"found"`
}

// First is the PrevHash of the first receipt.
func First() string { return fmt.Sprintf("%0*d", hashLen, 0) }

// Sign makes the receipt of a body, whose Seq and PrevHash are its place in the chain.
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
