package chaos_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// outlivesFor is how long an environment may exist after its lease's end while nothing is wrong (DESIGN.md, promise 1). What goes
// wrong does not count, and what daemons then need to recover does.
const outlivesFor = 15 * time.Second

// wantLeaseEnds checks by the provider's own record that nothing outlived its lease. A busy machine has no bound but patience in
// the short form.
func (f *faulty) wantLeaseEnds(t *testing.T, lives []fake.Life) {
	t.Helper()
	last := map[string]time.Time{}
	for _, l := range lives {
		if l.Until.After(last[l.Environment]) {
			last[l.Environment] = l.Until
		}
	}
	bound := patience
	if *long {
		bound = outlivesFor
	}
	ended, late := 0, 0
	var worst, worstQuiet time.Duration
	for _, env := range must(t, func() ([]fleet.Environment, error) { return f.h.everything(t.Context()) }) {
		if env.Lease.End.IsZero() {
			continue
		}
		if env.State != fleet.Destroyed || last[env.ID].IsZero() {
			t.Errorf("%s (%s) is %s, its lease ended %s, its container %s", env.Name, env.ID, env.State, env.Lease.End, last[env.ID])
			continue
		}
		ended++
		by := last[env.ID].Sub(env.Lease.End)
		if by <= 0 {
			continue // it was given back earlier
		}
		late++
		quiet := by - f.struck.wrong(env.Lease.End, last[env.ID])
		worst, worstQuiet = max(worst, by), max(worstQuiet, quiet)
		if quiet > bound {
			t.Errorf("%s (%s) existed until %s after its lease's end, for %s of which nothing was wrong", env.Name, env.ID, by, quiet)
		}
	}
	t.Logf("%d leases ended, %d by their time: what they held was gone at most %s later, and %s of time in which nothing was wrong",
		ended, late, worst.Round(time.Millisecond), worstQuiet.Round(time.Millisecond))
}

// wantBills checks that each environment was charged for the time in which its containers existed, by the provider's own record:
// within billOff, and the time for which something was wrong while it lasted.
func (f *faulty) wantBills(t *testing.T, lives []fake.Life) {
	t.Helper()
	bills, err := f.h.bills(t.Context(), lives)
	if err != nil {
		t.Fatal(err)
	}
	counted, over := 0, 0
	var most, least, sum bill
	for _, b := range bills {
		if b.env.State != fleet.Destroyed {
			continue
		}
		counted++
		sum.charged, sum.existed = sum.charged+b.charged, sum.existed+b.existed
		if off := b.off(); off > most.off() {
			most = b
		} else if off < least.off() {
			least = b
		}
		if b.off().Abs() <= billOff {
			continue
		}
		over++
		wrong := f.struck.wrong(b.began(), b.ended())
		bound := billOff + wrong
		if !*long { // what recovery takes on a busy machine
			bound += outlivesFor
		}
		if b.off().Abs() > bound {
			t.Errorf("%s, and something was wrong for %s of it", b, wrong)
		}
	}
	t.Logf("%d bills: %s charged, %s existed; %d are off by more than %s; at most %s too much, %s too little",
		counted, sum.charged.Round(time.Millisecond), sum.existed.Round(time.Millisecond), over, billOff,
		most.off().Round(time.Millisecond), -least.off().Round(time.Millisecond))
}

// bill is what an environment was charged for, and what of it existed.
type bill struct {
	env              fleet.Environment
	charged, existed time.Duration
	lives            []fake.Life
}

func (b bill) off() time.Duration { return b.charged - b.existed }

func (b bill) String() string {
	text := fmt.Sprintf("%s (%s) is charged for %s, its %d containers existed for %s", b.env.Name, b.env.ID, b.charged, len(b.lives), b.existed)
	for _, l := range b.lives {
		text += fmt.Sprintf("; from %s until %s", l.From.Format(clockTime), l.Until.Format(clockTime))
	}
	return text + fmt.Sprintf("; its last bill is from %s until %s, %s before",
		b.env.BilledFrom.Format(clockTime), b.env.BilledUntil.Format(clockTime), b.env.BilledBefore)
}

const clockTime = "15:04:05.000"

// began and ended bound all of its containers and all that it was charged for.
func (b bill) began() time.Time {
	at := b.env.BilledFrom.Add(-b.env.BilledBefore)
	for _, l := range b.lives {
		if l.From.Before(at) || b.env.BilledFrom.IsZero() {
			at = l.From
		}
	}
	return at
}

func (b bill) ended() time.Time {
	at := b.env.BilledUntil
	for _, l := range b.lives {
		if l.Until.After(at) {
			at = l.Until
		}
	}
	return at
}

// TestStrikesThatOverlapCountOnce: how long something was wrong is what the oracle forgives.
func TestStrikesThatOverlapCountOnce(t *testing.T) {
	t.Parallel()
	at := func(seconds int) time.Time { return time.Unix(int64(seconds), 0) }
	s := strikes{all: []strike{{from: at(20), until: at(30)}, {from: at(5), until: at(12)}, {from: at(0), until: at(10)}, {from: at(6), until: at(7)}}}
	for _, c := range []struct{ from, until, want int }{
		{0, 40, 22}, {0, 10, 10}, {8, 25, 9}, {12, 20, 0}, {13, 14, 0}, {25, 26, 1}, {30, 30, 0},
	} {
		if got := s.wrong(at(c.from), at(c.until)); got != time.Duration(c.want)*time.Second {
			t.Errorf("from %d until %d something was wrong for %s, want %d s", c.from, c.until, got, c.want)
		}
	}
}
