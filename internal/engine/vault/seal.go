package vault

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/bothy-env/bothy/internal/fleet"
)

// secretLen is the least length of the installation's master key in bytes.
const secretLen = 32

// newSealer makes a sealer with a key of its own purpose.
func newSealer(secret []byte, purpose string) (*sealer, error) {
	key, err := derive(secret, purpose, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("make cipher %q: %w", purpose, err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("make cipher %q: %w", purpose, err)
	}
	return &sealer{aead: aead}, nil
}

// sealer encrypts for the store what nobody else may read: driver states, secrets that wait for delivery.
type sealer struct{ aead cipher.AEAD }

// seal binds the text to what it belongs to, an environment's id for a state: moved to another row it does not open.
func (s *sealer) seal(belongs string, text []byte) []byte {
	return s.aead.Seal(nil, nil, text, []byte(belongs))
}

func (s *sealer) open(belongs string, sealed []byte) ([]byte, error) {
	text, err := s.aead.Open(nil, nil, sealed, []byte(belongs))
	if err != nil {
		return nil, errors.New("open what was sealed: it was sealed with another key or belongs to another environment, or is damaged")
	}
	return text, nil
}

// ParseSecret gives a master key as it was read from a file, to which an editor may have added the end of a line.
func ParseSecret(kept []byte) ([]byte, error) {
	for _, end := range []string{"\r\n", "\n"} {
		if key, ok := bytes.CutSuffix(kept, []byte(end)); ok && len(key) == secretLen {
			return key, nil
		}
	}
	if len(kept) < secretLen {
		return nil, fleet.Errorf(fleet.CodeInvalid, "the installation's key has %d bytes, want at least %d", len(kept), secretLen).
			WithHint("put the key back from a backup, or from the state directory of another daemon that uses this database")
	}
	return kept, nil
}

// NewSecret makes a master key for a new installation.
func NewSecret() []byte {
	b := make([]byte, secretLen)
	_, _ = rand.Read(b) // crypto/rand.Read never fails: it ends the program instead
	return b
}
