package chaos_test

import (
	"syscall"
	"testing"
)

// TestStopMeetsAKill: a daemon that is killed while it is to be stopped, and one that is asked to stop before it listens to
// signals, are started again, so that every run ends with a clean stop of a daemon that had begun. (At networks/release, which
// is worked on after an environment is gone, a run failed in one of a few hundred because of it.)
func TestStopMeetsAKill(t *testing.T) {
	h := mustHouse(t, setup{daemons: 1})
	d := h.daemons[0]
	replaced := func() {
		t.Helper()
		before := d.pid()
		if err := d.signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if err := until(t.Context(), "another process runs", func() (bool, string, error) {
			pid := d.pid()
			return pid != 0 && pid != before, "none does", nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	replaced()
	if err := d.bounce(t.Context()); err != nil {
		t.Error(err)
	}
	if err := d.answers(t.Context()); err != nil {
		t.Error(err)
	}
	replaced()
	if err := d.stop(); err != nil {
		t.Error(err)
	}
	if !d.begun() || d.killed() != 2 {
		t.Errorf("the last process had begun: %t, kills: %d; want a clean stop after 2", d.begun(), d.killed())
	}
}
