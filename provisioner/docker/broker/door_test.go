package broker_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner"
)

const ours, theirs = "env1", "env2"

const create = "/v1.41/containers/create?name=bothy-inst-" + ours

func TestTheProvidersOwnCreateIsBuiltAnew(t *testing.T) {
	b := setup(t)
	b.made()
	golden, err := os.ReadFile("testdata/built.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(string(golden)), b.engine.created); diff != "" {
		t.Errorf("the engine was sent something else than testdata/built.json (-want +got):\n%s\n%s", diff, b.engine.created)
	}
	want := []provisioner.Object{{Kind: "container", Name: "bothy-inst-" + ours}}
	if diff := cmp.Diff(want, b.intended); diff != "" {
		t.Errorf("intended (-want +got):\n%s", diff)
	}
	want[0].ID = idOf(12)
	b.door.Close() // the provider does not wait for the record
	if diff := cmp.Diff(want, b.answered); diff != "" {
		t.Errorf("answered (-want +got):\n%s", diff)
	}
	if r := b.door.Refusal(); r != nil {
		t.Errorf("refused: %v", r)
	}
}

// What a provider does for one container, in its order.
func TestAWholeLife(t *testing.T) {
	b := setup(t)
	id := b.made()
	for _, step := range []struct {
		method, uri string
		want        int
	}{
		{"HEAD", "/_ping", 200}, {"GET", "/v1.41/version", 200}, {"GET", "/v1.41/info", 200}, {"GET", "/v1.41/images/json", 200},
		{"GET", "/v1.41/images/" + b.grant.Spec.Sandbox.Image + "/json", 200},
		{"POST", "/v1.41/containers/" + id + "/start", 204}, {"GET", "/v1.41/containers/json?all=1", 200},
		{"GET", "/v1.41/containers/" + id + "/json", 200}, {"POST", "/v1.41/containers/" + id + "/stop?t=0", 204},
		{"POST", "/v1.41/containers/" + id + "/wait?condition=not-running", 200}, {"DELETE", "/v1.41/containers/" + id + "?force=1&v=1", 204},
	} {
		if got, body := b.ask(step.method, step.uri, nil); got != step.want {
			t.Errorf("%s %s gave %d %s, want %d", step.method, step.uri, got, body, step.want)
		}
	}
	if !slices.Equal(b.removed, []string{id}) {
		t.Errorf("told of the removal of %v", b.removed)
	}
	want := []string{"create bothy-inst-" + ours, "start " + id, "stop " + id, "remove " + id}
	if diff := cmp.Diff(want, b.engine.calls()); diff != "" {
		t.Errorf("the engine's calls (-want +got):\n%s", diff)
	}
	if _, body := b.ask("GET", "/version", nil); strings.Contains(body, "secret of the host") {
		t.Errorf("version tells of the host: %s", body)
	}
}

// A provider is told of a container what its blueprint said: its next plan finds nothing to undo.
func TestAdditionsAreNotToldToTheProvider(t *testing.T) {
	b := setup(t)
	id := b.made()
	_, body := b.ask("GET", "/containers/"+id+"/json", nil)
	var told container.InspectResponse
	if err := json.Unmarshal([]byte(body), &told); err != nil {
		t.Fatal(err)
	}
	if h := told.HostConfig; len(h.Binds)+len(h.Mounts)+len(told.Mounts) > 0 || h.CgroupParent != "" || h.PidsLimit != nil || h.Memory == 0 {
		t.Errorf("told %+v", h)
	}
	made := b.engine.containers[id]
	if h := made.HostConfig; len(h.Binds) != 1 || len(h.Mounts) != 1 || h.CgroupParent != "/bothy" || *h.PidsLimit != 128 {
		t.Errorf("made %+v", h)
	}
	if status, _ := b.ask("POST", "/containers/"+id+"/start", nil); status != http.StatusNoContent {
		t.Errorf("starting gave %d", status)
	}
	if b.door.Close(); !slices.Equal(b.bounded, []string{id}) {
		t.Errorf("bounded %v", b.bounded)
	}
	if b.unused > 0 {
		t.Error("additions that were used were given back")
	}
}

// What is asked for ahead holds something: without a create it is given back.
func TestAdditionsThatNobodyTookAreGivenBack(t *testing.T) {
	b := setup(t)
	b.door.Close()
	if b.unused != 1 {
		t.Errorf("given back %d times, want once", b.unused)
	}
	b = setup(t, func(g *provisioner.Grant) { g.Create = false })
	b.door.Close()
	if b.unused != 0 {
		t.Error("a door for a destroy asked for additions")
	}
}

