package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// check gives one of the daemon's own findings.
func (d *daemon) check(name string) wire.Check {
	d.t.Helper()
	health, err := d.client.Doctor(d.t.Context())
	if err != nil {
		d.t.Fatalf("doctor: %v", err)
	}
	for _, c := range health.Checks {
		if c.Name == name {
			return c
		}
	}
	d.t.Fatalf("doctor does not look at %s: %+v", name, health.Checks)
	return wire.Check{}
}

// untilReason waits until an environment tells why it does not get on.
func (d *daemon) untilReason(id string) wire.Environment {
	d.t.Helper()
	var env wire.Environment
	d.eventually(id+" tells why it waits", func() bool {
		var err error
		env, err = d.get(id)
		return err == nil && env.Reason != ""
	})
	return env
}

// TestEngineAwayAtStart: the daemon starts without an engine, takes requests, says why they wait, and fulfils them
// when the engine is there. Then it goes away again while nothing happens: what is there can be seen, a command in it fails in
// a sentence, and works again afterwards.
func TestEngineAwayAtStart(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	p := newProxy(t)
	p.cut()
	d := p.start()
	if c := d.check("docker"); c.Status != "failed" || c.Hint == "" {
		t.Errorf("doctor says of an engine that is away: %+v", c)
	}
	d.bothy("doctor").want(t, 1, "docker")
	env := d.create(wire.CreateRequest{Name: "early"})
	env = d.untilReason(env.ID)
	if env.State != "pending" || !strings.Contains(env.Reason, "Docker") {
		t.Errorf("state %s, reason %q; want it pending because of Docker", env.State, env.Reason)
	}
	p.open()
	back := time.Now()
	env = d.untilState(env.ID, "leased")
	t.Logf("leased %.1f s after the engine came", time.Since(back).Seconds())

	p.cut()
	d.bothy("ls").want(t, 0, "early", "leased")
	d.bothy("exec", "early", "--", "true").want(t, 1, "bothy doctor")
	d.bothy("cp", "early:/etc/hostname", "-").want(t, 1, "bothy doctor")
	d.eventually("doctor tells that the engine is away", func() bool { return d.check("docker").Status == "failed" })
	p.open()
	d.bothy("exec", "early", "--", "true").want(t, 0)
	d.eventually("doctor is content", func() bool { return d.check("docker").Status == "ok" })
	d.bothy("down", "early").want(t, 0)
	if left := sandboxes(t, d.instance); len(left) != 0 {
		t.Errorf("left at the engine: %+v", left)
	}
}

// TestEngineCutOffDuringCreate: the request waits with the cause in its reason and is fulfilled when the engine is
// back, whatever of it stood already.
func TestEngineCutOffDuringCreate(t *testing.T) {
	needsEngine(t)
	for name, request := range map[string]string{"nothing stands": "/containers/create", "created and not started": "/start"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newProxy(t)
			held := p.holdRequest(request)
			d := p.start("--network-spare=0")
			env := d.create(wire.CreateRequest{Name: "cut"})
			held.wait(t)
			p.cut()
			env = d.untilReason(env.ID)
			if env.State != "provisioning" {
				t.Errorf("state %s (%s), want it to stay provisioning", env.State, env.Reason)
			}
			t.Logf("reason: %s", env.Reason)
			p.open()
			back := time.Now()
			env = d.untilState(env.ID, "leased", "destroyed")
			t.Logf("%s %.1f s after the engine was back", env.State, time.Since(back).Seconds())
			if env.State != "leased" {
				t.Fatalf("it failed: %+v", env.Failure)
			}
			if n := len(d.containersOf(env.ID)); n != 1 {
				t.Errorf("%d containers, want 1", n)
			}
			d.bothy("exec", "cut", "--", "true").want(t, 0)
			d.bothy("down", "cut").want(t, 0)
			if left := sandboxes(t, d.instance); len(left) != 0 {
				t.Errorf("left at the engine: %+v", left)
			}
		})
	}
}

