package e2e_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// TestTerraformMissingOrBroken: the daemon starts, takes requests, says what is wrong with Terraform, and makes them
// as soon as there is one that works. It goes away again under a running daemon, and comes back.
func TestTerraformMissingOrBroken(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	binary := filepath.Join(t.TempDir(), "terraform")
	d := start(t, "--terraform-binary", binary, "--terraform-confinement", "off") // a script has no place in a box
	d.eventually("doctor tells that Terraform is missing", func() bool {
		c := d.check("terraform")
		return c.Status == "failed" && strings.Contains(c.Message, binary)
	})
	env := d.create(wire.CreateRequest{Name: "early"})
	if env = d.untilReason(env.ID); env.State != "pending" || !strings.Contains(env.Reason, binary) {
		t.Errorf("state %s, reason %q; want it pending because of %s", env.State, env.Reason, binary)
	}

	replace(t, binary, "#!/bin/sh\necho 'libfoo.so.3: cannot open shared object file' >&2\nexit 127\n")
	d.eventually("the reason is that it is broken", func() bool {
		got, err := d.get(env.ID)
		return err == nil && got.State == "pending" && strings.Contains(got.Reason, "libfoo.so.3")
	})
	if c := d.check("terraform"); c.Status != "failed" || !strings.Contains(c.Message, "libfoo.so.3") {
		t.Errorf("doctor says of a Terraform that is broken: %+v", c)
	}

	whole := fmt.Sprintf("#!/bin/sh\nexec %q \"$@\"\n", realTerraform(t))
	replace(t, binary, whole)
	mended := time.Now()
	d.untilState(env.ID, "leased")
	t.Logf("leased %.1f s after Terraform came", time.Since(mended).Seconds())

	// What stands stays of use without it, and goes without it too.
	if err := os.Remove(binary); err != nil {
		t.Fatal(err)
	}
	d.bothy("exec", "early", "--", "true").want(t, 0)
	d.bothy("down", "early").want(t, 0)
	d.untilState(env.ID, "destroyed")
	if left := sandboxes(t, d.instance); len(left) != 0 {
		t.Errorf("left at the engine: %+v", left)
	}
}

// replace puts a program in the place of another at once: a half-written one is never run.
func replace(t *testing.T, path, text string) {
	t.Helper()
	if err := os.Rename(script(t, strings.TrimPrefix(text, "#!/bin/sh\n")), path); err != nil {
		t.Fatal(err)
	}
}

// TestTerraformFailsOnApply: up ends with Terraform's own diagnostic in a sentence, not with all it printed; the log has
// the rest, and what had been made is gone.
func TestTerraformFailsOnApply(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	d := start(t, "--blueprints", testBlueprints(t))
	r := d.bothy("up", "--source", "none", "--blueprint", "refuses", "--name", "doomed", "--output", "json")
	r.want(t, 1, "The licence for this sandbox has run out.", "bothy logs doomed")
	for _, noise := range []string{"@level", "╷", "on main.tf line"} {
		if strings.Contains(r.out+r.err, noise) {
			t.Errorf("the whole output is shown: %s", r)
		}
	}
	env := d.untilState("doomed", "destroyed")
	if env.Failure == nil || !strings.Contains(env.Failure.Sentence, "The licence for this sandbox has run out.") ||
		strings.Contains(env.Failure.Sentence, "\n") || env.Failure.Code != wire.CodeProvision {
		t.Errorf("failure %+v", env.Failure)
	}
	if env.ReadyAt != nil {
		t.Error("it was handed over")
	}
	d.bothy("show", "doomed").want(t, 0, "The licence for this sandbox has run out.")
	// The container was made, which is why this test shows anything at all.
	d.bothy("logs", "doomed").want(t, 0, "Creation complete", "The licence for this sandbox has run out.", "Destruction complete")
	if env.Cost.AccruedMicros <= 0 {
		t.Error("the time that its container stood is not counted")
	}
	if left := sandboxes(t, d.instance); len(left) != 0 {
		t.Errorf("left at the engine: %+v", left)
	}
}

