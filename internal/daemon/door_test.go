package daemon_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// doors is a broker without an engine behind: what passes through it is what the fake driver makes.
type doors struct {
	mu         sync.Mutex
	grants     []provisioner.Grant
	unanswered int
	exists     map[string]bool
	judge      error
	refusal    *provisioner.Refusal
	closed     int
	// failed is the engine's own error of the next create.
	failed error
}

func (d *doors) Harden(s *provisioner.Sandbox) { s.SecurityOpts = []string{"hardened"} }

func (d *doors) Open(_ context.Context, g provisioner.Grant) (provisioner.Door, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.grants = append(d.grants, g)
	return &door{d, g}, nil
}

func (d *doors) Unanswered(string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.unanswered
}

func (d *doors) Exists(_ context.Context, o provisioner.Object) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.exists[o.ID], nil
}

func (d *doors) set(change func(*doors)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

type door struct {
	*doors
	grant provisioner.Grant
}

func (d *door) Endpoint() string                    { return "unix:///door" }
func (d *door) Made() []provisioner.Object          { return nil }
func (d *door) Judge(context.Context, string) error { d.mu.Lock(); defer d.mu.Unlock(); return d.judge }
func (d *door) Close()                              { d.set(func(d *doors) { d.closed++ }) }
func (d *door) Refusal() *provisioner.Refusal       { d.mu.Lock(); defer d.mu.Unlock(); return d.refusal }

func (d *door) EngineFault() error { d.mu.Lock(); defer d.mu.Unlock(); return d.failed }

// through is a driver that passes through its door, as Terraform's provider does.
type through struct {
	provisioner.Driver
	doors *doors
	specs []provisioner.Spec
}

func (d *through) Create(ctx context.Context, spec provisioner.Spec, observe provisioner.Observer) (provisioner.Handle, error) {
	d.doors.mu.Lock()
	grant := d.doors.grants[len(d.doors.grants)-1]
	d.specs = append(d.specs, spec)
	d.doors.mu.Unlock()
	o := provisioner.Object{Kind: kindSandbox, Name: spec.Owner.ResourceName()}
	if !grant.Trusted() {
		return provisioner.Handle{}, errors.New("the door is closed")
	}
	if err := grant.Intend(ctx, o); err != nil {
		return provisioner.Handle{}, err
	}
	d.doors.mu.Lock()
	failed := d.doors.failed
	d.doors.mu.Unlock()
	if failed != nil {
		grant.Answered(o)
		return provisioner.Handle{}, provisioner.Errorf(provisioner.Permanent, "apply blueprint", "Unable to create container: %v", failed)
	}
	h, err := d.Driver.Create(ctx, spec, observe)
	o.ID = h.Sandbox.ID
	grant.Answered(o)
	return h, err
}

// withDoors gives the engine's only host a broker.
func withDoors(d *doors) func(*daemon.Config) {
	return func(cfg *daemon.Config) {
		h := &cfg.Hosts[0]
		h.Broker, h.Driver = d, &through{Driver: h.Driver, doors: d}
	}
}

func TestADriverWorksThroughADoor(t *testing.T) {
	d := &doors{}
	b := setup(t, withDoors(d)).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	objects, err := b.db.Objects(t.Context(), env.ID)
	if err != nil || len(objects) != 1 || !objects[0].Answered || objects[0].ID != env.SandboxID || objects[0].Generation != 1 {
		t.Errorf("on record is %+v, %v; want the sandbox", objects, err)
	}
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Destroyed)
	r, err := b.engine.Receipt(t.Context(), ann, env.ID)
	if err != nil || !strings.Contains(string(r.Body), env.SandboxID) {
		t.Errorf("the receipt is %s, %v; want the sandbox in it", r.Body, err)
	}
	b.stop()
	d.set(func(d *doors) {
		if len(d.grants) != 2 || !d.grants[0].Create || d.grants[1].Create || d.closed != 2 {
			t.Errorf("%d doors were opened, %d closed; want one for the create and one, that makes nothing, for the destroy", len(d.grants), d.closed)
		}
		for _, g := range d.grants {
			if g.Trusted() {
				t.Error("a door is trusted after its work is over")
			}
		}
	})
}

// TestAnEnginesOwnErrorIsTriedAgain: the driver takes an answer of 500 for good, as it knows only its text. It is tried again, as often as
// what may pass is.
func TestAnEnginesOwnErrorIsTriedAgain(t *testing.T) {
	d := &doors{failed: errors.New("Error response from daemon: fault injected")}
	b := setup(t, withDoors(d)).run()
	env := b.acquire()
	row := b.until(env.ID, "put off", func(e fleet.Environment) bool { return e.Work.Attempts == 1 })
	if row.State != fleet.Provisioning || !strings.Contains(row.Work.LastError, "fault injected") {
		t.Errorf("it is %s, %q; want that it is tried again", row.State, row.Work.LastError)
	}
	d.set(func(d *doors) { d.failed = nil })
	b.clock.advance(2 * time.Second)
	b.untilState(env.ID, fleet.Leased)

	d.set(func(d *doors) { d.failed = errors.New("fault injected") })
	env = b.acquire()
	for try := 1; try < 3; try++ {
		b.until(env.ID, "put off", func(e fleet.Environment) bool { return e.Work.Attempts == try || e.Failure != nil })
		b.clock.advance(5 * time.Second)
	}
	failed := b.until(env.ID, "failed", func(e fleet.Environment) bool { return e.Failure != nil })
	if !strings.Contains(failed.Failure.Sentence, "fault injected") {
		t.Errorf("the third failure says %q", failed.Failure.Sentence)
	}
}