// The provider looks at its container again and again; the engine is not asked each time for what does not change.
func TestWhatDoesNotChangeIsAskedForOnce(t *testing.T) {
	b := setup(t)
	b.engine.made = inspected
	id := b.made()
	for range 3 {
		b.ask("GET", "/containers/"+id+"/json", nil)
	}
	b.ask("POST", "/containers/"+id+"/start", nil)
	if err := b.door.Judge(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := b.engine.looks["bothy-inst-net-1"]; got != 1 {
		t.Errorf("looked at the network's holder %d times", got)
	}
	if got := b.engine.looks[id]; got != 4 {
		t.Errorf("looked at the container %d times, want 3 for the provider and one for the judge", got)
	}
}

// Promise: nothing is handed over whose bounds could not be set, though the provider did not wait for them.
func TestPromiseWhatCouldNotBeBoundIsNotHandedOver(t *testing.T) {
	b := setup(t)
	b.engine.made = inspected
	b.unbound = errors.New("no such cgroup")
	id := b.made()
	b.ask("POST", "/containers/"+id+"/start", nil)
	if err := b.door.Judge(t.Context(), id); !provisioner.Is(err, provisioner.Transient) || !strings.Contains(err.Error(), "no such cgroup") {
		t.Errorf("the judge says %v", err)
	}
}

func TestWhatIsAnothersIsNotThere(t *testing.T) {
	b := setup(t)
	missing := idOf(9)
	for _, id := range []string{idOf(1), idOf(2)} { // a network's holder, another environment's sandbox
		for _, call := range []struct{ method, rest string }{
			{"GET", "/json"}, {"POST", "/start"}, {"POST", "/stop?t=0"}, {"POST", "/wait"}, {"DELETE", "?force=1&v=1"},
		} {
			got, body := b.ask(call.method, "/v1.41/containers/"+id+call.rest, nil)
			want, absent := b.ask(call.method, "/v1.41/containers/"+missing+call.rest, nil)
			if got != http.StatusNotFound || want != got || strings.ReplaceAll(body, id, missing) != strings.TrimPrefix(absent, "Error response from daemon: ") {
				t.Errorf("%s %s of another's gave %d %s, of what is not there %d %s", call.method, call.rest, got, body, want, absent)
			}
		}
	}
	mine := b.made()
	_, body := b.ask("GET", "/containers/json?all=1", nil)
	var list []struct{ ID string }
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list) != 1 || list[0].ID != mine {
		t.Errorf("the list gave %s, want the own container alone", body)
	}
	if got := b.engine.calls(); !slices.Equal(got, []string{"create bothy-inst-" + ours}) {
		t.Errorf("the engine was told to %v", got)
	}
	if got, _ := b.ask("GET", "/images/sha256:"+strings.Repeat("2", 64)+"/json", nil); got != http.StatusNotFound {
		t.Errorf("another image gave %d, want 404", got)
	}
}

// Labels are believed with their MAC only: a copy without it, or with another's, is not the environment's.
func TestForgedLabelsAreNotOwn(t *testing.T) {
	b := setup(t)
	forged := maps.Clone(b.grant.Spec.Labels)
	forged[provisioner.LabelMAC] = strings.Repeat("0", 32)
	b.engine.put(idOf(3), "forged", forged)
	if got, _ := b.ask("DELETE", "/containers/"+idOf(3)+"?force=1", nil); got != http.StatusNotFound {
		t.Errorf("a forged one gave %d, want 404", got)
	}
}

