package facts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestContainerOf: a process's container by both forms of its control group.
func TestContainerOf(t *testing.T) {
	id := strings.Repeat("ab", 32)
	for text, want := range map[string]string{
		"9:name=systemd:/bothy-x/" + id + "\n8:pids:/\n": id,
		"0::/bothy_x.slice/docker-" + id + ".scope\n":    id,
		"0::/user.slice/user-0.slice/session-1.scope\n":  "session-1",
		"9:name=systemd:/\n":                             "",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "cgroup"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := containerOf(dir); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	// What is in no container is nobody's to end.
	if who, n := hog(map[string]int{"session-1": 9, "": 8, id: 2}); who != id || n != 2 {
		t.Errorf("got %q with %d, want the container", who, n)
	}
}
