package storetest

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

func hostGroup(t *testing.T, open Open) {
	t.Run("declare", func(t *testing.T) { declare(t, open(t)) })
	t.Run("hold", func(t *testing.T) { holdAndRenew(t, open(t)) })
	t.Run("earlier process", func(t *testing.T) { earlierProcess(t, open(t)) })
	t.Run("take-over fences", func(t *testing.T) { hostTakeOver(t, open(t)) })
	t.Run("leave", func(t *testing.T) { leave(t, open(t)) })
	t.Run("down and drained", func(t *testing.T) { downAndDrained(t, open(t)) })
	t.Run("missed once", func(t *testing.T) { missedOnce(t, open(t)) })
	t.Run("work of other hosts", func(t *testing.T) { workOfHosts(t, open(t)) })
}

// mustDeclare declares hosts of a name and nothing else.
func mustDeclare(t *testing.T, s *store.Store, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := s.DeclareHost(t.Context(), fleet.Host{Name: name}); err != nil {
			t.Fatalf("declare %s: %v", name, err)
		}
	}
}

// mustHold tries to hold hosts for a minute and gives those that are held, and how many environments were freed.
func mustHold(t *testing.T, s *store.Store, worker string, now time.Time, names ...string) (held []string, freed int) {
	t.Helper()
	return mustHoldAfter(t, s, worker, now, nil, names...)
}

// mustHoldAfter is mustHold for a worker that knows others to have ended.
func mustHoldAfter(t *testing.T, s *store.Store, worker string, now time.Time, ended []string, names ...string) (held []string, freed int) {
	t.Helper()
	want := store.Hold{Worker: worker, Address: addressOf(worker), Names: names, Ended: ended}
	got, err := s.HoldHosts(t.Context(), want, now, now.Add(time.Minute))
	if err != nil {
		t.Fatalf("%s holds %v: %v", worker, names, err)
	}
	for _, h := range got.Hosts {
		if h.Worker != worker || h.Address != addressOf(worker) || !h.Until.Equal(now.Add(time.Minute)) || !h.SeenAt.Equal(now) {
			t.Fatalf("%s holds %+v", worker, h)
		}
		held = append(held, h.Name)
	}
	return held, got.Freed
}

// addressOf is where people reach a worker's daemon.
func addressOf(worker string) string { return "unix:///run/" + worker + ".sock" }

// hostNamed reads a host.
func hostNamed(t *testing.T, s *store.Store, name string) fleet.Host {
	t.Helper()
	all, err := s.Hosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(h fleet.Host) bool { return h.Name == name })
	if i < 0 {
		t.Fatalf("there is no host %s among %v", name, all)
	}
	return all[i]
}

