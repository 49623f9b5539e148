package daemon_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/ledger"
	"github.com/bothy-env/bothy/internal/receipt"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// patient gives workers all the time there is, where a test's clock races.
func patient(c *daemon.Config) { c.WorkLease = 1000 * time.Hour }

// pass lets time pass, and renews the daemon's hold on its host, as a daemon does that is alive all the while.
func (b *bench) pass(d time.Duration) {
	b.t.Helper()
	b.clock.advance(d)
	now := b.clock.Now()
	if _, err := b.db.HoldHosts(b.t.Context(), store.Hold{Worker: "daemon-1.a", Names: []string{"local"}}, now, now.Add(1000*time.Hour)); err != nil {
		b.t.Fatal(err)
	}
}

// wireOf is a receipt as it leaves the daemon.
func wireOf(r fleet.Receipt) receipt.Receipt {
	return receipt.Receipt{
		Seq: r.Seq, Environment: r.EnvironmentID, At: r.At, Body: r.Body, PrevHash: r.PrevHash, Hash: r.Hash, Signature: r.Signature,
	}
}

// proof gives what the verified receipt of an environment says.
func (b *bench) proof(id string) receipt.Body {
	b.t.Helper()
	r, err := b.engine.Receipt(b.t.Context(), platform, id)
	if err != nil {
		b.t.Fatalf("receipt: %v", err)
	}
	body, err := receipt.Verify(wireOf(r), b.engine.ReceiptKey())
	if err != nil {
		b.t.Fatal(err)
	}
	return body
}

// lists reports whether a receipt names a resource of a kind.
func lists(body receipt.Body, kind, id string) bool {
	return slices.ContainsFunc(body.Resources, func(r receipt.Resource) bool { return r.Kind == kind && (id == "" || r.ID == id) })
}

