package broker_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
)

func TestVolumes(t *testing.T) {
	b := setup(t)
	name := b.grant.Spec.Owner.ResourceName() + "-data"
	ask := func(change func(map[string]any)) (int, string) {
		request := map[string]any{"Name": name, "Driver": "local", "Labels": b.grant.Spec.Labels}
		change(request)
		data, err := json.Marshal(request)
		if err != nil {
			t.Fatal(err)
		}
		return b.ask("POST", "/v1.41/volumes/create", data)
	}
	for attribute, change := range map[string]func(map[string]any){
		"docker_volume.driver_opts": func(r map[string]any) {
			r["DriverOpts"] = map[string]string{"type": "none", "o": "bind", "device": "/"}
		},
		"docker_volume.driver": func(r map[string]any) { r["Driver"] = "sshfs" },
		"docker_volume.labels": func(r map[string]any) { delete(r, "Labels") },
		"docker_volume":        func(r map[string]any) { r["Anything"] = 1 },
	} {
		status, body := ask(change)
		b.wantRefused(attribute, status, body)
	}
	if status, body := ask(func(map[string]any) {}); status != http.StatusCreated {
		t.Fatalf("an own volume gave %d %s", status, body)
	}
	// It is there now: one that exists is never adopted, not even an own one.
	status, body := ask(func(map[string]any) {})
	b.wantRefused("docker_volume.name", status, body)
	// The provider names the place of a bind a second time. One without a bind is a volume of the engine's own.
	mount := func(places map[string]any) (int, string) {
		return b.ask("POST", create, b.body(func(request, host map[string]any) {
			host["Binds"], request["Volumes"] = []string{name + ":/data:ro"}, places
		}))
	}
	status, body = mount(map[string]any{"/data": map[string]any{}, "/more": map[string]any{}})
	b.wantRefused("docker_container.volumes", status, body)
	if status, body := mount(map[string]any{"/data": map[string]any{}}); status != http.StatusCreated {
		t.Errorf("mounting it gave %d %s", status, body)
	}
	if status, _ := b.ask("GET", "/volumes/"+name, nil); status != http.StatusOK {
		t.Errorf("inspecting it gave %d", status)
	}
	foreign := b.engine.volumes[name]
	foreign.Name, foreign.Labels = "foreign", key.Labels(owner(theirs))
	b.engine.volumes["foreign"] = foreign
	for _, method := range []string{"GET", "DELETE"} {
		if status, _ := b.ask(method, "/volumes/foreign", nil); status != http.StatusNotFound {
			t.Errorf("%s of another's gave %d, want 404", method, status)
		}
	}
	if status, _ := b.ask("DELETE", "/volumes/"+name, nil); status != http.StatusNoContent {
		t.Errorf("removing it gave %d", status)
	}
}

// Two containers have the size together; 17 things are too many.
func TestAnEnvironmentStaysWithinItsSize(t *testing.T) {
	b := setup(t)
	half := func(_, host map[string]any) {
		host["Memory"], host["MemorySwap"], host["CpuQuota"] = 128<<20, 128<<20, 50000
	}
	for i := range 2 {
		if status, body := b.ask("POST", fmt.Sprintf("%s-%d", create, i), b.body(half)); status != http.StatusCreated {
			t.Fatalf("container %d gave %d %s", i, status, body)
		}
		if made := b.engine.containers[idOf(12+i)]; *made.HostConfig.PidsLimit != 64 {
			t.Errorf("container %d may hold %d processes, want half of the size's", i, *made.HostConfig.PidsLimit)
		}
	}
	status, body := b.ask("POST", create+"-3", b.body(half))
	b.wantRefused("docker_container.memory", status, body)
	for i := range 14 {
		data, err := json.Marshal(map[string]any{"Name": fmt.Sprintf("%s-%d", b.grant.Spec.Owner.ResourceName(), i), "Labels": b.grant.Spec.Labels})
		if err != nil {
			t.Fatal(err)
		}
		if status, body := b.ask("POST", "/volumes/create", data); status != http.StatusCreated {
			t.Fatalf("volume %d gave %d %s", i, status, body)
		}
	}
	status, body = b.ask("POST", create+"-4", b.body(half))
	b.wantRefused("at most 16", status, body)
}