func declare(t *testing.T, s *store.Store) {
	if all, err := s.Hosts(t.Context()); err != nil || len(all) != 0 {
		t.Fatalf("a new store has hosts %v, %v", all, err)
	}
	wantCode(t, s.DeclareHost(t.Context(), fleet.Host{}), fleet.CodeInternal)
	first := fleet.Host{
		Name: "b", Endpoint: "unix:///run/docker.sock", Labels: map[string]string{"zone": "é\"1"},
		Capacity: fleet.Capacity{Environments: 10, MilliCPUs: 4000, MemoryMiB: 8192}, SeenAt: base,
	}
	if err := s.DeclareHost(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	mustDeclare(t, s, "a")
	all, err := s.Hosts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, all, []fleet.Host{{Name: "a"}, first})

	// Declared again: what is not the declarer's to say stays.
	mustHold(t, s, "d1.p1", base, "b")
	if _, err := s.DrainHost(t.Context(), "b", true, fleet.Event{Kind: "host.drained"}); err != nil {
		t.Fatal(err)
	}
	again := fleet.Host{Name: "b", Endpoint: "tcp://other", Capacity: fleet.Capacity{Environments: 1}, Worker: "thief", Generation: 9, SeenAt: base.Add(time.Hour)}
	if err := s.DeclareHost(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	same(t, hostNamed(t, s, "b"), fleet.Host{
		Name: "b", Endpoint: "tcp://other", Capacity: fleet.Capacity{Environments: 1}, Drained: true,
		Worker: "d1.p1", Until: base.Add(time.Minute), Generation: 1, SeenAt: base, Address: addressOf("d1.p1"),
	})
}

func holdAndRenew(t *testing.T, s *store.Store) {
	mustDeclare(t, s, "a", "b", "c")
	_, err := s.HoldHosts(t.Context(), store.Hold{Names: []string{"a"}}, base, base)
	wantCode(t, err, fleet.CodeInternal)
	expect := func(worker string, now time.Time, want []string, names ...string) {
		t.Helper()
		held, _ := mustHold(t, s, worker, now, names...)
		same(t, held, want)
	}
	expect("d1.p1", base, nil)
	expect("d1.p1", base, []string{"a", "b"}, "b", "a", "nobody declared it")
	expect("d2.p1", base, []string{"c"}, "a", "b", "c")
	// Renewed before its end, so it lasts.
	expect("d1.p1", base.Add(50*time.Second), []string{"a"}, "a")
	end := base.Add(time.Minute)
	expect("d2.p1", end, nil, "a", "b") // held up to and with its end
	expect("d2.p1", end.Add(time.Microsecond), []string{"b"}, "a", "b")
	expect("d1.p1", end.Add(time.Second), []string{"a"}, "a", "b")
	for name, generation := range map[string]int64{"a": 1, "b": 2, "c": 1} {
		if got := hostNamed(t, s, name).Generation; got != generation {
			t.Errorf("%s has generation %d, want %d", name, got, generation)
		}
	}
}

// earlierProcess: a daemon that was killed and starts again has its hosts at once, and the work with them. Where daemons share
// a database it must know that its earlier process has ended: one of the same name may be a copy's, and live.
func earlierProcess(t *testing.T, s *store.Store) {
	mustDeclare(t, s, host)
	mustHold(t, s, "d1.p1", base, host)
	work := admitWork(t, s, 1, fleet.Create)
	mustTake(t, s, "d1.p1", base.Add(time.Second), base.Add(time.Hour))
	if held, _ := mustHold(t, s, "d10.p1", base, host); held != nil {
		t.Fatal("a daemon whose name begins like another's took its host")
	}
	if s.Shared() {
		for _, ended := range [][]string{nil, {"d1.p0"}} {
			if held, _ := mustHoldAfter(t, s, "d1.p2", base, ended, host); held != nil {
				t.Fatalf("a process that knows %v to have ended took the host of a living one of its daemon", ended)
			}
		}
	}
	if held, freed := mustHoldAfter(t, s, "d1.p2", base, []string{"d1.p0", "d1.p1"}, host); held == nil || freed != 1 {
		t.Fatalf("the same daemon's next process got %v, %d environments were freed", held, freed)
	}
	if got := hostNamed(t, s, host); got.Generation != 2 || got.Worker != "d1.p2" {
		t.Fatalf("got %+v", got)
	}
	if got := mustGet(t, s, work.ID).Work; got.Worker != "" || got.Generation != 2 {
		t.Fatalf("the work of the ended one is %+v", got)
	}
}

func hostTakeOver(t *testing.T, s *store.Store) {
	mustDeclare(t, s, host, "other")
	mustHold(t, s, "d1.p1", base, host, "other")
	for n := 1; n <= 5; n++ {
		env := environment(n)
		env.Work.Action = fleet.Create
		if n == 4 {
			env.Host = "other"
		}
		mustAdmit(t, s, env)
	}
	now := base.Add(time.Hour)
	first, second := mustTake(t, s, "d1.p1", now, now), mustTake(t, s, "d1.p1", now, now)
	// It still renews this one, however late it is with its hold.
	long := mustTake(t, s, "d1.p1", now, now.Add(time.Hour))
	elsewhere, ok, err := s.TakeWork(t.Context(), "d1.p1", []string{"other"}, now, now)
	if err != nil || !ok {
		t.Fatalf("take work: %v, %v", ok, err)
	}
	free := mustGet(t, s, environment(5).ID)
	now = now.Add(time.Microsecond)

	held, freed := mustHold(t, s, "d2.p1", now, host)
	if same(t, held, hosts); freed != 2 {
		t.Fatalf("%d environments were freed, want the 2 whose worker's time was over", freed)
	}
	same(t, mustGet(t, s, elsewhere.ID), elsewhere)
	same(t, mustGet(t, s, free.ID), free)
	same(t, mustGet(t, s, long.ID), long)
	if err := s.Heartbeat(t.Context(), long.ID, long.Work.Generation, now.Add(time.Hour)); err != nil {
		t.Errorf("whoever renews its work lost it with the host: %v", err)
	}
	for _, cut := range []fleet.Environment{first, second} {
		want := cut
		want.Work.Worker, want.Work.Until, want.Work.Generation = "", time.Time{}, cut.Work.Generation+1
		want.Revision, want.UpdatedAt = cut.Revision+1, now
		same(t, mustGet(t, s, cut.ID), want)
		// The old worker wakes up late.
		generation := cut.Work.Generation
		_, err := s.Change(t.Context(), cut.ID, store.Expect{Generation: generation}, func(e *fleet.Environment) (store.Writes, error) {
			e.State = fleet.Provisioning
			return store.Writes{}, nil
		})
		for name, err := range map[string]error{
			"change": err, "heartbeat": s.Heartbeat(t.Context(), cut.ID, generation, now.Add(2*time.Hour)),
			"save state": s.SaveState(t.Context(), cut.ID, generation, 1, []byte("late")),
		} {
			if !errors.Is(err, store.ErrFenced) {
				t.Errorf("%s by the old worker: %v, want fenced", name, err)
			}
		}
		if next := mustTake(t, s, "d2.p1", now, now.Add(time.Hour)); next.ID != cut.ID || next.Work.Generation != generation+2 {
			t.Errorf("next is %s at generation %d, want %s", next.ID, next.Work.Generation, cut.ID)
		}
	}
	// Its own work is not taken from a daemon that renews.
	if _, freed := mustHold(t, s, "d2.p1", now.Add(time.Second), host); freed != 0 {
		t.Fatalf("a renewal freed %d environments", freed)
	}
}

func leave(t *testing.T, s *store.Store) {
	mustDeclare(t, s, "a", "b")
	mustHold(t, s, "d1.p1", base, "a")
	mustHold(t, s, "d2.p1", base, "b")
	if err := s.LeaveHosts(t.Context(), "d1.p1"); err != nil {
		t.Fatal(err)
	}
	same(t, hostNamed(t, s, "a"), fleet.Host{Name: "a", Generation: 1, SeenAt: base, Address: addressOf("d1.p1")})
	held, _ := mustHold(t, s, "d3.p1", base, "a", "b")
	same(t, held, []string{"a"})
}

func downAndDrained(t *testing.T, s *store.Store) {
	mustDeclare(t, s, "a")
	down := []fleet.Event{{Kind: "host.down", Host: "a"}}
	for range 2 { // the second time nothing is new
		if err := s.SetHostDown(t.Context(), "a", "the engine \x00 is away", down); err != nil {
			t.Fatal(err)
		}
	}
	if got := hostNamed(t, s, "a").Down; got != "the engine \uFFFD is away" {
		t.Fatalf("down is %q", got)
	}
	if err := s.SetHostDown(t.Context(), "a", "", nil); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := s.DrainHost(t.Context(), "a", true, fleet.Event{Kind: "host.drained", Host: "a"})
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, fleet.Host{Name: "a", Drained: true})
	}
	same(t, hostNamed(t, s, "a"), fleet.Host{Name: "a", Drained: true})
	events, err := s.Events(t.Context(), "", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	same(t, events, []fleet.Event{{Seq: 1, Kind: "host.down", Host: "a"}, {Seq: 2, Kind: "host.drained", Host: "a"}})

	wantCode(t, s.SetHostDown(t.Context(), "nobody", "gone", nil), fleet.CodeNotFound)
	_, err = s.DrainHost(t.Context(), "nobody", true, fleet.Event{})
	wantCode(t, err, fleet.CodeNotFound)
}

