package engine

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/bothy-env/bothy/provisioner"
)

// secretLen is the least length of the installation's master key in bytes.
const secretLen = 32

// deriveKeys makes one key per purpose from the master key (HKDF, RFC 5869),
// so that no two uses share one.
func deriveKeys(secret []byte) (provisioner.Key, *sealer, error) {
	if len(secret) < secretLen {
		return nil, nil, fmt.Errorf("the installation's key has %d bytes, want at least %d", len(secret), secretLen)
	}
	labels, err := hkdf.Key(sha256.New, secret, nil, "bothy labels v1", 32)
	if err != nil {
		return nil, nil, fmt.Errorf("derive label key: %w", err)
	}
	states, err := hkdf.Key(sha256.New, secret, nil, "bothy states v1", 32)
	if err != nil {
		return nil, nil, fmt.Errorf("derive state key: %w", err)
	}
	block, err := aes.NewCipher(states)
	if err != nil {
		return nil, nil, fmt.Errorf("make state cipher: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, nil, fmt.Errorf("make state cipher: %w", err)
	}
	return labels, &sealer{aead: aead}, nil
}

// LabelKey gives the key that authenticates an installation's labels. It is
// the one that an Engine made with the same secret uses.
func LabelKey(secret []byte) (provisioner.Key, error) {
	key, _, err := deriveKeys(secret)
	return key, err
}

// sealer encrypts driver states, which may hold secrets, for the store.
type sealer struct{ aead cipher.AEAD }

// seal binds the state to its environment: moved to another row it does not open.
func (s *sealer) seal(environmentID string, state []byte) []byte {
	return s.aead.Seal(nil, nil, state, []byte(environmentID))
}

func (s *sealer) open(environmentID string, sealed []byte) ([]byte, error) {
	state, err := s.aead.Open(nil, nil, sealed, []byte(environmentID))
	if err != nil {
		return nil, errors.New("open state: it was sealed with another key or for another environment, or is damaged")
	}
	return state, nil
}

// NewSecret makes a master key for a new installation.
func NewSecret() []byte {
	b := make([]byte, secretLen)
	_, _ = rand.Read(b) // crypto/rand.Read never fails: it ends the program instead
	return b
}
