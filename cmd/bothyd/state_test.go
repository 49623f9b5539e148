package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestMarksAreKept: saved or noted, over nothing, over each other and over an earlier version's file.
func TestMarksAreKept(t *testing.T) {
	d := &stateDir{path: t.TempDir()}
	want := func(events, receipts int64) {
		t.Helper()
		if gotEvents, gotReceipts, err := d.Load(); err != nil || gotEvents != events || gotReceipts != receipts {
			t.Errorf("read %d and %d, %v; want %d and %d", gotEvents, gotReceipts, err, events, receipts)
		}
	}
	want(0, 0)
	for i, keep := range []func(events, receipts int64) error{d.Note, d.Note, d.Save, d.Note, d.Save} {
		// Shorter numbers after longer ones, too.
		events, receipts := int64(123456)>>(4*i), int64(1)<<(62-7*i)
		if err := keep(events, receipts); err != nil {
			t.Fatal(err)
		}
		want(events, receipts)
	}
	if err := os.WriteFile(filepath.Join(d.path, "marks"), []byte("12 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want(12, 3)
	if err := d.Note(14, 3); err != nil {
		t.Fatal(err)
	}
	want(14, 3)
	info, err := os.Stat(filepath.Join(d.path, "marks"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v", info.Mode(), err)
	}
}

// TestSameKey: a key is random bytes. One that begins or ends with what looks like a space is no other key, and not the same as its like.
func TestSameKey(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 30)
	spaced := append(append([]byte{' '}, key...), '\n')
	for name, c := range map[string]struct {
		a, b []byte
		same bool
	}{
		"the same":                     {spaced, spaced, true},
		"an editor ended the line":     {spaced, append(bytes.Clone(spaced), '\n'), true},
		"another space at its end":     {spaced, append(append([]byte{' '}, key...), ' '), false},
		"another space at its start":   {spaced, append(append([]byte{'\t'}, key...), '\n'), false},
		"too short, and the same text": {key[:9], key[:9], true},
	} {
		if got := sameKey(c.a, c.b); got != c.same {
			t.Errorf("%s: got %v, want %v", name, got, c.same)
		}
	}
}
