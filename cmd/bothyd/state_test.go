package main

import (
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
