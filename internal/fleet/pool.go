package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Pool is how many warm environments of one blueprint, size and set of inputs to keep.
type Pool struct {
	// Name is chosen by the platform team.
	Name string
	// Blueprint is a name, which follows the newest digest, or name@version.
	Blueprint string
	// Size is one of the blueprint's sizes, its default when empty; Inputs are the same for all members.
	Size   string
	Inputs map[string]any

	// Target is how many to keep warm when no entry of Schedule applies; within Min and Max.
	Target int
	// Schedule sets other targets at given times; the first entry that applies wins.
	Schedule []ScheduledTarget
	// Min is the least number of ready members during the rollout of a new digest. Max is the most members that may exist at once, of all
	// digests, without claimed ones; see DefaultMax.
	Min, Max int
	// Surge is how many more than the target may exist during the rollout of a new digest, within Max.
	Surge int
	// Pause freezes idle members, so that they use no CPU.
	Pause bool

	// Held is why the pool gets no new members; empty when it does. `bothy pool resume` clears it.
	Held   string
	HeldAt time.Time
	// Failures counts consecutive failed creates.
	Failures int
	// FromFile: the platform team's file defines the pool.
	FromFile bool
	// Revision counts writes; a refill against an older revision is refused, so that no two controllers create the same member.
	Revision  int64
	UpdatedAt time.Time
	UpdatedBy string
}

// MaxPoolCount bounds a pool's target, minimum, maximum and surge.
const MaxPoolCount = 1000

// DefaultMax is the default maximum of a pool: its highest target plus its surge, and one more if the pool could never be renewed
// otherwise. It exceeds MaxPoolCount only if a target does.
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

// NeverRenewed reports whether a new digest could never be rolled out: no member may be deleted before its successor exists, and no
// successor may be created beside it.
func (p Pool) NeverRenewed() bool { return p.Min > 0 && p.Min >= p.Max }

// Zone is the time zone of a pool's schedule; "" for UTC.
func (p Pool) Zone() string {
	if len(p.Schedule) == 0 {
		return ""
	}
	return p.Schedule[0].Zone
}

// SetZone sets the time zone of a pool's schedule.
func (p *Pool) SetZone(zone string) {
	for i := range p.Schedule {
		p.Schedule[i].Zone = zone
	}
}

// zones caches locations: each is loaded once.
var zones sync.Map

// CheckZone checks the name of a time zone, as in the IANA database. "" is UTC. The machine's local zone is refused, because two machines
// may differ.
func CheckZone(name string) error {
	if name == "" {
		return nil
	}
	if _, known := zones.Load(name); known {
		return nil
	}
	at, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		return Errorf(CodeInvalid, "unknown time zone %q", name).WithHint("use a name of the IANA database, such as Europe/Berlin or UTC")
	}
	zones.Store(name, at)
	return nil
}

// Location is the entry's time zone; UTC for an unknown one.
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
	// Days on which it applies; every day when empty.
	Days []time.Weekday `json:"days,omitempty"`
	// From and Until are minutes since midnight; an entry whose Until is not after From runs past midnight.
	From  int `json:"from"`
	Until int `json:"until"`
	// Target while it applies.
	Target int `json:"target"`
}

// MatchKey identifies the warm environments that a request may claim: the same digest, size and inputs, with defaults filled in. Go
// encodes maps with sorted keys, so equal requests have equal keys.
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
