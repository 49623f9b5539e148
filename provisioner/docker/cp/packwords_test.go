package cp

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

// TestWhatTarSaysReachesTheUser: the names of what could not be read, a signal, and no more than that of a flood of words.
func TestWhatTarSaysReachesTheUser(t *testing.T) {
	long := strings.Repeat("n", 4000)
	var flood strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&flood, "tar: d/%d: Cannot open: Permission denied\n", i)
	}
	for _, c := range []struct {
		name, said string
		code       int
		class      provisioner.Class
		want       string
	}{
		{"well", "", 0, "", ""},
		{"well, with words", "tar: d/x: socket ignored\n", 0, "", ""},
		{"two names", "tar: d/2: Cannot open: Permission denied\ntar: d/sub: Cannot open: Permission denied\ntar: Exiting with failure status due to previous errors\n", 2,
			provisioner.Denied, `reading "/d" failed with code 2: d/2: Cannot open: Permission denied; d/sub: Cannot open: Permission denied`},
		{"many names", flood.String(), 2, provisioner.Denied, "d/4: Cannot open: Permission denied; and 99995 more"},
		{"a long name", "tar: " + long + ": Cannot open: Permission denied\n", 2, provisioner.Denied, "nnn: Cannot open: Permission denied"},
		{"no newline at the end", "tar: d/2: Cannot open: Permission denied", 2, provisioner.Denied, "d/2: Cannot open: Permission denied"},
		{"nothing", "", 2, provisioner.Permanent, "it said nothing"},
		{"killed", "", 137, provisioner.Permanent, `tar in the sandbox was ended by signal 9 while it read "/d"`},
		{"changed", "tar: d/log: file changed as we read it\n", 1, "", ""},
		{"shrank", "tar: d/log: File shrank by 3 bytes; padding with zeros\n", 1, "", ""},
		{"gone", "tar: d/x: File removed before we read it\n", 1, "", ""},
		{"many long ones that changed", strings.Repeat("tar: d/"+long+": file changed as we read it\n", 150), 1, "", ""},
		{"changed, and more", "tar: d/log: file changed as we read it\ntar: d/x: Read error\n", 1, provisioner.Permanent, "d/x: Read error"},
		{"code 1 and no words", "", 1, provisioner.Permanent, "it said nothing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			words := &packWords{}
			for part := range strings.SplitAfterSeq(c.said, " ") {
				if _, err := words.Write([]byte(part)); err != nil {
					t.Fatal(err)
				}
			}
			err := packOutcome(c.code, nil, "/d", "dev", words)
			if c.want == "" {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			if err == nil || provisioner.ClassOf(err) != c.class || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v (class %s), want %q (class %s)", err, provisioner.ClassOf(err), c.want, c.class)
			}
			if len(err.Error()) > maxWordLines*maxWordLine+1000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// TestNotesAreTyped: each of tar's sentences that is no fault gives a name and a kind, and a flood of them is counted.
func TestNotesAreTyped(t *testing.T) {
	words := &packWords{}
	said := "tar: d/log: file changed as we read it\ntar: d/a: b: File shrank by 3 bytes; padding with zeros\n" +
		"tar: d/x: File removed before we read it\ntar: d/s: socket ignored\n" + strings.Repeat("tar: d/log: file changed as we read it\n", 100)
	if _, err := words.Write([]byte(said)); err != nil {
		t.Fatal(err)
	}
	got := words.notes()
	want := []provisioner.CopyNote{{Path: "d/log", Kind: provisioner.CopyChanged}, {Path: "d/a: b", Kind: provisioner.CopyShrank},
		{Path: "d/x", Kind: provisioner.CopyGone}, {Path: "d/s", Kind: provisioner.CopySocket}}
	if !slices.Equal(got.First[:4], want) || len(got.First) != maxCopyNotes || got.Count != 104 {
		t.Errorf("got %d of %d notes, first %v, want %v", len(got.First), got.Count, got.First[:4], want)
	}
}
