package e2e_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// converged is how soon after a start everything must be in order again.
const converged = 15 * time.Second

// afterCrash restarts a daemon and waits until the environment is in one of the states;
// it reports how long that took, and checks that the engine holds nothing that the store does not know.
func (d *daemon) afterCrash(id string, states ...string) wire.Environment {
	d.t.Helper()
	begun := time.Now()
	d.launch()
	env := d.untilState(id, states...)
	took := time.Since(begun)
	d.t.Logf("converged to %s %.1f s after the start (goal %s)", env.State, took.Seconds(), converged)
	d.checkOracle()
	return env
}

// TestKill9DuringCreate: the create that was cut off is destroyed and made anew, under the same id.
func TestKill9DuringCreate(t *testing.T) {
	needsEngine(t)
	for _, moment := range []string{"creating from", "Terraform makes the sandbox", "Creating...", "Creation complete"} {
		t.Run(moment, func(t *testing.T) {
			d := start(t)
			env := d.create(wire.CreateRequest{Name: "crash"})
			d.untilEvent(env.ID, moment)
			d.kill()
			env = d.afterCrash(env.ID, "leased")
			if n := len(d.containersOf(env.ID)); n != 1 {
				t.Errorf("%d containers, want 1", n)
			}
			d.bothy("exec", env.Name, "--", "true").want(t, 0)
			d.bothy("down", env.Name).want(t, 0)
			if left := sandboxes(t, d.instance); len(left) != 0 {
				t.Errorf("left at the engine: %+v", left)
			}
		})
	}
}

// TestKill9BetweenApplyAndRecord: Terraform has made everything, and the daemon dies before it hears of it.
func TestKill9BetweenApplyAndRecord(t *testing.T) {
	needsEngine(t)
	flag := t.TempDir() + "/killed"
	wrapper := script(t, fmt.Sprintf(`
"%s" "$@"
code=$?
case " $* " in *" apply "*) if [ ! -e "%s" ]; then : > "%s"; kill -9 $PPID; sleep 1; fi;; esac
exit $code
`, realTerraform(t), flag, flag))
	d := start(t, "--terraform-binary", wrapper, "--terraform-confinement", "off") // a script has no place in a box
	env := d.create(wire.CreateRequest{Name: "crash"})
	<-d.done
	if n := len(d.containersOf(env.ID)); n != 1 {
		t.Fatalf("%d containers exist after the crash, want 1: this test would show nothing", n)
	}
	before := d.containersOf(env.ID)[0].ID
	env = d.afterCrash(env.ID, "leased")
	if after := d.containersOf(env.ID); len(after) != 1 || after[0].ID == before {
		t.Errorf("containers %+v, want one that is not %s: what was cut off is made anew", after, before)
	}
	if env.Cost.AccruedMicros <= 0 {
		t.Error("the time that the first container stood is not counted")
	}
}

// TestKill9DuringDestroy: the destroy goes on after the restart.
func TestKill9DuringDestroy(t *testing.T) {
	needsEngine(t)
	for _, moment := range []string{"gave it back", "Destroying...", "Destruction complete"} {
		t.Run(moment, func(t *testing.T) {
			d := start(t)
			d.bothy("up", "--source", "none", "--name", "crash").want(t, 0)
			env, err := d.client.Release(t.Context(), "crash")
			if err != nil {
				t.Fatal(err)
			}
			d.untilEvent(env.ID, moment)
			d.kill()
			d.afterCrash(env.ID, "destroyed")
			if left := d.containersOf(env.ID); len(left) != 0 {
				t.Errorf("left at the engine: %+v", left)
			}
		})
	}
}

// TestLeaseEndsWhileTheDaemonIsDown: overdue ones start dying within 15 s of start.
func TestLeaseEndsWhileTheDaemonIsDown(t *testing.T) {
	needsEngine(t)
	d := start(t)
	d.bothy("up", "--source", "none", "--name", "brief", "--ttl", "2s").want(t, 0)
	env, err := d.get("brief")
	if err != nil {
		t.Fatal(err)
	}
	d.kill()
	d.eventually("the lease is over", func() bool { return time.Now().After(*env.Lease.End) })
	d.afterCrash(env.ID, "destroyed")
}

// TestLeaseIsReapedOnTime shows how late the reaper is with a lease of 20 s.
func TestLeaseIsReapedOnTime(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	d := start(t)
	d.bothy("up", "--source", "none", "--name", "brief", "--ttl", "20s").want(t, 0)
	env := d.untilState("brief", "destroyed")
	late := env.DestroyedAt.Sub(*env.Lease.End)
	t.Logf("gone %.1f s after its lease ended", late.Seconds())
	if late > 15*time.Second {
		t.Errorf("gone %s after its lease ended, promised are 15 s", late)
	}
	if n := len(sandboxes(t, d.instance)); n != 0 {
		t.Errorf("%d containers are left", n)
	}
}

// TestTermDuringCreate: the daemon lets Terraform finish, records it, and exits 0.
func TestTermDuringCreate(t *testing.T) {
	needsEngine(t)
	d := start(t)
	env := d.create(wire.CreateRequest{Name: "slow"})
	d.untilEvent(env.ID, "Creating...")
	if code := d.terminate(); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, d.log)
	}
	if n := len(d.containersOf(env.ID)); n != 1 {
		t.Errorf("%d containers, want 1", n)
	}
	before := d.containersOf(env.ID)
	env = d.afterCrash(env.ID, "leased")
	if after := d.containersOf(env.ID); len(before) == 1 && (len(after) != 1 || after[0].ID != before[0].ID) {
		t.Errorf("it was made anew (%+v, was %+v), although it could finish", after, before)
	}
	if env.Attempts != 0 {
		t.Errorf("attempts %d, want 0: stopping is no failed try", env.Attempts)
	}
}

// TestSecondDaemonOnOneStateDirectory ends with a sentence that names the first.
func TestSecondDaemonOnOneStateDirectory(t *testing.T) {
	d := start(t, "--driver", "fake")
	out, err := d.command("--listen-unix", d.dir+"/other/bothyd.sock").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another bothyd") || !strings.Contains(string(out), fmt.Sprint(d.cmd.Process.Pid)) {
		t.Errorf("second daemon: %v, %s", err, out)
	}
	if _, err := d.client.Version(t.Context()); err != nil {
		t.Errorf("the first daemon suffered: %v", err)
	}
}