func TestCallsThatNoBlueprintNeedsAreRefused(t *testing.T) {
	b := setup(t)
	id := b.made()
	before := len(b.engine.calls())
	for _, call := range []string{
		"POST /containers/" + id + "/exec", "POST /exec/" + id + "/start", "POST /containers/" + id + "/attach", "GET /containers/" + id + "/attach/ws",
		"PUT /containers/" + id + "/archive?path=/", "GET /containers/" + id + "/archive?path=/", "HEAD /containers/" + id + "/archive?path=/",
		"GET /containers/" + id + "/export", "GET /containers/" + id + "/logs?stdout=1", "GET /containers/" + id + "/top", "GET /containers/" + id + "/stats",
		"GET /containers/" + id + "/changes", "POST /containers/" + id + "/update", "POST /containers/" + id + "/rename?name=x",
		"POST /containers/" + id + "/restart", "POST /containers/" + id + "/kill", "POST /containers/" + id + "/pause", "POST /containers/" + id + "/resize",
		"POST /containers/prune", "POST /commit?container=" + id, "POST /build", "POST /build/prune", "POST /images/create?fromImage=x", "POST /images/load",
		"DELETE /images/" + b.grant.Spec.Sandbox.Image, "GET /images/" + b.grant.Spec.Sandbox.Image + "/get", "POST /images/x/push", "POST /images/x/tag",
		"GET /images/search?term=x", "POST /images/prune", "GET /networks", "POST /networks/create", "POST /networks/x/connect", "DELETE /networks/x",
		"GET /volumes", "POST /volumes/prune", "POST /swarm/init", "GET /swarm", "POST /services/create", "GET /nodes", "GET /tasks", "POST /secrets/create",
		"GET /configs", "GET /plugins", "POST /plugins/pull?remote=x", "GET /events", "GET /system/df", "POST /auth", "POST /session", "GET /distribution/x/json",
		"POST /grpc", "OPTIONS /_ping", "CONNECT /_ping", "PATCH /containers/" + id, "GET /debug/pprof", "GET /metrics",
		// Spellings of calls that there are.
		"GET /containers/" + id[:12] + "/json", "GET /containers/bothy-inst-" + ours + "/json", "GET /containers/" + strings.ToUpper(id) + "f/json",
		"GET //containers/json", "GET /containers/../containers/json", "GET /containers%2fjson", "GET /v1.41/v1.41/info", "GET /v1.41", "GET /v2/info",
		"GET /containers/json/", "GET /containers/" + id + "%2fjson", "GET /volumes/..", "GET /volumes/a%2fb",
		"POST /containers/create?name=a&name=b", "POST /containers/create?platform=x", "GET /containers/json?all=1&unknown=1", "DELETE /containers/" + id + "?x=%zz",
	} {
		method, uri, _ := strings.Cut(call, " ")
		if got, body := b.ask(method, uri, nil); got != http.StatusForbidden && (got != http.StatusNotFound && got != http.StatusBadRequest || method == "POST") {
			t.Errorf("%s gave %d %s, want a refusal", call, got, body)
		}
	}
	if got := b.engine.calls()[before:]; len(got) > 0 {
		t.Errorf("the engine was told to %v", got)
	}
	if b.door.Refusal() == nil {
		t.Error("no refusal is noted")
	}
}

