package receipt_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"testing"

	"github.com/bothy-env/bothy/internal/receipt"
)

// resign gives a receipt another text, hashed and signed by the book: written here a second time, so that a
// change of how it is done cannot pass unseen.
func resign(t testing.TB, r receipt.Receipt, text []byte) receipt.Receipt {
	t.Helper()
	hash := sha256.Sum256(append([]byte(r.PrevHash), text...))
	r.Body, r.Hash = text, hex.EncodeToString(hash[:])
	r.Signature = base64.StdEncoding.EncodeToString(ed25519.Sign(key, hash[:]))
	return r
}

// TestFormStays: receipts that people hold must verify for ever.
func TestFormStays(t *testing.T) {
	r := signed(t, body(1, receipt.First()))
	if same := resign(t, r, r.Body); same.Hash != r.Hash || same.Signature != r.Signature {
		t.Error("hash or signature are made in another way than they were")
	}
}