// missedOnce: a loss is told once, whoever tells it, and so is that it is over; what is not so is not told.
func missedOnce(t *testing.T, s *store.Store) {
	mustDeclare(t, s, "a")
	mustHold(t, s, "d1.p1", base, "a")
	lost, again := base.Add(fleet.LostAfter+time.Second), base.Add(time.Hour)
	note := func(missed bool, now time.Time, kind string) {
		t.Helper()
		for range 2 {
			if err := s.NoteHostMissed(t.Context(), "a", missed, now, fleet.Event{Kind: kind, Host: "a"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	note(true, base, "wrong")
	note(false, base, "wrong")
	note(true, lost, "host.lost")
	if !hostNamed(t, s, "a").Missed {
		t.Fatal("the loss is not noted")
	}
	note(false, lost, "wrong")
	mustHold(t, s, "d2.p1", again, "a")
	if got := hostNamed(t, s, "a"); !got.Missed || got.Address != addressOf("d2.p1") {
		t.Fatalf("held by another daemon it is %+v", got)
	}
	note(false, again, "host.found")
	events, err := s.Events(t.Context(), "", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	same(t, events, []fleet.Event{{Seq: 1, Kind: "host.lost", Host: "a"}, {Seq: 2, Kind: "host.found", Host: "a"}})
	wantCode(t, s.NoteHostMissed(t.Context(), "nobody", true, again, fleet.Event{}), fleet.CodeNotFound)
}

// workOfHosts: a worker gets only what stands on the hosts that it names.
func workOfHosts(t *testing.T, s *store.Store) {
	for n, name := range []string{"", "a", "b", "a"} {
		env := environment(n)
		env.Host, env.Work.Action = name, fleet.Create
		mustAdmit(t, s, env)
	}
	now := base.Add(time.Hour)
	take := func(hosts ...string) string {
		t.Helper()
		env, _, err := s.TakeWork(t.Context(), "w", hosts, now, now.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return env.ID
	}
	for _, c := range []struct {
		hosts []string
		want  string
	}{
		{nil, ""}, {[]string{"c"}, ""}, {[]string{"b"}, environment(2).ID}, {[]string{"b"}, ""},
		{[]string{"c", "a", "b"}, environment(1).ID}, {[]string{"a", "b"}, environment(3).ID}, {[]string{"a", "b"}, ""},
	} {
		if got := take(c.hosts...); got != c.want {
			t.Errorf("work on %v is %q, want %q", c.hosts, got, c.want)
		}
	}
}
