package receipt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Verify checks a receipt with the installation's public key (32 bytes) and returns its body: the installation signed it, nothing in it
// was changed since, and its last checks found nothing.
func Verify(r Receipt, public []byte) (Body, error) {
	if len(public) != ed25519.PublicKeySize {
		return Body{}, fmt.Errorf("verify receipt: the public key has %d bytes, want %d", len(public), ed25519.PublicKeySize)
	}
	if !isHash(r.PrevHash) {
		return Body{}, errors.New("verify receipt: the hash of the previous receipt is not 64 hex digits")
	}
	hash := hashOf(r.PrevHash, r.Body)
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(hash)), []byte(r.Hash)) != 1 {
		return Body{}, errors.New("verify receipt: its hash does not match its text: one of them was changed")
	}
	signature, err := base64.StdEncoding.Strict().DecodeString(r.Signature)
	if err != nil {
		return Body{}, fmt.Errorf("verify receipt: its signature is not base64: %w", err)
	}
	if !ed25519.Verify(public, hash, signature) {
		return Body{}, errors.New("verify receipt: its signature was not made with this key")
	}
	b, err := parse(r.Body)
	if err != nil {
		return Body{}, fmt.Errorf("verify receipt: %w", err)
	}
	if err := agrees(r, b); err != nil {
		return Body{}, fmt.Errorf("verify receipt: %w", err)
	}
	return b, nil
}

// Chain checks receipts one after another: each with the installation's public key, and that it follows the one before.
type Chain struct {
	// Key has 32 bytes.
	Key []byte
	// Last is the receipt that was added last; its zero value before the first, which may be any.
	Last Receipt
}

// Add checks the next receipt and returns its body.
func (c *Chain) Add(r Receipt) (Body, error) {
	b, err := Verify(r, c.Key)
	switch {
	case err != nil:
		return b, fmt.Errorf("receipt %d: %w", r.Seq, err)
	case r.Seq == 1 && r.PrevHash != First():
		return b, errors.New("receipt 1: it claims a previous receipt")
	case c.Last.Seq == 0:
	case r.Seq != c.Last.Seq+1:
		return b, fmt.Errorf("receipt %d: it follows receipt %d", r.Seq, c.Last.Seq)
	case r.PrevHash != c.Last.Hash:
		return b, fmt.Errorf("receipt %d: it does not follow the previous receipt: one of them was replaced", r.Seq)
	}
	c.Last = r
	return b, nil
}

// VerifyChain checks that receipts follow each other and that none is missing between them.
func VerifyChain(receipts []Receipt, public []byte) error {
	c := Chain{Key: public}
	for _, r := range receipts {
		if _, err := c.Add(r); err != nil {
			return err
		}
	}
	return nil
}

func isHash(s string) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == hashLen
}

// parse reads a body; unknown content could mean anything, so it is refused.
func parse(text []byte) (Body, error) {
	var b Body
	decode := json.NewDecoder(bytes.NewReader(text))
	decode.DisallowUnknownFields()
	if err := decode.Decode(&b); err != nil {
		return b, fmt.Errorf("read its body: %w", err)
	}
	if _, err := decode.Token(); !errors.Is(err, io.EOF) {
		return b, errors.New("its body has extra content")
	}
	if b.Version != Version {
		return b, fmt.Errorf("it has version %d, this program knows version %d", b.Version, Version)
	}
	return b, nil
}

// agrees checks that the fields around a body match the body, and that it proves something.
func agrees(r Receipt, b Body) error {
	switch {
	case b.Seq != r.Seq || b.Seq < 1:
		return fmt.Errorf("its number is %d, but %d in its body", r.Seq, b.Seq)
	case b.PrevHash != r.PrevHash:
		return errors.New("its previous hash differs from the one in its body")
	case b.Environment.ID == "" || b.Environment.ID != r.Environment:
		return fmt.Errorf("its environment is %q, but %q in its body", r.Environment, b.Environment.ID)
	case !b.DestroyedAt.Equal(r.At):
		return errors.New("its time differs from the one in its body")
	case len(b.Checks) == 0:
		return errors.New("it proves nothing: it has no checks for leftovers")
	}
	for _, c := range b.Checks {
		if c.Found != 0 {
			return fmt.Errorf("it proves leftovers: %s found %d", c.What, c.Found)
		}
	}
	return nil
}
