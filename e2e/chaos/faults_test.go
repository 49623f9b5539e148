package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// TestRandomFaults: daemons under load, their database, the ways to it and the provider are killed, frozen, cut off by a reset and
// cut off without a word, one or two at a time, in an order and for spans that a seed draws. Nothing is lost or doubled, every lease
// ends in time, and everybody is charged for what existed.
func TestRandomFaults(t *testing.T) {
	for _, database := range databases {
		t.Run(database, func(t *testing.T) {
			t.Parallel()
			chance := seeded(t)
			f := newFaulty(t, database)
			for _, slow := range slowProvider {
				if _, err := f.h.world.Inject(slow); err != nil {
					t.Fatal(err)
				}
			}
			f.run(t, chance, pick(8, 500), 4)
			lives := must(t, f.h.world.Lives)
			f.wantLeaseEnds(t, lives)
			f.wantBills(t, lives)
		})
	}
}

// slowProvider has a fault fall between what is done and its record as often as into anything else. Every other call goes by the
// provider's other faults.
var slowProvider = []fake.Fault{
	{Op: fake.OpCreate, Stage: fake.Before, Times: fake.Always, Every: 3, Delay: 200 * time.Millisecond},
	{Op: fake.OpCreate, Stage: fake.After, Times: fake.Always, Every: 2, Delay: 200 * time.Millisecond},
	{Op: fake.OpDestroy, Stage: fake.Half, Times: fake.Always, Every: 2, Delay: 150 * time.Millisecond},
}

// faulty is a house in which things go wrong.
type faulty struct {
	h     *house
	kinds []kind
	// struck is all that went wrong so far.
	struck strikes
	// orders counts the requests that were acknowledged.
	orders int
}

// kind is one way for something to go wrong for a while.
type kind struct {
	// name says what it is. Two at the same time befall something else each.
	name, on string
	// befall does it for a span, ends it, and reports whether it met anything.
	befall func(span time.Duration) (met bool, err error)
}

// newFaulty runs a house with one daemon on SQLite, on a disk that can be full, or two on a PostgreSQL of its own.
func newFaulty(t *testing.T, database string) *faulty {
	t.Helper()
	f := &faulty{}
	o := setup{database: database, daemons: 1, smallDisk: database == sqlite}
	var server *pgtest.Server
	if database == postgres {
		server = pgtest.Own(t, pgtest.Options{})
		o.dsn, o.daemons = server.Database(t), 2
	}
	h, err := newHouse(t, o)
	if err != nil {
		t.Fatal(err)
	}
	f.h = h
	var ways []*cuttable
	if server != nil {
		ways = h.throughCuttables(t, server)
		f.kinds = append(f.kinds, databaseFaults(t, server)...)
	}
	for i, d := range h.daemons {
		d.persists = true
		f.kinds = append(f.kinds, h.daemonFaults(d)...)
		if ways != nil {
			f.kinds = append(f.kinds, wayFaults(d.name+" to its database", ways[i])...)
		}
	}
	f.kinds = append(f.kinds, h.providerFaults()...)
	if h.disk != "" {
		f.kinds = append(f.kinds, kind{"full disk", "the disk", h.fillDisk})
	}
	h.openAndClose(t, func() {
		for _, w := range ways {
			w.heal()
		}
	})
	return f
}

// daemonFaults befall a daemon's process. Whatever ends it, another one is started.
func (h *house) daemonFaults(d *daemon) []kind {
	return []kind{
		{"SIGKILL", d.name, func(span time.Duration) (bool, error) {
			met := d.pid() != 0
			return met, d.killThen(func() error { time.Sleep(span); return nil })
		}},
		{"SIGSTOP", d.name, func(span time.Duration) (bool, error) { return h.freezeFor(d, span, syscall.SIGCONT) }},
		{"SIGSTOP, then SIGKILL", d.name, func(span time.Duration) (bool, error) { return h.freezeFor(d, span, syscall.SIGKILL) }},
	}
}

func (h *house) freezeFor(d *daemon, span time.Duration, then syscall.Signal) (met bool, err error) {
	met = d.pid() != 0
	if err := d.stopOutside(h.world); err != nil {
		return met, err
	}
	time.Sleep(span)
	return met, d.signal(then)
}

