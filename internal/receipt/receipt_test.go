package receipt_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/receipt"
)

var (
	key    = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	public = []byte(key.Public().(ed25519.PublicKey))
	noon   = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
)

func body(seq int64, prev string) receipt.Body {
	created := noon.Add(-time.Hour)
	return receipt.Body{
		Version: receipt.Version, Instance: "inst",
		Environment: receipt.Environment{ID: "env-a", Name: "calm-fox-2", Tenant: "acme", Team: "core", User: "ann", Blueprint: "build@1.0.0"},
		CreatedAt:   created, DestroyedAt: noon,
		Resources:  []receipt.Resource{{Kind: "container", ID: "c1", Name: "bothy-inst-env-a", CreatedAt: &created}},
		Checks:     []receipt.Check{{At: noon, What: "list by label"}, {At: noon, What: "list by label"}},
		CostMicros: 5, Currency: "USD", Seq: seq, PrevHash: prev,
	}
}

func signed(t testing.TB, b receipt.Body) receipt.Receipt {
	t.Helper()
	r, err := receipt.Sign(b, key)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestVerifyGivesWhatWasSigned(t *testing.T) {
	want := body(1, receipt.First())
	r := signed(t, want)
	// Also after a journey as JSON, which is how it is kept in a file.
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var travelled receipt.Receipt
	if err := json.Unmarshal(text, &travelled); err != nil {
		t.Fatal(err)
	}
	got, err := receipt.Verify(travelled, public)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is verified is not what was signed (-want +got):\n%s", diff)
	}
}

// TestEveryChangedByteIsSeen changes each byte of everything that a receipt is made of.
func TestEveryChangedByteIsSeen(t *testing.T) {
	r := signed(t, body(3, strings.Repeat("ab", 32)))
	for i := range r.Body {
		bad := r
		bad.Body = slices.Clone(r.Body)
		bad.Body[i] ^= 1
		if _, err := receipt.Verify(bad, public); err == nil {
			t.Fatalf("byte %d of the text was changed, and it is accepted", i)
		}
	}
	for name, field := range map[string]func(*receipt.Receipt) *string{
		"the hash before": func(r *receipt.Receipt) *string { return &r.PrevHash },
		"the hash":        func(r *receipt.Receipt) *string { return &r.Hash },
		"the signature":   func(r *receipt.Receipt) *string { return &r.Signature },
		"the environment": func(r *receipt.Receipt) *string { return &r.Environment },
	} {
		for i := range *field(&r) {
			bad := r
			text := []byte(*field(&bad))
			text[i] ^= 1
			*field(&bad) = string(text)
			if _, err := receipt.Verify(bad, public); err == nil {
				t.Fatalf("byte %d of %s was changed, and it is accepted", i, name)
			}
		}
	}
	seq, at := r, r
	seq.Seq++
	at.At = at.At.Add(time.Second)
	for name, bad := range map[string]receipt.Receipt{"the number": seq, "the time": at} {
		if _, err := receipt.Verify(bad, public); err == nil {
			t.Errorf("%s was changed, and it is accepted", name)
		}
	}
	for i := range public {
		other := slices.Clone(public)
		other[i] ^= 1
		if _, err := receipt.Verify(r, other); err == nil {
			t.Fatal("it is accepted with another key")
		}
	}
}

// TestWhatProvesNothingIsRefused: a signature alone is no proof; the text must say that nothing is left.
func TestWhatProvesNothingIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*receipt.Body)
		want   string
	}{
		"nobody looked":          {func(b *receipt.Body) { b.Checks = nil }, "no checks"},
		"something was left":     {func(b *receipt.Body) { b.Checks[1].Found = 2 }, "found 2"},
		"a version to come":      {func(b *receipt.Body) { b.Version = 2 }, "version 2"},
		"of no environment":      {func(b *receipt.Body) { b.Environment.ID = "" }, "environment"},
		"of no place":            {func(b *receipt.Body) { b.Seq = 0 }, "number"},
		"follows a short hash":   {func(b *receipt.Body) { b.PrevHash = "ab" }, "64 hex digits"},
		"follows what is no hex": {func(b *receipt.Body) { b.PrevHash = strings.Repeat("zz", 32) }, "64 hex digits"},
	} {
		b := body(1, receipt.First())
		c.change(&b)
		_, err := receipt.Verify(signed(t, b), public)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error about %q", name, err, c.want)
		}
	}
}

