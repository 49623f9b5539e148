package broker_test

import (
	"net/http"
	"testing"

	"github.com/docker/docker/api/types/container"

	"github.com/bothy-env/bothy/provisioner"
)

// The platform's exception is explicit: what one digest may do, no other may, and it stays within its size, its labels and its life.
func TestATrustedBlueprintGoesBeyondTheBounds(t *testing.T) {
	trusted := func(g *provisioner.Grant) { g.Spec.Blueprint.Trusted = true }
	beyond := func(_, host map[string]any) {
		host["Privileged"], host["Binds"], host["NetworkMode"] = true, []string{"/:/host"}, "host"
		host["Devices"] = []map[string]any{{"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}}
	}
	b := setup(t, trusted)
	status, body := b.ask("POST", create, b.body(beyond))
	if status != http.StatusCreated {
		t.Fatalf("gave %d %s", status, body)
	}
	made := b.engine.containers[idOf(12)]
	if h := made.HostConfig; !h.Privileged || len(h.Devices) != 1 || *h.PidsLimit != 128 || h.CgroupParent != "/bothy" {
		t.Errorf("made %+v", h)
	}
	if err := b.door.Judge(t.Context(), idOf(12)); err != nil {
		t.Error(err)
	}
	for attribute, change := range map[string]func(request, host map[string]any){
		"docker_container.memory":    func(_, host map[string]any) { host["Memory"] = 1 << 40 },
		"docker_container.cpu_quota": func(_, host map[string]any) { host["CpuQuota"] = 0 },
		"docker_container.labels":    func(request, _ map[string]any) { request["Labels"] = key.Labels(owner(theirs)) },
		"docker_container.image":     func(request, _ map[string]any) { request["Image"] = "other" },
		"docker_container.restart":   func(_, host map[string]any) { host["RestartPolicy"] = map[string]any{"Name": "always"} },
		"docker_container.rm":        func(_, host map[string]any) { host["AutoRemove"] = true },
	} {
		b := setup(t, trusted)
		status, body := b.ask("POST", create, b.body(change))
		b.wantRefused(attribute, status, body)
	}
	// Without the platform's word the same is refused.
	b = setup(t)
	status, body = b.ask("POST", create, b.body(beyond))
	b.wantRefused("docker_container.", status, body)

	b = setup(t, trusted)
	b.engine.made = func(c *container.InspectResponse) { c.HostConfig.PidsLimit = nil }
	if err := b.door.Judge(t.Context(), b.made()); !provisioner.Is(err, provisioner.Permanent) {
		t.Errorf("without a limit of processes it is judged %v", err)
	}
}
