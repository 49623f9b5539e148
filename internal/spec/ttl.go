package spec

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// MaxTTL is the longest duration that a spec may contain. Blueprints have a much lower maximum.
const MaxTTL = 366 * 24 * time.Hour

const wantTTL = `a duration above 0 and up to 366d, for example 30m, 1h30m or 2d`

var (
	ttlRE     = regexp.MustCompile(ttlPattern)
	ttlPartRE = regexp.MustCompile(`([0-9]+(?:\.[0-9]+)?)([dhms])`)
	ttlUnits  = map[string]time.Duration{"d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "s": time.Second}
)

// ParseTTL parses a duration: numbers with the units d, h, m and s, for example
// 90s, 1h30m or 1.5d. It must be above 0 and at most MaxTTL.
func ParseTTL(text string) (time.Duration, error) {
	if !ttlRE.MatchString(text) {
		return 0, fmt.Errorf("got %q, want %s", text, wantTTL)
	}
	total := 0.0
	for _, part := range ttlPartRE.FindAllStringSubmatch(text, -1) {
		n, err := strconv.ParseFloat(part[1], 64)
		if err != nil {
			return 0, fmt.Errorf("cannot parse duration %q: %w", text, err)
		}
		total += n * float64(ttlUnits[part[2]])
	}
	if total = math.Round(total); total < 1 || total > float64(MaxTTL) {
		return 0, fmt.Errorf("got %q, want %s", text, wantTTL)
	}
	return time.Duration(total), nil
}
