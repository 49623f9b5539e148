package daemon_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// restored runs a daemon again on what was saved of its whole state folder: the database and the marks beside it.
func (b *bench) restored(saved func(), with ...func(*daemon.Config)) {
	b.t.Helper()
	b.swap(func(string) { saved() }, with...)
	waitUntil(b.t, "it is noticed", func() bool { return b.orphans().Safe })
}

// TestRestoredFolderIsNoticed (R1): the marks that lie beside the database were taken back with it. Those at the engine were not,
// nor was what exists: nothing used is handed out, nothing in use is ended or removed, and "keep all" keeps all of it.
func TestRestoredFolderIsNoticed(t *testing.T) {
	for name, lose := range map[string]func(b *bench){
		"a mark at the engine tells":          func(*bench) {},
		"what exists tells, without the mark": func(b *bench) { b.dropMarks() },
	} {
		t.Run(name, func(t *testing.T) {
			kept := &marks{}
			remember := func(c *daemon.Config) { c.Marks, c.OrphanGrace = kept, time.Second }
			b := setup(t, remember).run()
			b.pool("builders", 1)
			warm := b.untilWarm(1)[0]
			extended := b.untilState(b.acquire(func(r *service.Request) { ttl := time.Hour; r.TTL, r.NoPool = &ttl, true }).ID, fleet.Leased)
			var backup string
			var saved marks
			b.swap(func(file string) {
				backup = file + ".backup"
				copyFile(t, file, backup)
				saved.events, saved.receipts, _ = kept.Load()
			}, remember)
			got, err := b.request(func(r *service.Request) { r.Name, r.Secrets = "ann", map[string][]byte{"token": []byte("hers")} })
			if err != nil || got.Env.ID != warm.ID {
				t.Fatalf("claimed %s, %v; want %s", got.Env.ID, err, warm.ID)
			}
			if _, err := b.engine.Extend(t.Context(), ann, extended.ID, 3*time.Hour); err != nil {
				t.Fatal(err)
			}
			fresh := b.untilState(b.acquire(func(r *service.Request) { r.Name, r.NoPool = "fresh", true }).ID, fleet.Leased)

			b.restored(func() {
				copyFile(t, backup, strings.TrimPrefix(b.dsn, "sqlite://"))
				_ = kept.Save(saved.events, saved.receipts)
				lose(b)
			}, remember)
			other, err := b.request(func(r *service.Request) { r.Who, r.Name = bob, "bob" })
			if err != nil || other.Env.ID == warm.ID {
				t.Fatalf("what somebody uses was handed to somebody else: %+v, %v", other.Env, err)
			}
			b.clock.advance(2 * time.Hour)
			b.sweeps()
			report := b.orphans()
			unknown := slices.ContainsFunc(report.Orphans, func(o fleet.Orphan) bool { return o.EnvironmentID == fresh.ID })
			if !unknown || len(report.Doubted) != 2 {
				t.Errorf("to be decided on are %+v, want the new one, and the two that changed", report)
			}
			if _, err := b.engine.Orphans.Adopt(t.Context(), platform, nil); err != nil || b.orphans().Safe {
				t.Fatalf("adopt all: %v, safe mode %t", err, b.orphans().Safe)
			}
			b.sweeps()
			for _, env := range []fleet.Environment{warm, extended, fresh} {
				if row := b.get(env.ID); row.State != fleet.Leased || row.Lease.Expired(b.clock.Now()) || !b.there(env.SandboxID) {
					t.Errorf("%s is %s (%s), and its sandbox there: %t", row.Name, row.State, row.Reason, b.there(env.SandboxID))
				}
			}
		})
	}
}