// wayFaults befall the connections between a daemon and what it depends on.
func wayFaults(on string, way *cuttable) []kind {
	return []kind{
		{"RST", on, func(span time.Duration) (bool, error) {
			met := way.reset() > 0
			time.Sleep(span)
			way.heal()
			return met, nil
		}},
		{"blackhole", on, func(span time.Duration) (bool, error) {
			met := way.cut() > 0
			time.Sleep(span)
			way.heal()
			return met, nil
		}},
	}
}

// databaseFaults befall the server that all daemons share.
func databaseFaults(t *testing.T, server *pgtest.Server) []kind {
	t.Helper()
	return []kind{
		{"SIGKILL", "PostgreSQL", func(span time.Duration) (bool, error) {
			server.Kill(t)
			time.Sleep(span)
			return true, server.Restart(context.Background())
		}},
		{"SIGSTOP", "PostgreSQL", func(span time.Duration) (bool, error) {
			err := server.Freeze()
			time.Sleep(span)
			return true, errors.Join(err, server.Thaw())
		}},
	}
}

// providerFaults befall the provider, which has no connections to cut: as daemons see them, a cut by RST is a provider that is away,
// or answers that are lost although all was done, and a blackhole is calls without an answer, be they done or not.
func (h *house) providerFaults() []kind {
	const on = "provider"
	reset := &fake.Failure{Class: provisioner.Transient, Sentence: "the connection was reset before the reply came", Unavailable: true}
	kinds := []kind{{"away", on, func(span time.Duration) (bool, error) {
		err := h.world.SetAvailable(false)
		time.Sleep(span)
		return true, errors.Join(err, h.world.SetAvailable(true))
	}}}
	for name, fault := range map[string]fake.Fault{
		"RST before the reply":  {Op: fake.AnyOp, Stage: fake.After, Times: fake.Always, Forget: true, Fail: reset},
		"blackhole":             fake.Hang(fake.AnyOp, fake.Before),
		"blackhole for replies": fake.Hang(fake.AnyOp, fake.After),
	} {
		fault.Times = fake.Always
		kinds = append(kinds, kind{name, on, func(span time.Duration) (bool, error) {
			in, err := h.world.Inject(fault)
			if err != nil {
				return false, err
			}
			time.Sleep(span)
			n, err := in.Taken()
			return n > 0, errors.Join(err, in.Lift())
		}})
	}
	slices.SortFunc(kinds, func(a, b kind) int { return strings.Compare(a.name, b.name) })
	return kinds
}

// run lets things go wrong, waits until all is in order, and looks at everything that is promised.
func (f *faulty) run(t *testing.T, chance *rand.Rand, rounds, clients int) {
	t.Helper()
	s := &script{h: f.h}
	if err := s.fillPools(t.Context()); err != nil {
		t.Fatal(err)
	}
	// While things go wrong without a pause, nothing says how soon a request comes to something.
	load := startClients(t.Context(), f.h, clients, 5*time.Second, chance)
	b := bag{kinds: f.kinds, chance: chance}
	for round := range rounds {
		if round%50 == 49 {
			t.Logf("round %d", round+1)
		}
		// Long enough for daemons to get somewhere, and sometimes not even that.
		time.Sleep(time.Duration(50+chance.IntN(600)) * time.Millisecond)
		if err := f.struck.strikeAll(b.draw(), chance); err != nil {
			t.Fatal(err)
		}
	}
	ended := time.Now()
	load.end(t, s)
	f.orders = len(s.orders)
	t.Logf("%d rounds, %d requests were acknowledged\n%s", rounds, f.orders, f.struck.table())
	if met := f.struck.met(); met < rounds/2 {
		t.Errorf("only %d faults met anything", met)
	}
	f.wantBelieved(t)
	s.mustSettle(t)
	failed := f.h.failedStarts()
	t.Logf("all was in order and counted %s after the last fault; %d starts of daemons failed under faults",
		time.Since(ended).Round(100*time.Millisecond), len(failed))
	for _, at := range failed {
		if over := at.Sub(ended); over > startsWithin {
			t.Errorf("a daemon ended with an error %s after the last fault\n%s", over, f.h.logs())
		}
	}
}