// release gives an environment back and waits, while time passes, until it is gone.
func (b *bench) release(id string) fleet.Environment {
	b.t.Helper()
	env, err := b.db.Get(b.t.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	who := fleet.Identity{User: env.Owner, Tenant: env.Tenant, Team: env.Team, Teams: []string{env.Team}, Role: fleet.RoleMember}
	if env.Tenant == "" {
		who = operator
	}
	if _, err := b.engine.Release(b.t.Context(), who, id); err != nil {
		b.t.Fatal(err)
	}
	return b.untilGone(id)
}

func (b *bench) untilGone(id string) fleet.Environment {
	b.t.Helper()
	var env fleet.Environment
	waitUntil(b.t, "it is destroyed", func() bool {
		b.clock.advance(time.Second)
		var err error
		if env, err = b.db.Get(b.t.Context(), id); err != nil {
			b.t.Fatal(err)
		}
		if env.State == fleet.Destroyed && b.holdsAny(id) {
			b.t.Fatalf("destroyed is claimed although there is still %+v", b.left())
		}
		return env.State == fleet.Destroyed
	})
	return env
}

// holdsAny reports whether anything of an environment exists; what forges its labels is not of it.
func (b *bench) holdsAny(id string) bool {
	b.t.Helper()
	key, err := vault.LabelKey(secret)
	if err != nil {
		b.t.Fatal(err)
	}
	return slices.ContainsFunc(b.left(), func(f provisioner.Found) bool {
		return f.Labels[provisioner.LabelEnvironment] == id && key.Verify(f.Labels)
	})
}

// TestPromiseReceipt: what is gone has a receipt that anybody can verify, and that lists all there was.
func TestPromiseReceipt(t *testing.T) {
	b := setup(t, patient).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	if _, err := b.engine.Receipt(t.Context(), ann, env.ID); fleet.CodeOf(err) != fleet.CodeConflict {
		t.Errorf("the receipt of a live one: %v, want a conflict", err)
	}
	b.clock.advance(90 * time.Second)
	gone := b.release(env.ID)
	body := b.proof(env.ID)

	want, networks := len(b.world.Kinds()), b.world.Runtime().Capabilities().Networks
	if networks {
		want++
	}
	if !lists(body, kindSandbox, env.SandboxID) || lists(body, "network", "") != networks || len(body.Resources) != want {
		t.Errorf("resources %+v, want all %d, the network among them: %v", body.Resources, want, networks)
	}
	if len(body.Checks) != 2 || body.Checks[0].At.After(body.DestroyedAt) {
		t.Errorf("checks %+v, want two before %s", body.Checks, body.DestroyedAt)
	}
	if cost := ledger.Accrued(gone, b.engine.Now()); body.CostMicros != cost || cost < 90_000 {
		t.Errorf("it cost %d by the receipt, %d by the ledger", body.CostMicros, cost)
	}
	got, whose := body.Environment, receipt.Environment{
		ID: env.ID, Name: env.Name, Tenant: "default", Team: "default", User: "ann",
		Blueprint: env.Blueprint.String(), Digest: env.Blueprint.Digest, Host: "local",
	}
	if got != whose || body.Instance != instance {
		t.Errorf("it is of %+v, want %+v", got, whose)
	}
	if _, err := b.engine.Receipt(t.Context(), stranger, env.ID); fleet.CodeOf(err) != fleet.CodeNotFound {
		t.Errorf("another tenant's receipt: %v, want it not found", err)
	}
}

// TestAllReceipts: the chain is read page by page, of every tenant.
func TestAllReceipts(t *testing.T) {
	b := setup(t, patient).run()
	for _, who := range []fleet.Identity{ann, stranger, ann} {
		b.release(b.untilState(b.acquire(func(r *service.Request) { r.Who = who }).ID, fleet.Leased).ID)
	}
	chain := receipt.Chain{Key: b.engine.ReceiptKey()}
	for _, want := range []int{2, 1, 0} {
		page, err := b.engine.Receipts(t.Context(), platform, chain.Last.Seq, 2)
		if err != nil || len(page) != want {
			t.Fatalf("after receipt %d there are %d, %v, want %d", chain.Last.Seq, len(page), err, want)
		}
		for _, r := range page {
			if _, err := chain.Add(wireOf(r)); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestUnbegunHasAReceipt: every one that is gone has one, also when nothing was ever made for it.
func TestUnbegunHasAReceipt(t *testing.T) {
	b := setup(t)
	env := b.acquire()
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	if body := b.proof(env.ID); len(body.Resources) != 0 || body.CostMicros != 0 || len(body.Checks) != 1 {
		t.Errorf("the receipt says %+v", body)
	}
}

// TestDestroyThroughFaults: whatever goes wrong on the way, destroyed is only claimed when nothing is left, and
// the receipt lists what there was.
func TestDestroyThroughFaults(t *testing.T) {
	removal := func(times int) fake.Fault {
		f := fake.FailBefore(fake.OpRemove, provisioner.Transient, "removal is stuck")
		f.Times = times
		return f
	}
	refused := fake.FailBefore(fake.OpDestroy, provisioner.Permanent, "Terraform is broken")
	refused.Times = fake.Always
	away := fake.FailBefore(fake.OpInventory, provisioner.Transient, "the engine went away")
	away.Fail.Unavailable, away.Times, away.Skip = true, 3, 1
	for name, faults := range map[string][]fake.Fault{
		"the reply of destroy is lost":  {fake.LoseReply(fake.OpDestroy)},
		"destroy fails in the middle":   {{Op: fake.OpDestroy, Stage: fake.Half, Fail: &fake.Failure{Class: provisioner.Transient}}},
		"removal fails once":            {refused, removal(1)},
		"removal fails four times":      {refused, removal(4)},
		"the engine goes away":          {away},
		"lists and destroys both fail":  {away, fake.FailBefore(fake.OpDestroy, provisioner.Transient, "a hiccup")},
		"the sandbox cannot be seen":    {fake.FailBefore(fake.OpInspect, provisioner.Transient, "a hiccup")},
		"its output cannot be read":     {fake.FailBefore(fake.OpLogs, provisioner.Transient, "a hiccup")},
		"the network is not taken back": {fake.FailBefore(fake.OpRelease, provisioner.Transient, "a hiccup")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, patient, slowSweeps).run()
			env := b.untilState(b.acquire().ID, fleet.Leased)
			for _, f := range faults {
				b.inject(f)
			}
			b.release(env.ID)
			if body := b.proof(env.ID); !lists(body, kindSandbox, env.SandboxID) {
				t.Errorf("the receipt lists %+v, want the sandbox too", body.Resources)
			}
			b.nothingLeft()
		})
	}
}

// slowSweeps keeps the sweep out of a test's way.
func slowSweeps(c *daemon.Config) { c.SweepEvery = time.Hour }

func TestReceiptOfAHalfMadeOne(t *testing.T) {
	b := setup(t, patient).run()
	b.inject(fake.HalfCreate(kindData, kindSandbox))
	env := b.untilState(b.acquire().ID, fleet.Destroyed)
	if body := b.proof(env.ID); !lists(body, kindData, "") || !lists(body, kindSandbox, "") {
		t.Errorf("the receipt lists %+v, want all that was made", body.Resources)
	}
	b.nothingLeft()
}

// TestReceiptOutlivesACrash: what one process saw is in the receipt that another one makes.
func TestReceiptOutlivesACrash(t *testing.T) {
	b := setup(t, patient, slowSweeps)
	hang := b.inject(fake.Hang(fake.OpDestroy, fake.After))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.engine.Run(ctx, time.Millisecond) }()
	b.inject(fake.LoseReply(fake.OpCreate)) // so that no handle tells of it
	env := b.acquire()
	b.until(env.ID, "tried again", func(e fleet.Environment) bool { return e.Work.Attempts == 1 })
	b.place(kindData, "data", b.left()[0].Labels) // and what was made before it is listed, too
	if _, err := b.engine.Release(t.Context(), ann, env.ID); err != nil {
		t.Fatal(err)
	}
	b.clock.advance(time.Minute)
	b.reached(hang)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// Meanwhile somebody tidies up.
	for _, f := range b.left() {
		if err := b.take(f.ID); err != nil {
			t.Fatal(err)
		}
	}
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	b.engine = b.newEngine("daemon-1.b", patient, slowSweeps)
	b.run()
	b.untilGone(env.ID)
	if body := b.proof(env.ID); !lists(body, kindData, "") || !lists(body, kindSandbox, "") {
		t.Errorf("the receipt lists %+v, want what the first process saw", body.Resources)
	}
}

// listing lets a test alter what lists show.
type listing struct {
	*fake.Runtime
	alter func(n int64, all []provisioner.Found) []provisioner.Found
	n     atomic.Int64
}

func (l *listing) List(ctx context.Context, sel provisioner.Selector) (provisioner.Page, error) {
	all, err := provisioner.ListAll(ctx, l.Runtime, sel)
	return provisioner.Page{Found: l.alter(l.n.Add(1), all)}, err
}

// idleDriver claims to have destroyed and does nothing, like a Terraform whose state is lost.
type idleDriver struct {
	provisioner.Driver
	then func()
}

func (d idleDriver) Destroy(context.Context, provisioner.Spec, []byte, provisioner.Observer) error {
	d.then()
	return nil
}

// TestOneEmptyListProvesNothing (FAILURES 30): a list that is empty by mistake, once, is not believed.
func TestOneEmptyListProvesNothing(t *testing.T) {
	var empty atomic.Bool
	b := setup(t, patient, slowSweeps, func(c *daemon.Config) {
		// The list before Terraform shows everything; the first one after it nothing.
		c.Hosts[0].Driver = idleDriver{c.Hosts[0].Driver, func() { empty.Store(true) }}
		c.Hosts[0].Runtime = &listing{Runtime: c.Hosts[0].Runtime.(*fake.Runtime), alter: func(_ int64, all []provisioner.Found) []provisioner.Found {
			if empty.CompareAndSwap(true, false) {
				return nil
			}
			return all
		}}
	}).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	sandbox := b.left()[0]
	if _, err := b.world.Place(kindData, "data", sandbox.Labels); err != nil {
		t.Fatal(err)
	}
	if err := b.take(sandbox.ID); err != nil {
		t.Fatal(err)
	}
	b.release(env.ID)
	b.nothingLeft()
}

// TestLaggingListDoesNotHideASandbox: a list that was made before the sandbox was does not prove it gone.
func TestLaggingListDoesNotHideASandbox(t *testing.T) {
	needs(t, "environments of one resource, nor lists that are late for good", func(can provisioner.Capabilities) bool { return can.ListLag == 0 })
	b := setup(t, patient, slowSweeps, func(c *daemon.Config) { c.Hosts[0].Driver = idleDriver{c.Hosts[0].Driver, func() {}} })
	if err := b.world.FreezeInventory(instance); err != nil {
		t.Fatal(err)
	}
	b.run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.release(env.ID)
	b.world.ThawInventory()
	b.nothingLeft()
	if body := b.proof(env.ID); !lists(body, kindSandbox, env.SandboxID) {
		t.Errorf("the receipt lists %+v", body.Resources)
	}
}

// TestWhatIsUsedGoesLast: an environment of many resources, of which the driver knows nothing, goes in the order of its provider, which
// refuses to take away what is still used.
func TestWhatIsUsedGoesLast(t *testing.T) {
	for _, provider := range []fake.Personality{fake.DockerLike, fake.ClusterLike} {
		t.Run(string(provider), func(t *testing.T) {
			b := setupOn(t, fake.Options{Like: provider}, patient, slowSweeps, func(c *daemon.Config) {
				c.Hosts[0].Driver = idleDriver{c.Hosts[0].Driver, func() {}}
			}).run()
			env := b.untilState(b.acquire().ID, fleet.Leased)
			kinds := map[fake.Personality]string{fake.DockerLike: "volume", fake.ClusterLike: "config"}
			for _, f := range b.left() {
				if f.ID == env.SandboxID {
					if _, err := b.world.Place(kinds[provider], f.Name, f.Labels); err != nil {
						t.Fatal(err)
					}
				}
			}
			before := len(b.left())
			if before < 2 {
				t.Fatalf("it has %d resources, and the rest of the test shows nothing", before)
			}
			gone := b.release(env.ID)
			if gone.Work.Attempts > 0 {
				t.Errorf("it took %d tries: something was asked to go before what uses it", gone.Work.Attempts+1)
			}
			if body := b.proof(env.ID); len(body.Resources) < before {
				t.Errorf("the receipt lists %+v, want all %d", body.Resources, before)
			}
		})
	}
}

// TestALateListProvesNothingSooner: of a provider whose lists are late, what came just before the end is found all the same.
func TestALateListProvesNothingSooner(t *testing.T) {
	var once sync.Once
	var b *bench
	var labels map[string]string
	late := func(can *provisioner.Capabilities) { can.ListLag = time.Second } // more than a busy machine takes between two looks
	b = setupOn(t, fake.Options{Like: fake.ClusterLike, Lack: late}, patient, slowSweeps, func(c *daemon.Config) {
		driver := c.Hosts[0].Driver
		c.Hosts[0].Driver = afterDestroy{driver, func() {
			once.Do(func() {
				if _, err := b.world.Place("claim", "late", labels); err != nil {
					t.Error(err)
				}
			})
		}}
	})
	b.run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	labels = b.left()[0].Labels
	b.release(env.ID)
	b.nothingLeft()
	if body := b.proof(env.ID); !slices.ContainsFunc(body.Resources, func(r receipt.Resource) bool { return r.Name == "late" }) {
		t.Errorf("the receipt lists %+v, want what came late", body.Resources)
	}
}

// afterDestroy is a driver after whose destroys something happens.
type afterDestroy struct {
	provisioner.Driver
	then func()
}

func (d afterDestroy) Destroy(ctx context.Context, spec provisioner.Spec, state []byte, observe provisioner.Observer) error {
	defer d.then()
	return d.Driver.Destroy(ctx, spec, state, observe)
}

// TestReceiptKeyIsTheInstallations: another secret gives another key; the same secret, another process, the same.
func TestReceiptKeyIsTheInstallations(t *testing.T) {
	b := setup(t)
	same := b.newEngine("daemon-2.a")
	other := b.newEngine("daemon-3.a", func(c *daemon.Config) { c.Secret = []byte(strings.Repeat("x", 32)) })
	if !slices.Equal(b.engine.ReceiptKey(), same.ReceiptKey()) || slices.Equal(same.ReceiptKey(), other.ReceiptKey()) {
		t.Error("keys do not follow the installation's secret")
	}
}

// Issue 17, F24: once a state is recorded, sealed, the driver keeps none in clear; before that it does, and what it made is taken away
// from the record alone.
func TestTheDriverKeepsNoStateThatIsRecorded(t *testing.T) {
	b := setup(t).run()
	hang := b.inject(fake.Hang(fake.OpCreate, fake.After))
	env := b.acquire()
	b.reached(hang)
	if kept, err := b.world.Remembers(env.ID); err != nil || !kept {
		t.Errorf("while it is made the driver remembers %v (%v), want its state kept", kept, err)
	}
	if err := hang.Lift(); err != nil {
		t.Fatal(err)
	}
	b.untilState(env.ID, fleet.Leased)
	if kept, err := b.world.Remembers(env.ID); err != nil || kept {
		t.Errorf("once it is leased the driver remembers %v (%v), want nothing", kept, err)
	}
	b.release(env.ID)
	b.nothingLeft()
}
