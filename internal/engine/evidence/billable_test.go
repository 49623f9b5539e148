package evidence

import (
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
)

var bookBase = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)

// TestBillableTimes: a provider's clock, or one that tells nothing, neither charges for what was before
// the request nor for what is to come.
func TestBillableTimes(t *testing.T) {
	env := fleet.Environment{CreatedAt: bookBase}
	now := bookBase.Add(time.Hour)
	for name, c := range map[string]struct{ created, want time.Time }{
		"in between":       {bookBase.Add(time.Minute), bookBase.Add(time.Minute)},
		"before":           {bookBase.Add(-time.Minute), bookBase},
		"to come":          {now.Add(24 * time.Hour), now},
		"not told":         {time.Time{}, bookBase},
		"of another place": {bookBase.Add(time.Minute).In(time.FixedZone("", 3600)), bookBase.Add(time.Minute)},
	} {
		if got := Billable(c.created, env, now); !got.Equal(c.want) || got.Location() != time.UTC {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
