package broker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/docker/docker/api/types/volume"

	"github.com/bothy-env/bothy/provisioner"
)

// conflict is an engine's answer for a name that is taken.
type conflict struct{}

func (conflict) Error() string { return "Error response from daemon: the name is already in use" }
func (conflict) Conflict()     {}

// part changes a create to take so much of the size.
func part(mib, quota int) func(map[string]any, map[string]any) {
	return func(_, host map[string]any) {
		host["Memory"], host["MemorySwap"], host["CpuQuota"], host["ShmSize"] = mib<<20, mib<<20, quota, 0
	}
}

// makeVolume has an own volume made.
func (b *bench) makeVolume(name string) (int, string) {
	b.Helper()
	data, err := json.Marshal(map[string]any{"Name": b.grant.Spec.Owner.ResourceName() + "-" + name, "Labels": b.grant.Spec.Labels})
	if err != nil {
		b.Fatal(err)
	}
	return b.ask("POST", "/volumes/create", data)
}

// The engine makes a volume that is missing, without labels: nothing would find it again.
func TestOnlyVolumesOfThisEnvironmentAreMounted(t *testing.T) {
	b := setup(t)
	own := b.grant.Spec.Owner.ResourceName()
	b.engine.volumes[own+"-foreign"] = volume.Volume{Name: own + "-foreign", Labels: key.Labels(owner(theirs))}
	for _, name := range []string{own + "-missing", own + "-foreign"} {
		status, body := b.ask("POST", create, b.body(func(_, host map[string]any) { host["Binds"] = []string{name + ":/data"} }))
		b.wantRefused("docker_container.volumes.volume_name", status, body)
		status, body = b.ask("POST", create, b.body(func(_, host map[string]any) {
			host["Mounts"] = []map[string]any{{"Type": "volume", "Source": name, "Target": "/data"}}
		}))
		b.wantRefused("docker_container.mounts.source", status, body)
	}
	if got := b.engine.calls(); len(got) > 0 {
		t.Errorf("the engine was told to %v", got)
	}
}

// What is about to be mounted is not removed meanwhile, also when nobody waits for the create any more.
func TestAVolumeStaysWhileSomethingIsMade(t *testing.T) {
	b := setup(t)
	if status, body := b.makeVolume("data"); status != http.StatusCreated {
		t.Fatalf("the volume gave %d %s", status, body)
	}
	reached, let := make(chan struct{}), make(chan struct{})
	b.engine.onCreate = func(context.Context) error { close(reached); <-let; return nil }
	body := b.body(func(_, host map[string]any) {
		host["Binds"] = []string{b.grant.Spec.Owner.ResourceName() + "-data:/data"}
	})
	b.giveUp(body, reached)
	if status, answer := b.ask("DELETE", "/volumes/"+b.grant.Spec.Owner.ResourceName()+"-data", nil); status != http.StatusConflict {
		t.Errorf("removing it gave %d %s, want 409", status, answer)
	}
	close(let)
	b.door.Close()
}

// giveUp sends a create and leaves as soon as the engine has it.
func (b *bench) giveUp(body []byte, reached <-chan struct{}) {
	b.Helper()
	ctx, leave := context.WithCancel(b.Context())
	defer leave()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://docker"+create, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		if resp, err := b.http.Do(req); err == nil {
			_ = resp.Body.Close()
			b.Error("it was answered")
		}
	}()
	<-reached
	leave()
	<-left
}