// Promise: no receipt while a create is on its way, whoever sent it.
func TestPromiseNoReceiptWhileACreateIsUnanswered(t *testing.T) {
	d := &doors{}
	b := setup(t, withDoors(d)).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	d.set(func(d *doors) { d.unanswered = 1 })
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	row := b.until(env.ID, "tried", func(e fleet.Environment) bool { return e.Work.LastError != "" })
	if row.State != fleet.Destroying || !strings.Contains(row.Work.LastError, "has not answered 1") {
		t.Errorf("it is %s, %q; want that it waits for the answer", row.State, row.Work.LastError)
	}
	d.set(func(d *doors) { d.unanswered = 0 })
	b.clock.advance(40_000_000_000)
	b.untilState(env.ID, fleet.Destroyed)
}

// The daemon that sent a create died: for a while it may still take effect.
func TestNoReceiptWhileADeadDaemonsCreateMayTakeEffect(t *testing.T) {
	d := &doors{}
	b := setup(t, withDoors(d)).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	o := fleet.Object{Generation: 1, Kind: kindSandbox, Name: "bothy-late", At: b.clock.Now()}
	if err := b.db.IntendObject(t.Context(), env.ID, o); err != nil {
		t.Fatal(err)
	}
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	row := b.until(env.ID, "tried", func(e fleet.Environment) bool { return e.Work.LastError != "" })
	if row.State != fleet.Destroying || !strings.Contains(row.Work.LastError, "bothy-late") {
		t.Errorf("it is %s, %q; want that it waits", row.State, row.Work.LastError)
	}
	b.clock.advance(40_000_000_000)
	b.untilState(env.ID, fleet.Destroyed)
}

// Promise: what is on record is gone before a receipt says so, whatever labels it carries.
func TestPromiseProofByRecordToo(t *testing.T) {
	d := &doors{exists: map[string]bool{}}
	b := setup(t, withDoors(d)).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	o := fleet.Object{Generation: 1, Kind: "volume", Name: "bothy-unlabelled", ID: "bothy-unlabelled", Answered: true, At: b.clock.Now()}
	if err := errors.Join(b.db.IntendObject(t.Context(), env.ID, o), b.db.AnswerObject(t.Context(), env.ID, o)); err != nil {
		t.Fatal(err)
	}
	d.set(func(d *doors) { d.exists[o.ID] = true })
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	row := b.until(env.ID, "tried", func(e fleet.Environment) bool { return e.Work.LastError != "" })
	if row.State != fleet.Destroying || !strings.Contains(row.Work.LastError, o.Name) {
		t.Errorf("it is %s, %q; want that it is not gone while %s is there", row.State, row.Work.LastError, o.Name)
	}
	d.set(func(d *doors) { d.exists[o.ID] = false })
	b.clock.advance(40_000_000_000)
	b.untilState(env.ID, fleet.Destroyed)
}

// What was made is something else than it may be: nobody gets it, and the blueprint is held for these inputs.
func TestWhatIsJudgedWrongIsDestroyedAndHeld(t *testing.T) {
	refusal := &provisioner.Refusal{Attribute: "docker_container.privileged", Found: "true", Want: "nothing"}
	d := &doors{judge: &provisioner.Error{Class: provisioner.Permanent, Op: "check the sandbox", Sentence: refusal.Error(), Err: refusal}}
	b := setup(t, withDoors(d)).run()
	env := b.until(b.acquire().ID, "failed", func(e fleet.Environment) bool { return e.Failure != nil })
	if !strings.Contains(env.Failure.Sentence, "docker_container.privileged") || env.State == fleet.Leased {
		t.Errorf("it is %s, %+v; want the attribute", env.State, env.Failure)
	}
	d.set(func(d *doors) { d.judge = nil })
	next := b.until(b.acquire().ID, "failed", func(e fleet.Environment) bool { return e.Failure != nil })
	if !strings.Contains(next.Failure.Sentence, "is held") || !strings.Contains(next.Failure.Hint, "bothy blueprint check DIR") {
		t.Errorf("the next failed with %q, hint %q; want that the blueprint is held", next.Failure.Sentence, next.Failure.Hint)
	}
	if !slices.ContainsFunc(b.engine.CheckNow(t.Context()), func(c service.Check) bool {
		return c.Name == "held" && c.Status == service.Warning
	}) {
		t.Error("doctor says nothing of a blueprint that is held")
	}
}

// A refusal of the broker is what the user reads, and no reason to try again.
func TestARefusalIsTheCause(t *testing.T) {
	d := &doors{refusal: &provisioner.Refusal{Attribute: "docker_container.privileged", Found: "true", Want: "nothing"}}
	b := setup(t, withDoors(d))
	b.inject(fake.FailBefore(fake.OpCreate, provisioner.Transient, "Error: exit status 1"))
	b.run()
	env := b.until(b.acquire().ID, "failed", func(e fleet.Environment) bool { return e.Failure != nil })
	if !strings.Contains(env.Failure.Sentence, "docker_container.privileged: got true") || env.Work.Attempts > 0 {
		t.Errorf("it failed with %q after %d attempts", env.Failure.Sentence, env.Work.Attempts)
	}
	if env.Failure.Code != fleet.CodeProvision || !strings.Contains(env.Failure.Hint, "bothy blueprint check DIR") {
		t.Errorf("code %q, hint %q; want the next thing to do", env.Failure.Code, env.Failure.Hint)
	}
}
