package fake_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bothy-env/bothy/provisioner/fake"
)

// TestLivesThatNeverWere: a process that is killed between the note of a container's beginning and the container leaves the note.
func TestLivesThatNeverWere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := fake.New(fake.Options{Dir: dir})
	there, err := w.Place("container", "there", nil)
	if err != nil {
		t.Fatal(err)
	}
	notes, err := os.OpenFile(filepath.Join(dir, "lives"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := notes.WriteString(`{"ID":"never","Environment":"e","From":"2026-01-02T03:04:05Z"}` + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := notes.Close(); err != nil {
		t.Fatal(err)
	}
	lives, err := w.Lives()
	if err != nil || len(lives) != 1 || lives[0].ID != there.ID {
		t.Errorf("lives %+v, %v; want only that of %s", lives, err, there.ID)
	}
}
