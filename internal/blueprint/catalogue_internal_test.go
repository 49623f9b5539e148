package blueprint

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

// shelf makes n folders that look like blueprints.
func shelf(t *testing.T, n int) string {
	t.Helper()
	top := t.TempDir()
	for i := range n {
		dir := filepath.Join(top, fmt.Sprintf("b%02d", i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, ManifestName), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return top
}

func blueprintOf(dir string) fleet.Blueprint {
	return fleet.Blueprint{Ref: fleet.BlueprintRef{Name: filepath.Base(dir), Version: "1.0.0", Digest: dir}}
}

// TestFoldersAreLoadedSideBySide: several at once, and never more than there is memory for.
func TestFoldersAreLoadedSideBySide(t *testing.T) {
	var mu sync.Mutex
	now, most := 0, 0
	full := make(chan struct{})
	c, err := open(Sources{Folders: []string{shelf(t, 3*together)}}, t.TempDir(), loading{most: time.Minute, load: func(dir, _ string, _ terms) (fleet.Blueprint, error) {
		mu.Lock()
		if now++; now == together && most < together {
			// One more would come now, if it could.
			time.AfterFunc(200*time.Millisecond, func() { close(full) })
		}
		most = max(most, now)
		mu.Unlock()
		<-full
		mu.Lock()
		now--
		mu.Unlock()
		return blueprintOf(dir), nil
	}})
	if err != nil || most != together || len(c.List()) != 3*together {
		t.Errorf("%d at once, want %d; %d of %d are offered; %v", most, together, len(c.List()), 3*together, err)
	}
}

// TestAFolderThatNeverLoadsKeepsNobodyWaiting: its time is over, it is told, and the others are offered.
func TestAFolderThatNeverLoadsKeepsNobodyWaiting(t *testing.T) {
	over := make(chan struct{})
	defer close(over)
	c, err := open(Sources{Folders: []string{shelf(t, 3)}}, t.TempDir(), loading{most: 2 * time.Second, load: func(dir, _ string, _ terms) (fleet.Blueprint, error) {
		if filepath.Base(dir) == "b00" {
			<-over
		}
		return blueprintOf(dir), nil
	}})
	if err != nil || len(c.List()) != 2 {
		t.Fatalf("%v; offered: %v", err, c.List())
	}
	if r := c.Refused(); len(r) != 1 || filepath.Base(r[0].Folder) != "b00" || !strings.Contains(r[0].Err.Error(), "took longer than 2s") {
		t.Errorf("refused: %v", r)
	}
}

// TestTokensAreCountedBeforeTheyAreMade: the count is never less than the lexer's.
func TestTokensAreCountedBeforeTheyAreMade(t *testing.T) {
	for _, src := range []string{"", "a = 1\n", `x = "a${b}c%{if d}e%{endif}"`, "x = 1a1a1a 1.5e10 a.b.0.c", "a=<<EOT\nx y z\nEOT\n", "ä = \"ö ü\"", "/* a */ # b\n// c\n", "a-b c_d 0x1f 1_2", "\"\"\"\"", "...=>:::?!=<=>=&&||"} {
		tokens := lexed(src)
		if n := atMostTokens([]byte(src)) + 1; n < len(tokens) { // the end is one, too
			t.Errorf("%q: %d tokens, counted %d", src, len(tokens), n)
		}
	}
}

// TestWhatWasKeptStaysFound: environments made from what an earlier version accepted are still destroyed by it.
func TestWhatWasKeptStaysFound(t *testing.T) {
	store := t.TempDir()
	files := fileSet{ManifestName: []byte("name: old\n"), "x_override.tf": []byte("# \x00"), "big.tf": make([]byte, maxFileBytes+1)}
	dir, err := keep(files, store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := discard(dir); err != nil {
			t.Error(err)
		}
	})
	if found, err := (&Catalogue{cacheDir: store}).Dir(files.digest()); err != nil || found != dir {
		t.Errorf("it is found in %s: %v", found, err)
	}
}

// TestREADMETellsWhatIsAllowed: every attribute, block and function of the lists.
func TestREADMETellsWhatIsAllowed(t *testing.T) {
	text, err := os.ReadFile("../../modules/README.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	names = append(names, functions...)
	for name := range containerShape.attributes {
		names = append(names, name)
	}
	for name := range containerShape.blocks {
		names = append(names, name)
	}
	for _, name := range names {
		if !strings.Contains(string(text), "`"+name+"`") && !strings.Contains(string(text), "`dynamic \""+name) {
			t.Errorf("modules/README.md does not tell of %s", name)
		}
	}
}
