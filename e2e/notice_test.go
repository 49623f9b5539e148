package e2e_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// atEngine does to a container what an administrator does.
func (d *daemon) atEngine(name, action string) {
	d.t.Helper()
	if err := engineCall("POST", "/containers/"+url.PathEscape(name)+"/"+action+"?t=0", nil); err != nil {
		d.t.Fatalf("%s %s: %v", action, name, err)
	}
}

// sandboxOf gives the name of an environment's container.
func (d *daemon) sandboxOf(id string) string {
	d.t.Helper()
	all := d.containersOf(id)
	if len(all) != 1 {
		d.t.Fatalf("%s has the containers %+v, want one", id, all)
	}
	return all[0].ID
}

// holderOf gives the container whose network a sandbox is on.
func (d *daemon) holderOf(id string) string {
	d.t.Helper()
	var c struct{ HostConfig struct{ NetworkMode string } }
	if err := engineCall("GET", "/containers/"+id+"/json", &c); err != nil {
		d.t.Fatal(err)
	}
	holder, ok := strings.CutPrefix(c.HostConfig.NetworkMode, "container:")
	if !ok {
		d.t.Fatalf("the sandbox's network is %q", c.HostConfig.NetworkMode)
	}
	return holder
}

// TestSandboxEndsOutside: a sandbox that somebody stopped or restarted, and one whose network's holder was stopped, is of
// use again within seconds; its files are kept, and its holder is told what is lost.
func TestSandboxEndsOutside(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	d := start(t, "--network-spare=0")
	env := d.create(wire.CreateRequest{Name: "ws", Secrets: map[string][]byte{"token": []byte("x")}})
	d.untilState("ws", "leased")
	d.bothy("exec", "ws", "--", "sh", "-c", "echo kept >kept").want(t, 0)
	seen := 0
	for _, step := range []struct {
		what, kind string
		said       []string
	}{
		{"stop", "environment.restarted", []string{"exit code 137"}},
		// Whoever looks between the two halves of a restart starts it first.
		{"restart", "environment.restarted", []string{"restarted it", "bothy started it again"}},
		{"holder", "holder.restarted", []string{"its network ended"}},
	} {
		if step.what == "holder" {
			d.atEngine(d.holderOf(d.sandboxOf(env.ID)), "stop")
		} else {
			d.atEngine(d.sandboxOf(env.ID), step.what)
		}
		d.eventually(step.what+" is told", func() bool {
			var told []wire.Event
			events, err := d.client.Events(t.Context(), "ws", 0, 500)
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range events {
				if ev.Kind == "environment.restarted" || ev.Kind == "holder.restarted" {
					told = append(told, ev)
				}
			}
			if len(told) <= seen {
				return false
			}
			last := told[len(told)-1]
			if last.Kind != step.kind || !slices.ContainsFunc(step.said, func(said string) bool { return strings.Contains(last.Message, said) }) {
				t.Errorf("%s: told %s: %s", step.what, last.Kind, last.Message)
			}
			seen = len(told)
			return true
		})
		d.bothy("exec", "ws", "--", "cat", "kept").want(t, 0, "kept")
		d.bothy("exec", "ws", "--", "sh", "-c", "ls /sys/class/net").want(t, 0, "eth0")
		d.bothy("why", "ws").want(t, 0, "was restarted", "files are kept")
		if c := d.check("sandboxes"); c.Status != "warning" || !strings.Contains(c.Message, "ws") {
			t.Errorf("%s: doctor says %+v", step.what, c)
		}
	}
	if env, err := d.get("ws"); err != nil || len(env.Secrets) != 0 {
		t.Errorf("its secrets are gone, and it lists %v (%v)", env.Secrets, err)
	}
	d.bothy("down", "ws").want(t, 0)
}
