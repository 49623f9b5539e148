//go:build chaos

package failpoint

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestMain is the child of the tests when the variable is set: it reaches what its arguments name, in order.
func TestMain(m *testing.M) {
	if os.Getenv(variable) == "" {
		os.Exit(m.Run())
	}
	for _, name := range os.Args[1:] {
		what, end, _ := strings.Cut(name, ":")
		Reach("room", what, end)
		if _, err := os.Stdout.WriteString(name + "\n"); err != nil {
			os.Exit(3)
		}
	}
}

func child(t *testing.T, orders string, names ...string) (passed string, state *os.ProcessState) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], names...)
	cmd.Env = append(os.Environ(), variable+"="+orders)
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(out)), " "), cmd.ProcessState
}

func TestKillsAtTheNthTime(t *testing.T) {
	t.Parallel()
	for orders, want := range map[string]string{
		"kill:room/a:before:1": "",
		"kill:room/a:before:2": "a:before b:before",
		"kill:room/b:before:1": "a:before",
	} {
		passed, state := child(t, orders, "a:before", "b:before", "a:before", "c:before")
		if status := state.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
			t.Errorf("%s: it ended with %v, want SIGKILL", orders, state)
		}
		if passed != want {
			t.Errorf("%s: it passed %q, want %q", orders, passed, want)
		}
	}
	if passed, state := child(t, "kill:room/a:before:3", "a:before", "a:before"); !state.Success() || passed != "a:before a:before" {
		t.Errorf("a point that is not reached so often: %v after %q", state, passed)
	}
}

func TestRecordsEveryPoint(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "points")
	if _, state := child(t, "record:"+file, "a:before", "a:after", "a:before"); !state.Success() {
		t.Fatal(state)
	}
	text, err := os.ReadFile(file)
	if err != nil || string(text) != "room/a:before\nroom/a:after\nroom/a:before\n" {
		t.Errorf("recorded %q, error %v", text, err)
	}
}

func TestWrongOrdersEndTheProcess(t *testing.T) {
	t.Parallel()
	for _, orders := range []string{"nonsense", "kill:a", "kill:a:0", "kill:a:x", "record:/nowhere/at/all"} {
		if passed, state := child(t, orders, "a"); state.Success() || passed != "" {
			t.Errorf("%s: %v after %q", orders, state, passed)
		}
	}
}
