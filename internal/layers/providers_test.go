package layers_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// neutral are the rooms that serve every provider alike. What they say of one in particular is wrong for the next.
var neutral = []string{"internal/engine", "internal/service", "internal/daemon", "internal/fleet", "internal/plan", "internal/quota", "internal/store"}

// ofOneProvider are the words that belong to provisioner/docker and to cmd.
var ofOneProvider = regexp.MustCompile(`(?i)docker|container|make setup`)

// TestNeutralRoomsNameNoProvider: neither code nor an error nor a comment.
func TestNeutralRoomsNameNoProvider(t *testing.T) {
	root := moduleRoot(t)
	looked := 0
	for _, room := range neutral {
		err := filepath.WalkDir(filepath.Join(root, filepath.FromSlash(room)), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			if rel = filepath.ToSlash(rel); !isProduct(rel) && !strings.HasSuffix(rel, ".sql") {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			looked++
			for i, line := range strings.Split(string(text), "\n") {
				if word := ofOneProvider.FindString(line); word != "" {
					t.Errorf("%s:%d says %q: say sandbox, provider or host, or let the provider say it", rel, i+1, word)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if looked < 100 {
		t.Errorf("only %d files were looked at", looked)
	}
}
