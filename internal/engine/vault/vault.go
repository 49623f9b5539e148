// Package vault keeps an installation's keys, seals what nobody else may read, and opens it again: states of drivers, and secrets that
// wait for delivery. It delivers nothing; where the sealed is kept is the store's.
package vault

import (
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"github.com/bothy-env/bothy/provisioner"
)

// Database is where secrets wait, sealed.
type Database interface {
	Secrets(ctx context.Context, environmentID string) ([]byte, error)
}

// Vault has the keys that are derived from an installation's master key, one for each purpose (HKDF, RFC 5869), so that no two uses
// share one.
type Vault struct {
	store    Database
	labels   provisioner.Key
	receipts ed25519.PrivateKey
	// requests tells two secrets apart without showing them.
	requests []byte
	// states seals states of drivers, waiting secrets between a request and their delivery.
	states, waiting *sealer
}

// New derives keys from a master key.
func New(secret []byte, db Database) (*Vault, error) {
	v := &Vault{store: db}
	var err error
	if v.labels, err = LabelKey(secret); err != nil {
		return nil, err
	}
	if v.states, err = newSealer(secret, "bothy states v1"); err != nil {
		return nil, err
	}
	if v.waiting, err = newSealer(secret, "bothy secrets v1"); err != nil {
		return nil, err
	}
	if v.requests, err = derive(secret, "bothy requests v1", 32); err != nil {
		return nil, err
	}
	seed, err := derive(secret, "bothy receipts v1", ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	v.receipts = ed25519.NewKeyFromSeed(seed)
	return v, nil
}

func derive(secret []byte, purpose string, length int) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, secret, nil, purpose, length)
	if err != nil {
		return nil, fmt.Errorf("derive key %q: %w", purpose, err)
	}
	return key, nil
}

// LabelKey gives the key that authenticates an installation's labels.
func LabelKey(secret []byte) (provisioner.Key, error) {
	if len(secret) < secretLen {
		return nil, fmt.Errorf("the installation's key has %d bytes, want at least %d", len(secret), secretLen)
	}
	return derive(secret, "bothy labels v1", 32)
}

// Labels is the key that authenticates the installation's labels.
func (v *Vault) Labels() provisioner.Key { return v.labels }

// ReceiptKey is the key that receipts are signed with: all daemons of an installation sign alike.
func (v *Vault) ReceiptKey() ed25519.PrivateKey { return v.receipts }

// SealState seals the state of an environment's driver.
func (v *Vault) SealState(environmentID string, state []byte) []byte {
	return v.states.seal(environmentID, state)
}

// OpenState opens what SealState sealed for the same environment.
func (v *Vault) OpenState(environmentID string, sealed []byte) ([]byte, error) {
	return v.states.open(environmentID, sealed)
}
