package provisionertest

import (
	"maps"
	"strings"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
)

var awayObligations = []obligation{
	{"the engine is away", testAway},
	{"no sandbox of that id", testNoSandbox},
}

// testAway checks that what is away is told as such: Transient and Unavailable,
// and never as an empty answer, which would read as "all is gone".
func testAway(t *testing.T, h Harness) {
	driver, runtime := h.Unavailable(t)
	spec := h.NewSpec(t)
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	calls := map[string]func() error{
		"Runtime.Ready": func() error { return runtime.Ready(within(t)) },
		"ResolveImage":  func() error { _, err := runtime.ResolveImage(within(t), h.Image); return err },
		"Inspect":       func() error { _, err := runtime.Inspect(within(t), id); return err },
		"List": func() error {
			_, err := runtime.List(within(t), provisioner.Selector{Instance: h.Instance})
			return err
		},
		"Remove": func() error {
			return runtime.Remove(within(t), provisioner.Ref{Kind: h.Capabilities.SandboxKind, ID: id}, "e1")
		},
		"Exec": func() error {
			_, err := runtime.Exec(within(t), id, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
			return err
		},
		"CopyTo":   func() error { return runtime.CopyTo(within(t), id, h.Workspace, h.User, strings.NewReader("")) },
		"CopyFrom": func() error { _, err := runtime.CopyFrom(within(t), id, h.Workspace, h.User); return err },
		"Logs": func() error {
			return runtime.Logs(within(t), id, provisioner.LogsRequest{}, func(provisioner.LogLine) error { return nil })
		},
		"Prepare and Create": func() error {
			if err := driver.Prepare(within(t), spec.Blueprint); err != nil {
				return err
			}
			_, err := driver.Create(within(t), spec, func(provisioner.Event) {})
			return err
		},
	}
	maps.Copy(calls, capabilityCalls(t, h, runtime, id))
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			err := call()
			wantClass(t, name, err, provisioner.Transient)
			if !provisioner.IsUnavailable(err) {
				t.Errorf("%s: not told as unavailable: %v", name, err)
			}
		})
	}
}

func testNoSandbox(t *testing.T, h Harness) {
	const id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	_, err := h.Runtime.Inspect(within(t), id)
	wantClass(t, "Inspect", err, provisioner.NotFound)
	_, err = h.Runtime.Exec(within(t), id, provisioner.ExecRequest{Command: []string{"true"}}, provisioner.Streams{})
	wantClass(t, "Exec", err, provisioner.NotFound)
	err = h.Runtime.CopyTo(within(t), id, h.Workspace, h.User, pack(t, file("a", 0o644, "x")))
	wantClass(t, "CopyTo", err, provisioner.NotFound)
	_, err = h.Runtime.CopyFrom(within(t), id, h.Workspace, h.User)
	wantClass(t, "CopyFrom", err, provisioner.NotFound)
	err = h.Runtime.Logs(within(t), id, provisioner.LogsRequest{}, func(provisioner.LogLine) error { return nil })
	wantClass(t, "Logs", err, provisioner.NotFound)
	for name, call := range capabilityCalls(t, h, h.Runtime, id) {
		wantClass(t, name, call(), provisioner.NotFound)
	}
}

// capabilityCalls are calls of the declared capabilities that name a sandbox.
func capabilityCalls(t *testing.T, h Harness, runtime provisioner.Runtime, id string) map[string]func() error {
	calls := map[string]func() error{}
	if h.Capabilities.Stage {
		calls["Stage"] = func() error {
			_, err := runtime.(provisioner.Stager).Stage(within(t), id, h.User)
			return err
		}
	}
	if h.Capabilities.Pause {
		calls["Pause"] = func() error { return runtime.(provisioner.Pauser).Pause(within(t), id) }
		calls["Unpause"] = func() error { return runtime.(provisioner.Pauser).Unpause(within(t), id) }
	}
	if h.Capabilities.Traffic {
		calls["Traffic"] = func() error {
			_, err := runtime.(provisioner.Meter).Traffic(within(t), id)
			return err
		}
	}
	if h.dials() {
		calls["Dial"] = func() error {
			_, err := runtime.(provisioner.Ports).Dial(within(t), id, 80)
			return err
		}
		calls["Listen"] = func() error {
			_, err := runtime.(provisioner.Ports).Listen(within(t), id, 80)
			return err
		}
	}
	return calls
}
