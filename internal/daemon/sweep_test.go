package daemon_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/sweep"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// counted counts how often a host is listed.
type counted struct {
	*fake.Runtime
	times *atomic.Int64
}

func (l counted) List(ctx context.Context, sel provisioner.Selector) (provisioner.Page, error) {
	l.times.Add(1)
	return l.Runtime.List(ctx, sel)
}

// manySweeps are more than there are in the time of a test where each waits for something that hangs.
const manySweeps = 60

// TestAHungHostHoldsUpNoSweep: another host is swept as before, and so is the machine.
func TestAHungHostHoldsUpNoSweep(t *testing.T) {
	t.Parallel()
	var on atomic.Bool
	var times atomic.Int64
	mine := &hoarder{}
	b := setup(t, func(c *daemon.Config) {
		mine.Driver = c.Hosts[0].Driver
		twoHosts(hanging{on: &on})(c)
		c.Hosts[1].Runtime = counted{c.Hosts[1].Runtime.(*fake.Runtime), &times}
		c.Hosts[1].Driver = mine
	}).run()
	b.usable("a", "b")
	on.Store(true)
	for range 2 { // the first may have begun before
		before := times.Load()
		waitUntil(t, "the other host is swept", func() bool { return times.Load() > before+manySweeps })
	}
	mine.keep("neverheardof")
	waitUntil(t, "the machine is swept", func() bool { return mine.keeps() })
}

// TestSlowMeasuringHoldsUpNothing: sandboxes whose use is slow to be told keep neither their host's sweep nor another host's measuring.
func TestSlowMeasuringHoldsUpNothing(t *testing.T) {
	needs(t, "traffic", func(can provisioner.Capabilities) bool { return can.Traffic })
	needs(t, "networks", func(can provisioner.Capabilities) bool { return can.Networks })
	t.Parallel()
	b := setup(t, patient, func(c *daemon.Config) {
		other := c.Hosts[0]
		other.Name, other.Networks = "other", nil
		c.Hosts = append(c.Hosts, other)
	}).run()
	drain := func(host string, drained bool) {
		t.Helper()
		if _, err := b.engine.Hosts.Drain(t.Context(), platform, host, drained); err != nil {
			t.Fatal(err)
		}
	}
	b.usable("local", "other")
	drain("other", true)
	slow := b.untilState(b.acquire(idle(time.Hour)).ID, fleet.Leased)
	drain("other", false)
	drain("local", true)
	quick := b.untilState(b.acquire(idle(time.Hour)).ID, fleet.Leased)
	if slow.Host != "local" || quick.Host != "other" {
		t.Fatalf("they stand on %s and %s", slow.Host, quick.Host)
	}
	hang := fake.Hang(fake.OpTraffic, fake.Before)
	hang.Environment, hang.Times = slow.ID, fake.Always
	held := b.inject(hang)
	b.reached(held)
	before := b.world.Calls(fake.OpReconcile)
	waitUntil(t, "its host is swept", func() bool { return b.world.Calls(fake.OpReconcile) > before+manySweeps })
	b.clock.advance(10 * time.Minute)
	b.must(b.world.AddTraffic(quick.SandboxID, 1<<20))
	waitUntil(t, "use on the other host is noted", func() bool { return b.get(quick.ID).Lease.ActiveAt.Equal(b.clock.Now()) })
	b.must(held.Lift())
}

// shelved is a runtime that has files on environments.
type shelved struct {
	*fake.Runtime
	*hoarder
}

func (s shelved) Ready(ctx context.Context) error { return s.Runtime.Ready(ctx) }

func (s shelved) Capabilities() provisioner.Capabilities {
	can := s.Runtime.Capabilities()
	can.Files = true
	return can
}

// tidied is a driver that has files on blueprints.
type tidied struct {
	provisioner.Driver
	mu      sync.Mutex
	digests []string
}

func (d *tidied) Tidy(_ context.Context, known func(string) bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.digests = slices.DeleteFunc(d.digests, func(digest string) bool { return !known(digest) })
	return nil
}

func (d *tidied) has(digests ...string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Equal(d.digests, digests)
}

// TestWhatSandboxesUseStaysWithThem: files that sandboxes use go once their environment is gone, and not before, whoever serves the host.
// Those of hosts that are not declared any more go as well, and after them all else that was kept for the host.
func TestWhatSandboxesUseStaysWithThem(t *testing.T) {
	t.Parallel()
	etcs, leftWork, leftEtcs := &hoarder{}, &hoarder{}, &hoarder{}
	var removed atomic.Int64
	b := setup(t, patient, func(c *daemon.Config) {
		c.Hosts[0].Runtime = shelved{c.Hosts[0].Runtime.(*fake.Runtime), etcs}
		c.Left = []sweep.LeftHost{{Name: "lost", Work: leftWork, Etcs: leftEtcs, Remove: func() error { removed.Add(1); return nil }}}
	})
	leftEtcs.keep("still") // keeps the host from being forgotten at once
	if _, err := b.db.SeeOrphans(t.Context(), "lost", []fleet.Orphan{{
		Host: "lost", Kind: kindSandbox, ID: "c1", Name: "c1", EnvironmentID: "still", CreatedAt: b.clock.Now(),
	}}, b.clock.Now()); err != nil {
		t.Fatal(err)
	}
	b.run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	etcs.keep(env.ID, "neverheardof")
	leftWork.keep(env.ID, "neverheardof") // it stands on another host
	leftEtcs.keep(env.ID, "neverheardof")
	waitUntil(t, "what nobody uses is removed", func() bool {
		return etcs.keeps(env.ID) && leftWork.keeps() && leftEtcs.keeps("still", env.ID)
	})
	if removed.Load() != 0 {
		t.Error("the rest of the host went before what sandboxes use")
	}
	b.release(env.ID)
	b.untilState(env.ID, fleet.Destroyed)
	waitUntil(t, "its files are removed", func() bool { return etcs.keeps() && leftEtcs.keeps("still") })
	if _, err := b.db.SeeOrphans(t.Context(), "lost", nil, b.clock.Now()); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "the host is forgotten", func() bool { return leftEtcs.keeps() && removed.Load() == 1 })
	b.sweeps()
	if removed.Load() != 1 {
		t.Errorf("the rest of the host was removed %d times", removed.Load())
	}
}