// Promise: the size holds for all that may exist: a failed create gives back no more than its own share, and one without an
// answer nothing.
func TestPromiseTheSizeHoldsAlsoWhenCreatesFail(t *testing.T) {
	t.Run("a name that is taken", func(t *testing.T) {
		b := setup(t)
		if status, body := b.ask("POST", create, b.body(part(200, 1000))); status != http.StatusCreated {
			t.Fatalf("the first gave %d %s", status, body)
		}
		b.engine.onCreate = func(context.Context) error { return conflict{} }
		if status, _ := b.ask("POST", create, b.body(part(6, 1000))); status != http.StatusConflict {
			t.Fatalf("the second gave %d", status)
		}
		b.engine.onCreate = nil
		status, body := b.ask("POST", create+"-more", b.body(part(200, 1000)))
		b.wantRefused("docker_container.memory", status, body)
		if status, body := b.ask("POST", create+"-little", b.body(part(56, 1000))); status != http.StatusCreated {
			t.Errorf("what is left gave %d %s", status, body)
		}
	})
	t.Run("an answer that nobody waits for", func(t *testing.T) {
		b := setup(t)
		reached, let := make(chan struct{}), make(chan struct{})
		var once sync.Once
		b.engine.onCreate = func(context.Context) error {
			once.Do(func() { close(reached); <-let })
			return nil
		}
		b.giveUp(b.body(part(200, 1000)), reached)
		status, body := b.ask("POST", create+"-more", b.body(part(200, 1000)))
		b.wantRefused("docker_container.memory", status, body)
		close(let)
		b.door.Close()
	})
	t.Run("creates of one moment", func(t *testing.T) {
		b := setup(t)
		for i := range 8 {
			if status, body := b.makeVolume(fmt.Sprint(i)); status != http.StatusCreated {
				t.Fatalf("volume %d gave %d %s", i, status, body)
			}
		}
		let := make(chan struct{})
		var begun atomic.Int64
		b.engine.onCreate = func(context.Context) error {
			if begun.Add(1) > 8 {
				return conflict{}
			}
			<-let
			return nil
		}
		answers := make(chan int, 16)
		for i := range cap(answers) {
			body := b.body(part(6, 1000))
			go func() {
				status, _ := b.ask("POST", fmt.Sprintf("%s-%d", create, i), body)
				answers <- status
			}()
		}
		for range 8 {
			if status := <-answers; status != http.StatusForbidden {
				t.Errorf("one more than 16 gave %d", status)
			}
		}
		close(let)
		for range 8 {
			if status := <-answers; status != http.StatusCreated {
				t.Errorf("one of 16 gave %d", status)
			}
		}
	})
}

// Promise: trust is asked for again right before the engine is told to change anything: a process that slept between the two
// changes nothing.
func TestPromiseFenceBeforeEachChange(t *testing.T) {
	var asked atomic.Int64
	asked.Store(10)
	b := setup(t, func(g *provisioner.Grant) { g.Trusted = func() bool { return asked.Add(1) <= 1 } })
	b.engine.put(idOf(3), "mine", b.grant.Spec.Labels)
	name := b.grant.Spec.Owner.ResourceName() + "-v"
	b.engine.volumes[name] = volume.Volume{Name: name, Labels: b.grant.Spec.Labels}
	other, err := json.Marshal(map[string]any{"Name": name + "2", "Labels": b.grant.Spec.Labels})
	if err != nil {
		t.Fatal(err)
	}
	for call, body := range map[string][]byte{
		"DELETE /containers/" + idOf(3) + "?force=1": nil, "POST /containers/" + idOf(3) + "/start": nil, "POST /containers/" + idOf(3) + "/stop": nil,
		"DELETE /volumes/" + name: nil, "POST " + create: b.body(nil), "POST /volumes/create": other,
	} {
		asked.Store(0)
		method, uri, _ := strings.Cut(call, " ")
		if status, answer := b.ask(method, uri, body); status != http.StatusServiceUnavailable {
			t.Errorf("%s gave %d %s, want 503", call, status, answer)
		}
	}
	if got := b.engine.calls(); len(got) > 0 {
		t.Errorf("the engine was told to %v", got)
	}
	if len(b.intended) != 2 || len(b.answered) != 2 {
		t.Errorf("intended %+v, answered %+v: what was not passed on need not be waited for", b.intended, b.answered)
	}
	if n := b.broker.Unanswered(ours); n != 0 {
		t.Errorf("%d creates are unanswered", n)
	}
}

// A request that does not come whole is no blueprint's that asks for what it may not have.
func TestARequestThatIsCutOffIsNoRefusal(t *testing.T) {
	b := setup(t)
	for _, start := range []string{"POST " + create, "POST /containers/" + b.made() + "/start"} {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: strings.TrimPrefix(b.door.Endpoint(), "unix://"), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(conn, start+" HTTP/1.1\r\nHost: docker\r\nContent-Length: 1000\r\n\r\n")
		if err := errors.Join(err, conn.CloseWrite()); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err := errors.Join(err, conn.Close()); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 400") {
			t.Errorf("half of %s gave %s, %v; want 400", start, answer, err)
		}
	}
	b.door.Close()
	if r := b.door.Refusal(); r != nil {
		t.Errorf("it is told as %v", r)
	}
}

func TestADoorHasFewConnections(t *testing.T) {
	b := setup(t)
	answered := 0
	for range 100 {
		conn, err := net.Dial("unix", strings.TrimPrefix(b.door.Endpoint(), "unix://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_, _ = io.WriteString(conn, "GET /_ping HTTP/1.1\r\nHost: docker\r\n\r\n") // what is closed takes nothing, which is seen next
		if n, _ := conn.Read(make([]byte, 1)); n == 1 {
			answered++
		}
	}
	if answered != 64 {
		t.Errorf("%d of 100 connections were answered at once, want 64", answered)
	}
}