func TestAnUpgradeIsRefused(t *testing.T) {
	b := setup(t)
	conn, err := net.Dial("unix", strings.TrimPrefix(b.door.Endpoint(), "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, "GET /info HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	if err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 403" {
		t.Errorf("an upgrade gave %q, %v", answer, err)
	}
}

func TestAClosedDoorPassesNothing(t *testing.T) {
	b := setup(t)
	id := b.made()
	b.door.Close()
	if got, body := b.ask("DELETE", "/containers/"+id+"?force=1", nil); got != 0 {
		t.Errorf("a closed door answered %d %s", got, body)
	}
	if _, err := os.Stat(strings.TrimPrefix(b.door.Endpoint(), "unix://")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket: %v, want that it is gone", err)
	}
	if got := b.engine.calls(); len(got) != 1 {
		t.Errorf("the engine was told to %v", got)
	}
}

// Promise: a door whose work can no longer be trusted passes nothing on, whoever still holds its address.
func TestPromiseFenceAtTheDoor(t *testing.T) {
	b := setup(t)
	id := b.made()
	b.trusted.Store(false)
	for _, call := range []string{"DELETE /containers/" + id + "?force=1", "POST /containers/" + id + "/start", "GET /containers/json"} {
		method, uri, _ := strings.Cut(call, " ")
		if got, _ := b.ask(method, uri, nil); got != http.StatusServiceUnavailable {
			t.Errorf("%s gave %d, want 503", call, got)
		}
	}
	if got, _ := b.ask("POST", create, b.body(nil)); got != http.StatusServiceUnavailable {
		t.Errorf("a create gave %d, want 503", got)
	}
	if got := b.engine.calls(); len(got) != 1 {
		t.Errorf("the engine was told to %v", got)
	}
}

func TestADoorForADestroyMakesNothing(t *testing.T) {
	b := setup(t, func(g *provisioner.Grant) { g.Create = false })
	b.engine.put(idOf(3), "mine", b.grant.Spec.Labels)
	status, body := b.ask("POST", create, b.body(nil))
	b.wantRefused("docker_container", status, body)
	status, body = b.ask("POST", "/containers/"+idOf(3)+"/start", nil)
	b.wantRefused("start container", status, body)
	if got, body := b.ask("DELETE", "/containers/"+idOf(3)+"?force=1&v=1", nil); got != http.StatusNoContent {
		t.Errorf("removing gave %d %s", got, body)
	}
}

func TestNothingIsMadeThatCannotBeRecorded(t *testing.T) {
	b := setup(t)
	b.refuseIntent = errors.New("another worker took over")
	if got, body := b.ask("POST", create, b.body(nil)); got != http.StatusInternalServerError || !strings.Contains(body, "took over") {
		t.Errorf("gave %d %s", got, body)
	}
	if got := b.engine.calls(); len(got) > 0 {
		t.Errorf("the engine was told to %v", got)
	}
}

// Promise: a create that the engine has not answered is known, also after the door has closed, and so is its late answer.
func TestPromiseNoCreateIsForgotten(t *testing.T) {
	b := setup(t)
	reached, let := make(chan struct{}), make(chan struct{})
	b.engine.onCreate = func(context.Context) error {
		close(reached)
		<-let
		return nil
	}
	gave := make(chan int, 1)
	go func() {
		status, _ := b.ask("POST", create, b.body(nil))
		gave <- status
	}()
	<-reached
	if n := b.broker.Unanswered(ours); n != 1 {
		t.Errorf("%d creates are unanswered, want 1", n)
	}
	closed := make(chan struct{})
	go func() { b.door.Close(); close(closed) }()
	<-gave // the provider is let go at once
	if n := b.broker.Unanswered(ours); n != 1 {
		t.Errorf("%d creates are unanswered after the door was closed, want 1", n)
	}
	close(let)
	<-closed // waited for the answer
	if n := b.broker.Unanswered(ours); n != 0 {
		t.Errorf("%d creates are unanswered after the answer, want 0", n)
	}
	if len(b.answered) != 1 || b.answered[0].ID != idOf(12) || len(b.door.Made()) != 1 {
		t.Errorf("answered %+v, made %+v, want the one that came late", b.answered, b.door.Made())
	}
}

// A connection that breaks says nothing about what the engine does: it is looked for by name.
func TestABrokenConnectionIsSettledByName(t *testing.T) {
	b := setup(t)
	b.engine.onCreate = func(context.Context) error {
		b.engine.put(idOf(12), "bothy-inst-"+ours, b.grant.Spec.Labels) // it takes effect all the same
		return io.ErrUnexpectedEOF
	}
	if got, body := b.ask("POST", create, b.body(nil)); got != http.StatusInternalServerError {
		t.Errorf("gave %d %s", got, body)
	}
	b.door.Close()
	if len(b.answered) != 1 || b.answered[0].ID != idOf(12) {
		t.Errorf("answered %+v, want the one that was made", b.answered)
	}
}

func TestSocketsAreOfOneDoorEach(t *testing.T) {
	b := setup(t)
	other, err := b.broker.Open(t.Context(), b.grant)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	path := strings.TrimPrefix(b.door.Endpoint(), "unix://")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 || other.Endpoint() == b.door.Endpoint() || len(filepath.Base(path)) < 32 {
		t.Errorf("sockets %s of mode %v and %s, %v; want two of 0600 with names that cannot be guessed", path, info, other.Endpoint(), err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("their folder has mode %v, %v, want 0700", info.Mode(), err)
	}
	if err := os.Chmod(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	bad := b.grant
	bad.Spec.Labels = map[string]string{}
	if _, err := b.broker.Open(t.Context(), bad); !provisioner.Is(err, provisioner.Permanent) {
		t.Errorf("a grant whose labels do not verify gave %v", err)
	}
}

// TestTheEnginesOwnErrorsAreKnown: an answer of 500 says nothing of what was asked for; one of 400 does.
func TestTheEnginesOwnErrorsAreKnown(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		fault bool
	}{
		"500": {errdefs.ErrInternal, true}, "503": {errdefs.ErrUnavailable, true}, "400": {errdefs.ErrInvalidArgument, false}, "409": {errdefs.ErrConflict, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.engine.onCreate = func(context.Context) error { return fmt.Errorf("fault injected: %w", c.err) }
			if status, text := b.ask(http.MethodPost, "/v1.41/containers/create?name="+b.grant.Spec.Owner.ResourceName(), b.body(nil)); status < 400 {
				t.Fatalf("the create was answered with %d: %s", status, text)
			}
			teller, ok := b.door.(provisioner.FaultTeller)
			if !ok || (teller.EngineFault() != nil) != c.fault {
				t.Errorf("the door knows of the fault %v, want one: %v", teller.EngineFault(), c.fault)
			}
		})
	}
}