// testBlueprints is a copy of the folder of blueprints for tests.
func testBlueprints(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "blueprints"))); err != nil {
		t.Fatal(err)
	}
	// A folder that others may write is refused, and a checkout's may be so.
	if err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			return os.Chmod(path, 0o755)
		} else if err == nil {
			return os.Chmod(path, 0o644)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestTerraformKilledDuringApply: it is ended from outside once it has made the container; the environment is made anew.
func TestTerraformKilledDuringApply(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	flag := filepath.Join(t.TempDir(), "killed")
	wrapper := script(t, fmt.Sprintf(`
case " $* " in *" apply "*) if [ ! -e %[2]q ]; then : > %[2]q; %[1]q "$@"; kill -9 $$; fi;; esac
exec %[1]q "$@"
`, realTerraform(t), flag))
	d := start(t, "--terraform-binary", wrapper, "--terraform-confinement", "off") // a script has no place in a box
	env := d.create(wire.CreateRequest{Name: "crash"})
	d.untilEvent(env.ID, "ended from outside")
	d.untilState(env.ID, "leased")
	if n := len(d.containersOf(env.ID)); n != 1 {
		t.Errorf("%d containers, want 1", n)
	}
	d.bothy("down", "crash").want(t, 0)
	if left := sandboxes(t, d.instance); len(left) != 0 {
		t.Errorf("left at the engine: %+v", left)
	}
}

// providers finds the provider processes of this daemon, warm and plain, by the mark in their environment.
func (d *daemon) providers() []int {
	d.t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		d.t.Fatal(err)
	}
	mark := []byte("BOTHY_TERRAFORM_DRIVER=" + filepath.Join(d.state(), "terraform") + "\x00")
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// A process that ends meanwhile is none to be found.
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		name, _ := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if bytes.Contains(environ, mark) && strings.HasPrefix(filepath.Base(name), "terraform-provider-docker") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestProviderCrashDuringApply: the provider dies while the engine works on its request, which lands nevertheless: before
// the next try, or in the midst of it. The environment is made in the end, and there is one container.
func TestProviderCrashDuringApply(t *testing.T) {
	needsEngine(t)
	for _, c := range []struct {
		name string
		warm bool
		// late: the lost request lands only when the next try is under way.
		late bool
	}{
		{"warm provider, lands at once", true, false},
		{"plain provider, lands at once", false, false},
		{"warm provider, lands in the next try", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t)
			held := p.holdRequest("/containers/create")
			d := p.start("--network-spare=0", "--terraform-warm="+strconv.FormatBool(c.warm))
			env := d.create(wire.CreateRequest{Name: "crash"})
			held.wait(t)
			pids := d.providers()
			if len(pids) == 0 {
				t.Fatal("no provider runs: this test would show nothing")
			}
			for _, pid := range pids {
				process, err := os.FindProcess(pid)
				if err == nil {
					err = process.Kill()
				}
				if err != nil {
					t.Fatalf("kill provider %d: %v", pid, err)
				}
			}
			if c.late {
				d.untilEvent(env.ID, "create did not succeed")
			}
			held.letGo()
			env = d.untilState(env.ID, "leased", "destroyed")
			if env.State != "leased" {
				t.Fatalf("it failed: %+v", env.Failure)
			}
			t.Logf("told of the crash: %s", d.untilEvent(env.ID, "create did not succeed"))
			// The lost request may land after everything else; the sweep then takes what it made.
			d.eventually("one container is left", func() bool { return len(d.containersOf(env.ID)) == 1 })
			d.bothy("exec", "crash", "--", "true").want(t, 0)
			d.bothy("down", "crash").want(t, 0)
			if left := sandboxes(t, d.instance); len(left) != 0 {
				t.Errorf("left at the engine: %+v", left)
			}
		})
	}
}
