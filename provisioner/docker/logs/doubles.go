package logs

import (
	"hash/maphash"
	"strings"
	"time"
)

// rememberedLines is how many of the newest messages a follower knows: more than a file of the engine's log holds.
const rememberedLines = 1 << 17

// rotated is the line that a follower reads where the engine began to read its log anew.
const rotated = "... the engine's log was rotated while it was followed: lines before this one may be missing"

// doubles finds messages that were written already. An engine that rotates a log while it is followed may read a file again from
// its beginning, after it passed over what it had not read yet. Time alone does not tell: a clock may be set back, and two
// streams write beside each other. The same text at the same nanosecond is the same message.
type doubles struct {
	seed maphash.Seed
	seen map[uint64]struct{}
	ring []uint64
	next int
	// again says that the last message was a double, newest is the latest time of all.
	again  bool
	newest time.Time
}

func newDoubles() *doubles {
	return &doubles{seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
}

// look reports whether a message was written before, and whether it is the first such in a row.
func (d *doubles) look(message string, at time.Time) (double, first bool) {
	switch {
	case at.IsZero():
		return false, false
	case !strings.HasSuffix(message, "\n"):
		// Parts of a long line share a time, and may be alike.
		return d.again && !at.After(d.newest), false
	}
	if at.After(d.newest) {
		d.newest = at
	}
	sum := maphash.String(d.seed, message)
	if _, double = d.seen[sum]; double {
		first, d.again = !d.again, true
		return true, first
	}
	d.again = false
	if len(d.ring) < rememberedLines {
		d.ring = append(d.ring, sum)
	} else {
		delete(d.seen, d.ring[d.next])
		d.ring[d.next] = sum
		d.next = (d.next + 1) % rememberedLines
	}
	d.seen[sum] = struct{}{}
	return false, false
}
