package docker_test

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

// TestExecDetach: a detached command runs on when Exec has returned, with its variables, in its folder and as its user; its
// file holds what it said and at last its exit code; and its process group is that of all it started.
func TestExecDetach(t *testing.T) {
	e := newEngine(t)
	id := e.sandbox()
	detach := func(req provisioner.ExecRequest) provisioner.Detached {
		t.Helper()
		req.Detach = true
		var out, errs bytes.Buffer
		code, err := e.Exec(t.Context(), id, req, provisioner.Streams{Stdout: &out, Stderr: &errs})
		if err != nil || code != 0 {
			t.Fatalf("%d, %v: %s", code, err, errs.String())
		}
		var began provisioner.Detached
		if err := json.Unmarshal(out.Bytes(), &began); err != nil || began.Process <= 1 || !strings.HasPrefix(began.Output, provisioner.DetachedOutput) {
			t.Fatalf("answer %q: %+v, %v", out.String(), began, err)
		}
		return began
	}
	holds := func(d provisioner.Detached) func() string {
		return func() string { out, _, _ := e.run(id, "cat "+d.Output); return out }
	}
	job := detach(provisioner.ExecRequest{Command: []string{"sh", "-c", `echo begun; read x; while [ ! -e /tmp/go ]; do sleep 0.02; done; pwd; id -un; echo err >&2; exit 7`}, Dir: "/tmp"})
	until(t, "its first word", func() bool { return holds(job)() == "begun\n" })
	e.run(id, "touch /tmp/go")
	until(t, "its end", func() bool { return strings.HasSuffix(holds(job)(), "err\nbothy: the command ended with code 7\n") })
	for _, want := range []string{"\n/tmp\n", "\ndev\n"} {
		if !strings.Contains(holds(job)(), want) {
			t.Errorf("%q is missing in %q", want, holds(job)())
		}
	}
	vars := detach(provisioner.ExecRequest{Command: []string{"env"}, Env: []string{"foo.bar=1"}})
	until(t, "the end of env", func() bool { return strings.HasSuffix(holds(vars)(), "ended with code 0\n") })
	if got := holds(vars)(); !strings.Contains(got, "foo.bar=1\n") || strings.Contains(got, "OLDPWD") {
		t.Errorf("its variables are %q", got)
	}
	long := detach(provisioner.ExecRequest{Command: []string{"sh", "-c", "sleep 1000 & sleep 1000 & wait"}})
	until(t, "its processes", func() bool { return sleeps(e, id) == 3 })
	e.run(id, "kill -- -"+strconv.Itoa(long.Process))
	until(t, "its processes' end", func() bool { return sleeps(e, id) == 1 })
	none := detach(provisioner.ExecRequest{Command: []string{"exit", "0"}})
	until(t, "no builtin", func() bool { return strings.HasSuffix(holds(none)(), "ended with code 127\n") })
	_, err := e.Exec(t.Context(), id, provisioner.ExecRequest{Command: []string{"true"}, Detach: true, TTY: true}, provisioner.Streams{})
	wantClass(t, err, provisioner.Permanent)
}