// TestFilesStayInSafeMode: what a database that is behind does not know may be in use.
func TestFilesStayInSafeMode(t *testing.T) {
	t.Parallel()
	etcs := &hoarder{}
	etcs.keep("unknown")
	b := setup(t, patient, func(c *daemon.Config) {
		c.Restored = "it was restored"
		c.Hosts[0].Runtime = shelved{c.Hosts[0].Runtime.(*fake.Runtime), etcs}
	})
	env := fleet.Orphan{Host: "local", Kind: kindSandbox, ID: "c1", Name: "c1", EnvironmentID: "e1", CreatedAt: b.clock.Now()}
	if _, err := b.db.SeeOrphans(t.Context(), "elsewhere", []fleet.Orphan{env}, b.clock.Now()); err != nil { // so that safe mode lasts
		t.Fatal(err)
	}
	b.run()
	b.sweeps()
	b.must(b.engine.SweepOnce(t.Context()))
	if !etcs.keeps("unknown") {
		t.Error("what may be in use was removed in safe mode")
	}
}

// TestTemplatesGoWithTheirBlueprints: those of blueprints that are offered, or of live environments, stay.
func TestTemplatesGoWithTheirBlueprints(t *testing.T) {
	t.Parallel()
	d, offered := &tidied{}, testBlueprint("").Ref.Digest
	d.digests = []string{offered, "sha256:gone"}
	b := setup(t, patient, func(c *daemon.Config) {
		d.Driver = c.Hosts[0].Driver
		c.Hosts[0].Driver = d
	}).run()
	waitUntil(t, "what nothing is made from is removed", func() bool { return d.has(offered) })
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.stop()
	renewed := testBlueprint(t.TempDir())
	renewed.Ref.Version, renewed.Ref.Digest = "2.0.0", "sha256:renewed"
	b.engine = b.newEngine("daemon-1.b", patient, func(c *daemon.Config) {
		c.Hosts[0].Driver = d
		c.Blueprints = shelf{renewed}
	})
	b.run()
	b.sweeps()
	if !d.has(offered) {
		t.Error("the template of a live environment was removed")
	}
	b.release(env.ID)
	b.untilState(env.ID, fleet.Destroyed)
	waitUntil(t, "it goes with the last environment", func() bool { return d.has() })
}

// TestTheFirstLookHasItsTime: a host that comes up later is compared with the database before anything is done on it, for as long as its
// engine takes for that. The hold that finds it up is over long before.
func TestTheFirstLookHasItsTime(t *testing.T) {
	t.Parallel()
	b := setup(t, unending, slowSweeps) // a sweep would be another look
	b.must(b.world.SetAvailable(false))
	b.run()
	waitUntil(t, "the host is noted as down", func() bool {
		hosts, err := b.db.Hosts(t.Context())
		return err == nil && len(hosts) == 1 && hosts[0].Down != ""
	})
	b.inject(fake.Fault{Op: fake.OpInventory, Times: fake.Always, Delay: time.Second})
	b.must(b.world.SetAvailable(true))
	b.engine.LookAtHosts()
	b.untilState(b.acquire().ID, fleet.Leased)
}

// library is a catalogue that keeps the files of digests.
type library struct {
	shelf
	tidied
}

// TestBlueprintFilesGoWithTheirEnvironments: the catalogue's files on a blueprint stay while it is on offer, while anything of it
// lives, and in safe mode, where what lives is not known.
func TestBlueprintFilesGoWithTheirEnvironments(t *testing.T) {
	t.Parallel()
	offered := testBlueprint(t.TempDir())
	l := &library{shelf: shelf{offered}}
	l.digests = []string{offered.Ref.Digest, "sha256:gone"}
	b := setup(t, patient, func(c *daemon.Config) { c.Blueprints = l }).run()
	waitUntil(t, "what nothing is made from is removed", func() bool { return l.has(offered.Ref.Digest) })
	env := b.untilState(b.acquire().ID, fleet.Leased)
	b.stop()
	renewed := testBlueprint(t.TempDir())
	renewed.Ref.Version, renewed.Ref.Digest = "2.0.0", "sha256:renewed"
	l.shelf = shelf{renewed}
	b.engine = b.newEngine("daemon-1.b", patient, func(c *daemon.Config) { c.Blueprints = l })
	b.run()
	b.sweeps()
	if !l.has(offered.Ref.Digest) {
		t.Error("the files of a live environment were removed")
	}
	b.release(env.ID)
	b.untilState(env.ID, fleet.Destroyed)
	waitUntil(t, "they go with the last environment", func() bool { return l.has() })

	b.stop()
	l.digests = []string{"sha256:unknown"}
	b.engine = b.newEngine("daemon-1.c", patient, func(c *daemon.Config) { c.Blueprints, c.Restored = l, "a person says so" })
	b.run()
	waitUntil(t, "safe mode", func() bool { return b.orphans().Safe })
	b.must(b.engine.SweepOnce(t.Context()))
	if !l.has("sha256:unknown") {
		t.Error("files were removed in safe mode")
	}
}