// TestEngineCutOffDuringDestroy: it stays visible as destroying with the cause, and goes when the engine is back. Its
// command that still ran ends with an error and not as if it had succeeded.
func TestEngineCutOffDuringDestroy(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	p := newProxy(t)
	held := p.holdRequest("DELETE /")
	d := p.start("--network-spare", "0")
	d.bothy("up", "--source", "none", "--name", "cut").want(t, 0)

	running := make(chan result, 1)
	go func() { running <- d.bothy("exec", "cut", "--", "sh", "-c", "echo begun; sleep 300; echo ended") }()
	d.eventually("the command runs", func() bool {
		return d.bothy("exec", "cut", "--", "sh", "-c", "ps -e -o args= | grep -q '[s]leep 300'").code == 0
	})
	held.arm()
	env, err := d.client.Release(t.Context(), "cut")
	if err != nil {
		t.Fatal(err)
	}
	held.wait(t)
	p.cut()
	if r := <-running; r.code == 0 || strings.Contains(r.out, "ended") {
		t.Errorf("a command that was cut off looks like one that succeeded: %s", r)
	}
	d.eventually("the cause is told", func() bool {
		env, err = d.get(env.ID)
		return err == nil && (strings.HasPrefix(env.Reason, "tried again soon") || env.State != "destroying")
	})
	if env.State != "destroying" {
		t.Fatalf("it is %s while the engine is away", env.State)
	}
	t.Logf("reason: %s", env.Reason)
	d.bothy("down", "cut", "--detach").want(t, 0, "Deleting cut")
	p.open()
	back := time.Now()
	d.untilState(env.ID, "destroyed")
	t.Logf("gone %.1f s after the engine was back", time.Since(back).Seconds())
	if left := sandboxes(t, d.instance); len(left) != 0 {
		t.Errorf("left at the engine: %+v", left)
	}
}

// TestNoReceiptBeforeALateCreate: a busy engine takes a create up 20 s late, whose client has long gone as its environment was
// given back. No receipt says before that nothing is left, and the one that comes tells of the container.
func TestNoReceiptBeforeALateCreate(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	p := newProxy(t)
	held := p.holdRequest("/containers/create")
	d := p.start("--network-spare=0")
	env := d.create(wire.CreateRequest{Name: "late"})
	held.wait(t)
	if _, err := d.client.Release(t.Context(), env.ID); err != nil {
		t.Fatal(err)
	}
	handedOn := time.Now().Add(20 * time.Second)
	for time.Now().Before(handedOn) {
		if env, err := d.get(env.ID); err != nil || env.State == "destroyed" {
			t.Fatalf("it is %s (%v) while its create is on the way", env.State, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Logf("reason: %s", d.untilReason(env.ID).Reason)
	held.letGo()
	d.untilState(env.ID, "destroyed")
	receipt, err := d.client.Receipt(t.Context(), env.ID)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(receipt.Body), `"kind":"container"`) {
		t.Errorf("the receipt does not tell of the container: %s", receipt.Body)
	}
	if left := sandboxes(t, d.instance); len(left) != 0 {
		t.Errorf("left at the engine: %+v", left)
	}
}

// TestLeaseEndsWhileTheEngineIsAway: it goes within 15 s of the engine's return.
func TestLeaseEndsWhileTheEngineIsAway(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	p := newProxy(t)
	d := p.start()
	d.bothy("up", "--source", "none", "--name", "brief", "--ttl", "3s").want(t, 0)
	p.cut()
	env := d.untilState("brief", "destroying")
	d.eventually("a try has failed", func() bool {
		var err error
		env, err = d.get(env.ID)
		return err == nil && strings.HasPrefix(env.Reason, "tried again soon")
	})
	p.open()
	back := time.Now()
	env = d.untilState(env.ID, "destroyed")
	late := env.DestroyedAt.Sub(back)
	t.Logf("gone %.1f s after the engine was back", late.Seconds())
	if late > converged {
		t.Errorf("gone %s after the engine was back, promised are %s", late, converged)
	}
	if left := sandboxes(t, d.instance); len(left) != 0 {
		t.Errorf("left at the engine: %+v", left)
	}
}