// dropMarks takes the marks at the engine away.
func (b *bench) dropMarks() {
	b.t.Helper()
	all, err := b.world.All()
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range all {
		if f.Labels[provisioner.LabelMark] == "" {
			continue
		}
		if err := b.take(f.ID); err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestUsedProvesItself (R1): a claim that the database does not know of is seen on the sandbox, right before it would be handed
// over. It stays as it is, the request is given another, and whoever decides is told.
func TestUsedProvesItself(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	way, err := b.world.Runtime().Stage(t.Context(), warm.SandboxID, "dev")
	if err == nil {
		err = way.Claim(t.Context(), "by-somebody", nil) // of a time that the database does not know
	}
	if err != nil {
		t.Fatal(err)
	}
	got, err := b.request()
	if err != nil || got.Env.ID == warm.ID {
		t.Fatalf("given %s, %v; want another than %s", got.Env.ID, err, warm.ID)
	}
	b.untilState(got.Env.ID, fleet.Leased)
	b.sweeps()
	report := b.orphans()
	if !report.Safe || !strings.Contains(report.Reason, "was used by somebody") || !b.there(warm.SandboxID) {
		t.Fatalf("safe mode: %t, %q; there: %t", report.Safe, report.Reason, b.there(warm.SandboxID))
	}
	i := slices.IndexFunc(report.Doubted, func(d service.Doubt) bool { return d.Env.ID == warm.ID })
	if i < 0 || !strings.Contains(report.Doubted[i].Known, "somebody has it") {
		t.Fatalf("to be decided on are %+v", report.Doubted)
	}
	if _, err := b.engine.Orphans.Adopt(t.Context(), platform, []string{warm.ID}); err != nil {
		t.Fatal(err)
	}
	if row := b.get(warm.ID); row.State != fleet.Leased || row.Owner != platform.User {
		t.Errorf("it is %s and %s's", row.State, row.Owner)
	}
	b.release(warm.ID)
}

// TestAnotherHandOverIsNoUnknownUse: a process that sleeps between its look at the row and that at the sandbox finds it used by
// whom another process gave it to meanwhile, and believes the database.
func TestAnotherHandOverIsNoUnknownUse(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	b.stop()
	asleep := b.inject(fake.Fault{Op: fake.OpStage, Environment: warm.ID, Stage: fake.Before, Hold: true})
	b.engine = b.newEngine("daemon-1.b")
	b.run()
	b.reached(asleep)
	way, err := b.world.Runtime().Stage(t.Context(), warm.SandboxID, "dev")
	if err == nil {
		err = way.Claim(t.Context(), "by-ann", nil)
	}
	if err == nil {
		_, err = b.db.Change(t.Context(), warm.ID, store.Expect{}, func(env *fleet.Environment) (store.Writes, error) {
			env.State, env.Owner, env.Tenant, env.Name, env.HeldAt = fleet.Leased, ann.User, ann.Tenant, "anns", b.clock.Now()
			env.Lease.Start, env.Lease.End = b.clock.Now(), b.clock.Now().Add(time.Hour)
			return store.Writes{}, nil
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := asleep.Lift(); err != nil {
		t.Fatal(err)
	}
	b.sweeps()
	if report := b.orphans(); report.Safe || b.get(warm.ID).State != fleet.Leased {
		t.Errorf("safe mode: %q; it is %s", report.Reason, b.get(warm.ID).State)
	}
}

// TestAWarmOneThatEndedWasNotUsed: that it cannot be handed over is no reason to doubt the database.
func TestAWarmOneThatEndedWasNotUsed(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	b.inject(fake.Fault{Op: fake.OpDeliver, Environment: warm.ID, Stage: fake.Before, Times: fake.Always,
		Fail: &fake.Failure{Class: provisioner.Conflict, Sentence: "the sandbox is not running"}})
	got, err := b.request()
	if err != nil || got.Env.ID == warm.ID {
		t.Fatalf("given %s, %v; want another than %s", got.Env.ID, err, warm.ID)
	}
	b.untilState(got.Env.ID, fleet.Leased)
	b.until(warm.ID, "gone", func(e fleet.Environment) bool { return e.State == fleet.Destroyed })
	if report := b.orphans(); report.Safe {
		t.Errorf("safe mode: %s", report.Reason)
	}
}

// TestUsedIsSeenAtAStart: a new process looks at what is warm before anybody asks for it.
func TestUsedIsSeenAtAStart(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	b.stop()
	way, err := b.world.Runtime().Stage(t.Context(), warm.SandboxID, "dev")
	if err == nil {
		err = way.Claim(t.Context(), "by-somebody", nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	b.engine = b.newEngine("daemon-1.b")
	b.run()
	waitUntil(t, "it is seen", func() bool { return b.orphans().Safe })
	waitUntil(t, "it is known to be used", func() bool {
		return slices.ContainsFunc(b.orphans().Doubted, func(d service.Doubt) bool { return strings.Contains(d.Known, "somebody has used it") })
	})
	if row := b.get(warm.ID); row.State != fleet.Warm || !b.there(warm.SandboxID) {
		t.Errorf("what is in use is %s", row.State)
	}
}

// TestLaterTryThanKnown: a sandbox of a try that the database does not know of shows that it is behind.
func TestLaterTryThanKnown(t *testing.T) {
	b := setup(t, func(c *daemon.Config) { c.OrphanGrace = time.Second }).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	later := b.place("volume", "later", ownLabels(t, env.ID, env.Work.Generation+1))
	waitUntil(t, "it is seen", func() bool { return b.orphans().Safe })
	b.clock.advance(time.Hour)
	b.sweeps()
	if !b.there(later.ID) || !strings.Contains(b.orphans().Reason, "is of try 2") {
		t.Errorf("there: %t; %s", b.there(later.ID), b.orphans().Reason)
	}
}

// TestMarkAtTheEngine: there is one for as long as something stands there, it is as far as the records, and it goes with the last.
func TestMarkAtTheEngine(t *testing.T) {
	b := setup(t, func(c *daemon.Config) { c.SweepEvery = time.Hour }).run()
	marks := func() (all []int64) {
		found, err := b.world.All()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range found {
			if text := f.Labels[provisioner.LabelMark]; text != "" {
				var events, receipts int64
				if _, err := fmt.Sscan(text, &events, &receipts); err != nil {
					t.Fatal(err)
				}
				all = append(all, events)
			}
		}
		return all
	}
	env := b.untilState(b.acquire().ID, fleet.Leased)
	for _, kind := range []string{"environment.ready", "lease.extended"} {
		events, err := b.db.Events(t.Context(), env.ID, 0, 100)
		i := slices.IndexFunc(events, func(e fleet.Event) bool { return e.Kind == kind })
		if err != nil || i < 0 {
			t.Fatalf("no event %s among %+v, %v", kind, events, err)
		}
		waitUntil(t, "the engine knows", func() bool {
			all := marks()
			return len(all) == 1 && all[0] >= events[i].Seq
		})
		if _, err := b.engine.Extend(t.Context(), ann, env.ID, time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	b.release(env.ID)
	b.stop()
	if all := marks(); len(all) > 0 {
		t.Errorf("nothing stands there, and there are marks %d", all)
	}
}

// TestMadeSinceIsKept: a pool's member that nobody had begun when the database was saved was made and taken since. It is kept as it
// is, on the host where it was found, and leased to whoever decided.
func TestMadeSinceIsKept(t *testing.T) {
	kept := &marks{}
	remember := func(c *daemon.Config) { c.Marks = kept }
	b := setup(t, remember)
	b.pool("builders", 1)
	member := fleet.Environment{
		ID: "pending-then", Name: "pending-then", State: fleet.Pending, Pool: "builders", MatchKey: "key", CreatedAt: b.clock.Now(),
		Blueprint: testBlueprint("").Ref, Size: testBlueprint("").Sizes[0], Users: []string{"dev"}, Lease: fleet.Lease{TTL: time.Hour, MaxTTL: time.Hour},
	}
	pool, err := b.db.Pool(t.Context(), "builders")
	if err == nil {
		err = b.db.Refill(t.Context(), "builders", pool.Revision, []fleet.Environment{member}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	sandbox := b.place(kindSandbox, "made-since", ownLabels(t, member.ID, 3))
	b.run()
	waitUntil(t, "it is noticed", func() bool { return b.orphans().Safe })
	for range 2 { // also when it is said again
		if _, err := b.engine.Orphans.Adopt(t.Context(), platform, nil); err != nil {
			t.Fatal(err)
		}
	}
	row := b.get(member.ID)
	if row.State != fleet.Leased || row.Owner != platform.User || row.SandboxID != sandbox.ID || row.Host != "local" || row.Work.Generation <= 3 {
		t.Errorf("it is %s, %s's, on host %q, at generation %d", row.State, row.Owner, row.Host, row.Work.Generation)
	}
	b.sweeps()
	if report := b.orphans(); report.Safe || len(report.Orphans) > 0 || !b.there(sandbox.ID) {
		t.Errorf("after it %+v; there: %t", report, b.there(sandbox.ID))
	}
}

// TestMarkReadAtTheEngine: only a mark at the engine knows of an extension; nothing that exists is unknown.
func TestMarkReadAtTheEngine(t *testing.T) {
	b := setup(t).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	var backup string
	b.swap(func(file string) { backup = file + ".backup"; copyFile(t, file, backup) })
	if _, err := b.engine.Extend(t.Context(), ann, env.ID, 3*time.Hour); err != nil {
		t.Fatal(err)
	}
	b.restored(func() { copyFile(t, backup, strings.TrimPrefix(b.dsn, "sqlite://")) })
	if reason := b.orphans().Reason; !strings.Contains(reason, "a mark at the engine") {
		t.Errorf("safe mode: %s", reason)
	}
}

// TestSafeModeIsNotBegunAgain: whoever decides before the next sweep has decided on what a mark at the engine knows, too.
func TestSafeModeIsNotBegunAgain(t *testing.T) {
	needs(t, "networks", func(can provisioner.Capabilities) bool { return can.Networks })
	b := setup(t, func(c *daemon.Config) { c.SweepEvery = time.Hour }).run()
	env := b.untilState(b.acquire().ID, fleet.Leased)
	waitUntil(t, "the first sweep", func() bool { return b.world.Calls(fake.OpReconcile) > 0 }) // a decision waits for its end
	key, err := vault.LabelKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	owner := provisioner.Owner{Instance: instance, Created: b.clock.Now(), Mark: "1000 10"}
	if err := b.world.Runtime().Mark(t.Context(), "ahead", key.Labels(owner)); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the first finds the database to be behind, and decides on all of it
		if report, err := b.engine.Orphans.Adopt(t.Context(), platform, nil); err != nil || report.Safe {
			t.Fatalf("adopt all: %v, safe mode: %t", err, report.Safe)
		}
	}
	if on := b.recorded("safe-mode.on"); on != 1 || b.there("ahead") || b.get(env.ID).State != fleet.Leased {
		t.Errorf("safe mode was begun %d times; the mark of before is there: %t", on, b.there("ahead"))
	}
}

// TestSafeModeIsTurnedOnOnce: a daemon that found a warm environment to be used is slow, and another one has turned safe mode on meanwhile.
// What was asked for since is not from before, and is made.
func TestSafeModeIsTurnedOnOnce(t *testing.T) {
	b := setup(t).run()
	b.pool("builders", 1)
	warm := b.untilWarm(1)[0]
	var since fleet.Environment
	unknown, err := b.engine.Disbelieve(t.Context(), warm.ID, func(*fleet.Environment) bool {
		b.must(b.engine.DoubtAsAnother(t.Context(), "another daemon knows"))
		b.clock.advance(time.Second)
		since = b.acquire(func(r *service.Request) { r.NoPool = true })
		b.clock.advance(time.Second)
		return true
	})
	if err != nil || !unknown {
		t.Errorf("disbelieved: %t, %v", unknown, err)
	}
	if on := b.recorded("safe-mode.on"); on != 1 || b.orphans().Reason != "another daemon knows" || !b.get(warm.ID).Doubted {
		t.Errorf("safe mode was turned on %d times: %q", on, b.orphans().Reason)
	}
	b.untilState(since.ID, fleet.Leased)
}

// unmarking notes which marks are taken away.
type unmarking struct {
	*fake.Runtime
	mu    sync.Mutex
	names []string
}

func (u *unmarking) Unmark(ctx context.Context, name string) error {
	u.mu.Lock()
	u.names = append(u.names, name)
	u.mu.Unlock()
	return u.Runtime.Unmark(ctx, name)
}

// TestAStaleMarkIsTakenAwayOnce: a sweep in safe mode brings the mark at the engine in line at its look, and not once more.
func TestAStaleMarkIsTakenAwayOnce(t *testing.T) {
	needs(t, "networks", func(can provisioner.Capabilities) bool { return can.Networks })
	u := &unmarking{}
	b := setup(t, func(c *daemon.Config) {
		u.Runtime = c.Hosts[0].Runtime.(*fake.Runtime)
		c.Hosts[0].Runtime, c.SweepEvery = u, time.Hour
	}).run()
	b.untilState(b.acquire().ID, fleet.Leased)
	waitUntil(t, "the first sweep", func() bool { return b.world.Calls(fake.OpReconcile) > 0 })
	key, err := vault.LabelKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	owner := provisioner.Owner{Instance: instance, Created: b.clock.Now(), Mark: "1000 10"}
	b.must(u.Mark(t.Context(), "ahead", key.Labels(owner)))
	b.must(b.engine.SweepOnce(t.Context()))
	if !b.orphans().Safe {
		t.Fatal("it was not noticed")
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if n := len(slices.DeleteFunc(slices.Clone(u.names), func(name string) bool { return name != "ahead" })); n != 1 {
		t.Errorf("it was taken away %d times: %v", n, u.names)
	}
}

// TestSafeModeEndsWithTheLastDoubt: one decision is not all of them, and people who use what they have decide as well.
func TestSafeModeEndsWithTheLastDoubt(t *testing.T) {
	kept := &marks{}
	b := setup(t, func(c *daemon.Config) { c.Marks = kept }).run()
	var all []fleet.Environment
	for range 3 {
		all = append(all, b.untilState(b.acquire().ID, fleet.Leased))
	}
	if err := kept.Save(1000, 10); err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "it is noticed", func() bool { return b.orphans().Safe })
	if _, err := b.engine.Orphans.Adopt(t.Context(), platform, []string{all[0].ID}); err != nil || !b.orphans().Safe {
		t.Fatalf("one of three is decided on: %v, safe mode: %t", err, b.orphans().Safe)
	}
	b.clock.advance(2 * time.Hour) // all are over, as recorded
	b.sweeps()
	if row, err := b.engine.Extend(t.Context(), ann, all[1].ID, time.Hour); err != nil || row.Doubted || row.Lease.Expired(b.clock.Now()) {
		t.Fatalf("extended: %v, doubted: %t, until %s", err, row.Doubted, row.Lease.End)
	}
	if report, err := b.engine.Orphans.Purge(t.Context(), platform, []string{all[2].ID}); err != nil || report.Safe || len(report.Doubted) > 0 {
		t.Fatalf("all are decided on: %v, %+v", err, report)
	}
	b.until(all[2].ID, "gone", func(e fleet.Environment) bool { return e.State == fleet.Destroyed })
	if row := b.get(all[1].ID); row.State != fleet.Leased {
		t.Errorf("what its holder extended is %s", row.State)
	}
}
