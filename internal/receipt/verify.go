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

// Verify checks a receipt with the installation's public key (32 bytes) and gives what it says: that the
// installation signed it, that nothing in it was changed since, and that its last looks found nothing.
func Verify(r Receipt, public []byte) (Body, error) {
	if len(public) != ed25519.PublicKeySize {
		return Body{}, fmt.Errorf("verify receipt: the public key has %d bytes, want %d", len(public), ed25519.PublicKeySize)
	}
	if !isHash(r.PrevHash) {
		return Body{}, errors.New("verify receipt: the hash of the receipt before is not 64 hex digits")
	}
	hash := hashOf(r.PrevHash, r.Body)
	if subtle.ConstantTimeCompare([]byte(hex.EncodeToString(hash)), []byte(r.Hash)) != 1 {
		return Body{}, errors.New("verify receipt: its hash is not that of its text: one of them was changed")
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

// Add checks the next receipt and gives what it says.
func (c *Chain) Add(r Receipt) (Body, error) {
	b, err := Verify(r, c.Key)
	switch {
	case err != nil:
		return b, fmt.Errorf("receipt %d: %w", r.Seq, err)
	case r.Seq == 1 && r.PrevHash != First():
		return b, errors.New("receipt 1: it claims that one came before it")
	case c.Last.Seq == 0:
	case r.Seq != c.Last.Seq+1:
		return b, fmt.Errorf("receipt %d: it follows receipt %d", r.Seq, c.Last.Seq)
	case r.PrevHash != c.Last.Hash:
		return b, fmt.Errorf("receipt %d: it does not follow the receipt before it: one of them was replaced", r.Seq)
	}
	c.Last = r
	return b, nil
}

// VerifyChain checks receipts that follow each other, and that none is missing between them.
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

// parse reads a body; what it does not know could say anything, so it is refused.
func parse(text []byte) (Body, error) {
	var b Body
	decode := json.NewDecoder(bytes.NewReader(text))
	decode.DisallowUnknownFields()
	if err := decode.Decode(&b); err != nil {
		return b, fmt.Errorf("read what it says: %w", err)
	}
	if _, err := decode.Token(); !errors.Is(err, io.EOF) {
		return b, errors.New("there is more in it than what it says")
	}
	if b.Version != Version {
		return b, fmt.Errorf("it is of version %d, this program knows version %d", b.Version, Version)
	}
	return b, nil
}

// agrees checks that what is written around a body is what is in it, and that it proves something.
func agrees(r Receipt, b Body) error {
	switch {
	case b.Seq != r.Seq || b.Seq < 1:
		return fmt.Errorf("its number is %d outside and %d inside", r.Seq, b.Seq)
	case b.PrevHash != r.PrevHash:
		return errors.New("the receipt before it is another one outside than inside")
	case b.Environment.ID == "" || b.Environment.ID != r.Environment:
		return fmt.Errorf("it is of environment %q outside and %q inside", r.Environment, b.Environment.ID)
	case !b.DestroyedAt.Equal(r.At):
		return errors.New("its time is another one outside than inside")
	case len(b.Checks) == 0:
		return errors.New("it proves nothing: nobody looked for what might be left")
	}
	for _, c := range b.Checks {
		if c.Found != 0 {
			return fmt.Errorf("it proves that something was left: %s found %d", c.What, c.Found)
		}
	}
	return nil
}
