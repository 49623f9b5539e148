package prober

import (
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/engine/doctor"
)

// TestOldFindingsAreNotBelieved: what was found is told with its age, and is no reason to call anything well for ever.
func TestOldFindingsAreNotBelieved(t *testing.T) {
	f := findings{all: make([]finding, 1)}
	a := Question{Name: "store", Every: checkEvery}
	at := time.Hour
	if !f.begin(0, a, at) || f.begin(0, a, at) {
		t.Fatal("a look does not begin, or two do")
	}
	f.end(0, []doctor.Check{{Name: "store", Status: doctor.OK, Message: "the database answers"}})
	for passed, want := range map[time.Duration]string{0: doctor.OK, checkEvery: doctor.OK, checkEvery + oldFinding: doctor.OK, checkEvery + oldFinding + 1: doctor.Down} {
		c := f.told(0, a, at+passed)[0]
		if c.Status != want || c.Age != passed || want == doctor.Down && (c.Hint == "" || !strings.Contains(c.Message, "the database answers")) {
			t.Errorf("after %s it is %+v, want %s", passed, c, want)
		}
	}
	f.begin(0, a, at)
	for passed, want := range map[time.Duration]string{Timeout: doctor.OK, Timeout + 2*time.Second: doctor.Down} {
		if c := f.told(0, a, at+passed)[0]; c.Status != want {
			t.Errorf("%s after a look that does not end began it is %+v, want %s", passed, c, want)
		}
	}
}

// TestCostlyLooksAreSeldom: a round begins those only whose turn it is.
func TestCostlyLooksAreSeldom(t *testing.T) {
	f := findings{all: make([]finding, 2)}
	costly, memory := Question{Name: "limits", Every: costlyEvery}, Question{Name: "labels"}
	at := time.Hour
	for _, look := range []struct {
		passed time.Duration
		begins bool
	}{{0, true}, {30 * time.Second, false}, {59 * time.Second, false}, {time.Minute, true}} {
		got := f.begin(0, costly, at+look.passed)
		if got != look.begins {
			t.Errorf("after %s it begins: %v, want %v", look.passed, got, look.begins)
		}
		if got {
			f.end(0, nil)
		}
		if f.begin(1, memory, at+look.passed) {
			t.Error("what is in memory is looked at ahead")
		}
	}
}

// TestRoundsRestWhileNobodyAsks: an idle daemon looks seldom, the first question begins a round, and further ones none before its turn.
func TestRoundsRestWhileNobodyAsks(t *testing.T) {
	var f findings
	at := time.Hour
	rest := unaskedRounds * checkEvery
	if got := f.next(at, checkEvery); got != rest {
		t.Errorf("unasked, the next round begins after %s, want %s", got, rest)
	}
	if f.question(at+time.Second, checkEvery) {
		t.Error("a question begins a round though one began a second ago")
	}
	at += rest
	f.next(at, checkEvery)
	if !f.question(at+checkEvery, checkEvery) {
		t.Error("a question does not begin a round though the last one is as old as one may be")
	}
	for passed, want := range map[time.Duration]time.Duration{0: checkEvery, unaskedFor - 1: checkEvery, unaskedFor: rest} {
		if got := f.next(at+checkEvery+passed, checkEvery); got != want {
			t.Errorf("%s after a question the next round begins after %s, want %s", passed, got, want)
		}
	}
	if rest >= oldFinding {
		t.Errorf("a finding is not believed after %s, and rounds rest for %s", oldFinding, rest)
	}
}
