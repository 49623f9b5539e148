package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Pool says how many warm environments of one blueprint, size and set of inputs to keep.
type Pool struct {
	// Name is what the platform team calls it.
	Name string
	// Blueprint is a name, which follows the newest digest, or name@version.
	Blueprint string
	// Size is one of the blueprint's, its default when empty; Inputs are fixed for all members.
	Size   string
	Inputs map[string]any

	// Target is how many to keep warm when no entry of Schedule holds; within Min and Max.
	Target int
	// Schedule gives other targets at set times; the first entry that holds wins.
	Schedule []ScheduledTarget
	// Min is how many are never gone below while a new digest is rolled out, Max how many may
	// exist at once, of all digests, not counting those that were claimed; see DefaultMax.
	Min, Max int
	// Surge is how many above the target may exist while a new digest is rolled out, within Max.
	Surge int
	// Pause freezes idle members, so that they cost no CPU.
	Pause bool

	// Held says why nothing is made for it any more; empty when it works. `bothy pool resume` clears it.
	Held   string
	HeldAt time.Time
	// Failures counts creates that failed in a row.
	Failures int
	// FromFile says that the pool is kept by the platform team's file.
	FromFile bool
	// Revision counts writes; a refill against an older one is refused, so that no two controllers make the same member.
	Revision  int64
	UpdatedAt time.Time
	UpdatedBy string
}

// MaxPoolCount bounds target, minimum, maximum and surge of a pool.
const MaxPoolCount = 1000

// DefaultMax is the maximum of a pool for which none was given: what its greatest target and its surge need, and one
// more where it could never be renewed otherwise. It is no more than MaxPoolCount, but for a target that is.
func (p Pool) DefaultMax() int {
	greatest, more := p.Target, max(p.Surge, 0)
	for _, s := range p.Schedule {
		greatest = max(greatest, s.Target)
	}
	if p.Min >= greatest && p.Min > 0 {
		more = max(more, 1)
	}
	if greatest >= MaxPoolCount {
		return greatest
	}
	return greatest + min(more, MaxPoolCount-greatest)
}

// NeverRenewed reports whether a new digest could never be rolled out: no member may go before there is another,
// and no other may be made beside it.
func (p Pool) NeverRenewed() bool { return p.Min > 0 && p.Min >= p.Max }

// Zone is the time zone of a pool's schedule; "" for UTC.
func (p Pool) Zone() string {
	if len(p.Schedule) == 0 {
		return ""
	}
	return p.Schedule[0].Zone
}

// SetZone gives a pool's schedule its time zone.
func (p *Pool) SetZone(zone string) {
	for i := range p.Schedule {
		p.Schedule[i].Zone = zone
	}
}

// zones are the locations that were asked for: each is read once.
var zones sync.Map

// CheckZone says what is wrong with the name of a time zone, as the IANA has them. "" is UTC; the machine's own is none, as two
// machines may differ.
func CheckZone(name string) error {
	if name == "" {
		return nil
	}
	if _, known := zones.Load(name); known {
		return nil
	}
	at, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return Errorf(CodeInvalid, "there is no time zone %q", name).WithHint("give one as the IANA names them, such as Europe/Berlin or UTC")
	}
	zones.Store(name, at)
	return nil
}

// Location is the entry's time zone; UTC for one that is not known.
func (s ScheduledTarget) Location() *time.Location {
	if s.Zone != "" && CheckZone(s.Zone) == nil {
		known, _ := zones.Load(s.Zone)
		if at, ok := known.(*time.Location); ok {
			return at
		}
	}
	return time.UTC
}

// ScheduledTarget is a target for a part of the week, by the clock of a time zone.
type ScheduledTarget struct {
	// Zone is the time zone, the same for all entries of a pool; UTC when empty.
	Zone string `json:"zone,omitempty"`
	// Days it holds on; all when empty.
	Days []time.Weekday `json:"days,omitempty"`
	// From and Until are minutes since midnight; an entry whose Until is not after From runs past midnight.
	From  int `json:"from"`
	Until int `json:"until"`
	// Target while it holds.
	Target int `json:"target"`
}

// MatchKey stands for what a warm environment can be given for: the same digest, size and inputs
// (defaults filled in). Go encodes maps with sorted keys, so equal wishes have equal keys.
func MatchKey(digest, size string, inputs map[string]any) (string, error) {
	if inputs == nil {
		inputs = map[string]any{}
	}
	text, err := json.Marshal([]any{digest, size, inputs})
	if err != nil {
		return "", fmt.Errorf("encode inputs: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}
