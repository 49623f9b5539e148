package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// standIn is a Docker engine as far as the demo asks one: things by kind, with their labels.
type standIn struct {
	mu     sync.Mutex
	things map[string]map[string]string // "container abc" -> label "key=value"
	asked  []string
}

func (e *standIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, r.Method+" "+r.URL.Path)
	kind := strings.TrimSuffix(strings.Split(r.URL.Path, "/")[1], "s")
	if r.Method == http.MethodDelete {
		id := kind + " " + strings.Split(r.URL.Path, "/")[2]
		if e.things[id] == nil {
			http.Error(w, `{"message":"no such thing"}`, http.StatusNotFound)
			return
		}
		delete(e.things, id)
		return
	}
	if kind == "container" && r.URL.Query().Get("all") != "1" {
		http.Error(w, "stopped containers are missed", http.StatusBadRequest)
		return
	}
	var filter struct{ Label []string }
	if err := json.Unmarshal([]byte(r.URL.Query().Get("filters")), &filter); err != nil || len(filter.Label) != 1 {
		http.Error(w, "bad filter", http.StatusBadRequest)
		return
	}
	key, value, _ := strings.Cut(filter.Label[0], "=")
	list := []map[string]string{}
	for id, labels := range e.things {
		if k, id, _ := strings.Cut(id, " "); k == kind && labels[key] == value {
			list = append(list, map[string]string{"Id": id, "Name": id})
		}
	}
	var answer any = list
	if kind == "volume" {
		answer = map[string]any{"Volumes": list}
	}
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		panic(err)
	}
}

func (e *standIn) names() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []string
	for id := range e.things {
		all = append(all, id)
	}
	slices.Sort(all)
	return all
}

func serve(t *testing.T, e *standIn) engine {
	t.Helper()
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	api, err := newDockerAPI("tcp://" + server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func TestOnlyTheInstancesOwnIsSwept(t *testing.T) {
	ours := map[string]string{labelInstance: "aaaa2222", labelEnvironment: "env23456"}
	e := &standIn{things: map[string]map[string]string{
		"container c1": ours, "network n1": ours, "volume v1": ours,
		"container c2": {labelInstance: "bbbb2222"}, "network n2": {}, "volume v2": {"other": "aaaa2222"},
	}}
	docker := serve(t, e)
	got, err := left(t.Context(), docker, labelEnvironment, "env23456")
	want := []string{"container c1", "network n1", "volume v1"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("left: %v (-want +got):\n%s", err, diff)
	}
	got, err = sweep(t.Context(), docker, "aaaa2222")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("sweep: %v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]string{"container c2", "network n2", "volume v2"}, e.names()); diff != "" {
		t.Errorf("what stays (-want +got):\n%s", diff)
	}
	if got, err := sweep(t.Context(), docker, "aaaa2222"); err != nil || len(got) > 0 {
		t.Errorf("a second sweep finds %v, %v", got, err)
	}
}

// A label filter without a value is one for everybody's things.
func TestWithoutAnIdNothingIsAsked(t *testing.T) {
	e := &standIn{things: map[string]map[string]string{"container c1": {labelInstance: ""}}}
	docker := serve(t, e)
	for _, id := range []string{"", "a", "=", "aaaa2222=", "AAAA2222", "aaaa 2222", "../aaaa2222"} {
		if _, err := sweep(t.Context(), docker, id); err == nil {
			t.Errorf("sweep of %q was no error", id)
		}
	}
	if len(e.asked) > 0 {
		t.Errorf("the engine was asked: %q", e.asked)
	}
}

// stubborn is an engine that removes nothing of one kind.
type stubborn struct{ engine }

func (s stubborn) Remove(ctx context.Context, kind, id string) error {
	if kind == "container" {
		return fmt.Errorf("it will not go")
	}
	return s.engine.Remove(ctx, kind, id)
}

func TestOneThatDoesNotGoKeepsNoOther(t *testing.T) {
	ours := map[string]string{labelInstance: "aaaa2222"}
	e := &standIn{things: map[string]map[string]string{"container c1": ours, "network n1": ours, "volume v1": ours}}
	_, err := sweep(t.Context(), stubborn{serve(t, e)}, "aaaa2222")
	if err == nil || !strings.Contains(err.Error(), "remove container c1") {
		t.Errorf("error %v, want one that names the container", err)
	}
	if diff := cmp.Diff([]string{"container c1"}, e.names()); diff != "" {
		t.Errorf("what stays (-want +got):\n%s", diff)
	}
}

func TestAnEngineThatCannotBeUsedIsAnError(t *testing.T) {
	for _, host := range []string{"", "ssh://somewhere", "/var/run/docker.sock"} {
		if _, err := newDockerAPI(host); err == nil {
			t.Errorf("newDockerAPI(%q) was no error", host)
		}
	}
	away, err := newDockerAPI("unix://" + t.TempDir() + "/none.sock")
	if err != nil {
		t.Fatal(err)
	}
	if found, err := left(t.Context(), away, labelInstance, "aaaa2222"); err == nil {
		t.Errorf("an engine that is away has %v left, without an error", found)
	}
}

// Both ways to the real engine see and remove the same.
func TestTheRealEngine(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the Docker engine; left out by -short")
	}
	path, err := exec.LookPath("docker")
	if err != nil {
		t.Skip("needs the docker command, which is not on PATH")
	}
	instance := fmt.Sprintf("demotest%x", time.Now().UnixNano())
	command := dockerCommand{path: path, host: engineHost()}
	t.Cleanup(func() {
		if _, err := sweep(context.Background(), command, instance); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	api, err := newDockerAPI(engineHost())
	if err != nil {
		t.Skipf("the engine is at no address that speaks plain HTTP: %v", err)
	}
	for _, remover := range []engine{api, command} {
		// Volumes stand for the rest: they need neither an image nor an address range.
		if _, err := command.run(t.Context(), "volume", "create", "--label", labelInstance+"="+instance); err != nil {
			t.Fatal(err)
		}
		a, errA := left(t.Context(), api, labelInstance, instance)
		b, errB := left(t.Context(), command, labelInstance, instance)
		if diff := cmp.Diff(a, b); errA != nil || errB != nil || diff != "" || len(a) != 1 {
			t.Fatalf("left: %v, %v, %d things (-api +command):\n%s", errA, errB, len(a), diff)
		}
		if _, err := sweep(t.Context(), remover, instance); err != nil {
			t.Fatal(err)
		}
		if a, err := left(t.Context(), api, labelInstance, instance); err != nil || len(a) > 0 {
			t.Fatalf("after the sweep by %T: %v, %v", remover, a, err)
		}
	}
}
