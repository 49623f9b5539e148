package pool

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bothy-env/bothy/internal/api/wire"
)

func TestSchedulesAreRead(t *testing.T) {
	for text, want := range map[string]wire.ScheduledTarget{
		"mon-fri 08:00-18:00=5":      {Days: []string{"mon", "tue", "wed", "thu", "fri"}, From: "08:00", Until: "18:00", Target: 5},
		"sat,sun  10:00-24:00=0":     {Days: []string{"sat", "sun"}, From: "10:00", Until: "24:00"},
		"22:00-06:00=1":              {From: "22:00", Until: "06:00", Target: 1},
		"fri-mon 00:00-23:59=2":      {Days: []string{"fri", "sat", "sun", "mon"}, From: "00:00", Until: "23:59", Target: 2},
		" wed,fri-sat 01:00-02:00=7": {Days: []string{"wed", "fri", "sat"}, From: "01:00", Until: "02:00", Target: 7},
	} {
		got, err := parseSchedule(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
	for _, text := range []string{
		"", "5", "mon", "mon 08:00-18:00", "mon 8:00-18:00=5", "mon 08:00-25:00=5", "mon 24:00-08:00=5", "mon 08:60-18:00=5", "mon 08:00-18:00=-5", "mon 08:00-18:00=1.5",
		"mon 08:00-18:00=1e3", "monday 08:00-18:00=5", "Mon 08:00-18:00=5", "mon-mon-tue 08:00-18:00=5", "mon,,tue 08:00-18:00=5", "mon-fri,tue 08:00-18:00=5",
		"- 08:00-18:00=5", "mon08:00-18:00=5", "mon 08:00-18:00=99999999999999999999",
	} {
		if got, err := parseSchedule(text); err == nil {
			t.Errorf("%q is read as %+v", text, got)
		}
	}
}

// Any span of days names each of its days once, in the order of the week.
func TestSpansOfDaysGoRoundTheWeek(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from, length := rapid.IntRange(0, 6).Draw(t, "from"), rapid.IntRange(1, 7).Draw(t, "length")
		var want []string
		for i := range length {
			want = append(want, days[(from+i)%7])
		}
		got, ok := parseDays(want[0] + "-" + want[length-1])
		if length == 1 {
			got, ok = parseDays(want[0])
		}
		if !ok || strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("%s-%s is %v, want %v", want[0], want[length-1], got, want)
		}
	})
}
