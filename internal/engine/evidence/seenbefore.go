package evidence

import (
	"regexp"
	"time"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/receipt"
)

// seenBefore is the one place that reads a sentence: that of an event resource.seen of before events had data (migration 17). It is
// not called for any other. An environment that lives across the upgrade has such events beside those with data, and a daemon of
// before that still runs beside this one writes them. What cannot be read is not left out: the sentence itself is in the
// receipt then, as a note.
func seenBefore(sentence string) receipt.Resource {
	m := seenPattern.FindStringSubmatch(sentence)
	if m == nil {
		return receipt.Resource{Kind: kindUnknown, Note: "as it was recorded: " + sentence}
	}
	r := fleet.ResourceSeen{Kind: m[1], Name: m[2], ID: m[3]}
	if m[4] != "" {
		at, err := time.Parse(time.RFC3339Nano, m[4])
		if err != nil {
			return receipt.Resource{Kind: kindUnknown, Note: "as it was recorded: " + sentence}
		}
		r.CreatedAt = &at
	}
	return seenResource(r)
}

// kindUnknown is the kind of a resource whose record cannot be read.
const kindUnknown = "unknown"

var seenPattern = regexp.MustCompile(`^([a-z]+) (.*), id ([^ ]*?)(?:, created ([0-9TZ:.+-]+))?$`)