// TestUnknownFieldsAreRefused: a text that says more than is understood is not vouched for.
func TestUnknownFieldsAreRefused(t *testing.T) {
	for name, change := range map[string]func(string) string{
		"a field that nobody knows": func(s string) string { return strings.Replace(s, "{", `{"except":"one",`, 1) },
		"a second text":             func(s string) string { return s + `{}` },
		"no JSON":                   func(string) string { return "gone" },
	} {
		r := signed(t, body(1, receipt.First()))
		bad := resign(t, r, []byte(change(string(r.Body))))
		if _, err := receipt.Verify(bad, public); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestBadKeys(t *testing.T) {
	if _, err := receipt.Sign(body(1, receipt.First()), key[:10]); err == nil {
		t.Error("signed with half a key")
	}
	r := signed(t, body(1, receipt.First()))
	for _, public := range [][]byte{nil, public[:31], append(slices.Clone(public), 0)} {
		if _, err := receipt.Verify(r, public); err == nil {
			t.Errorf("verified with a key of %d bytes", len(public))
		}
	}
	r.Signature = "not base64"
	if _, err := receipt.Verify(r, public); err == nil {
		t.Error("verified without a signature")
	}
}

func chain(t testing.TB, n int) []receipt.Receipt {
	t.Helper()
	prev, all := receipt.First(), []receipt.Receipt{}
	for i := range n {
		r := signed(t, body(int64(i+1), prev))
		all, prev = append(all, r), r.Hash
	}
	return all
}

// TestChain takes receipts out of a chain, swaps and replaces them.
func TestChain(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(3, 8).Draw(rt, "receipts")
		whole := chain(t, n)
		if err := receipt.VerifyChain(whole, public); err != nil {
			rt.Fatalf("a whole chain: %v", err)
		}
		from := rapid.IntRange(0, n-1).Draw(rt, "from")
		if err := receipt.VerifyChain(whole[from:], public); err != nil {
			rt.Fatalf("a part of a chain: %v", err)
		}
		i := rapid.IntRange(1, n-2).Draw(rt, "place")
		missing := slices.Delete(slices.Clone(whole), i, i+1)
		if receipt.VerifyChain(missing, public) == nil {
			rt.Fatalf("receipt %d is missing, and nobody sees it", i+1)
		}
		swapped := slices.Clone(whole)
		swapped[i-1], swapped[i] = swapped[i], swapped[i-1]
		if receipt.VerifyChain(swapped, public) == nil {
			rt.Fatal("two were swapped, and nobody sees it")
		}
		// Replaced by the installation itself, with a proper signature.
		other := body(whole[i].Seq, whole[i].PrevHash)
		other.CostMicros++
		replaced := slices.Clone(whole)
		replaced[i] = signed(t, other)
		if receipt.VerifyChain(replaced, public) == nil {
			rt.Fatal("one was replaced, and nobody sees it")
		}
	})
	if receipt.VerifyChain([]receipt.Receipt{signed(t, body(1, strings.Repeat("11", 32)))}, public) == nil {
		t.Error("the first claims one before it, and nobody sees it")
	}
}

// TestNothingBegun: who made nothing gets a receipt with no resources, written as an empty list.
func TestNothingBegun(t *testing.T) {
	b := body(1, receipt.First())
	b.Resources = nil
	r := signed(t, b)
	if !bytes.Contains(r.Body, []byte(`"resources":[]`)) {
		t.Errorf("the text is %s", r.Body)
	}
	if _, err := receipt.Verify(r, public); err != nil {
		t.Error(err)
	}
}

// FuzzVerify: no text, however signed, makes it panic, and what it accepts says that nothing was left.
func FuzzVerify(f *testing.F) {
	f.Add(signed(f, body(1, receipt.First())).Body)
	f.Add([]byte(`{"version":1,"checks":[{"found":1}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := receipt.Verify(resign(t, receipt.Receipt{Seq: 1, Environment: "env-a", At: noon, PrevHash: receipt.First()}, text), public)
		if err == nil && (len(b.Checks) == 0 || b.Environment.ID != "env-a") {
			t.Errorf("accepted: %s", text)
		}
	})
}