// wantBelieved: nobody took the database for one that was restored. What led to it is shown.
func (f *faulty) wantBelieved(t *testing.T) {
	t.Helper()
	var last []fleet.Event
	for after := int64(0); ; {
		events, err := f.h.store.EventsBy(t.Context(), store.EventFilter{After: after, Limit: store.MaxLimit})
		if err != nil {
			t.Fatal(err)
		}
		if len(events) == 0 {
			return
		}
		for _, ev := range events {
			last = append(last[max(0, len(last)-30):], ev)
			if ev.Kind != "safe-mode.on" {
				continue
			}
			t.Errorf("the database was not believed, from %s on: %s", ev.At, ev.Message)
			for _, before := range last {
				t.Logf("%d %s %s %s %s: %s", before.Seq, before.At.Format(time.RFC3339Nano), before.EnvironmentID, before.Actor, before.Kind, before.Message)
			}
		}
		after = events[len(events)-1].Seq
	}
}

// startsWithin bounds a start that began under a fault: longer than a connection to a database is waited for.
const startsWithin = 30 * time.Second

// bag gives each kind as often as the others, in an order that is drawn.
type bag struct {
	kinds, left []kind
	chance      *rand.Rand
}

// draw gives what is next: one kind, or one time in four two that befall different things.
func (b *bag) draw() []kind {
	drawn := []kind{b.take("")}
	if b.chance.IntN(4) == 0 {
		drawn = append(drawn, b.take(drawn[0].on))
	}
	return drawn
}

// take takes the next that does not befall something.
func (b *bag) take(not string) kind {
	other := func(k kind) bool { return k.on != not }
	if !slices.ContainsFunc(b.left, other) {
		more := slices.Clone(b.kinds)
		b.chance.Shuffle(len(more), func(i, k int) { more[i], more[k] = more[k], more[i] })
		b.left = append(b.left, more...)
	}
	i := slices.IndexFunc(b.left, other)
	k := b.left[i]
	b.left = slices.Delete(b.left, i, i+1)
	return k
}

// drawSpan draws how long something is wrong: mostly under a second, and one time in eight for longer than every hold of 3 s.
func drawSpan(chance *rand.Rand) time.Duration {
	if chance.IntN(8) == 0 {
		return time.Duration(3500+chance.IntN(2500)) * time.Millisecond
	}
	return time.Duration(50+chance.IntN(900)) * time.Millisecond
}

// strike is one thing that was wrong for a while.
type strike struct {
	what        string
	met         bool
	from, until time.Time
}

// strikes are all that went wrong.
type strikes struct {
	mu  sync.Mutex
	all []strike
}

// strikeAll lets some kinds strike at the same time, each for a span of its own, and returns when the last is over.
func (s *strikes) strikeAll(kinds []kind, chance *rand.Rand) error {
	var together sync.WaitGroup
	errs := make([]error, len(kinds))
	for i, k := range kinds {
		span := drawSpan(chance)
		together.Go(func() {
			one := strike{what: k.name + " of " + k.on, from: time.Now()}
			var err error
			if one.met, err = k.befall(span); err != nil {
				errs[i] = fmt.Errorf("%s: %w", one.what, err)
			}
			one.until = time.Now()
			s.mu.Lock()
			s.all = append(s.all, one)
			s.mu.Unlock()
		})
	}
	together.Wait()
	return errors.Join(errs...)
}

// met counts those that met anything.
func (s *strikes) met() (n int) {
	for _, one := range s.all {
		if one.met {
			n++
		}
	}
	return n
}

// table counts the strikes of each kind, and those that met something.
func (s *strikes) table() string {
	struck, met := map[string]int{}, map[string]int{}
	for _, one := range s.all {
		struck[one.what]++
		if one.met {
			met[one.what]++
		}
	}
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(struck)) {
		fmt.Fprintf(&b, "%4d of %4d met: %s\n", met[what], struck[what], what)
	}
	return b.String()
}

// wrong gives for how much of a time anything was wrong.
func (s *strikes) wrong(from, until time.Time) (sum time.Duration) {
	sorted := slices.SortedFunc(slices.Values(s.all), func(a, b strike) int { return a.from.Compare(b.from) })
	for _, one := range sorted {
		begin, end := one.from, one.until
		if begin.Before(from) {
			begin = from
		}
		if end.After(until) {
			end = until
		}
		if end.After(begin) {
			sum += end.Sub(begin)
			from = end
		}
	}
	return sum
}

// must is for what a test cannot go on without.
func must[T any](t *testing.T, get func() (T, error)) T {
	t.Helper()
	got, err := get()
	if err != nil {
		t.Fatal(err)
	}
	return got
}
