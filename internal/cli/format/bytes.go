package format

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

var units = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1},
}

// Bytes formats a size: "512 B", "1.5 KiB", "512 MiB".
func Bytes(n int64) string {
	for _, u := range units[:len(units)-1] {
		if n >= u.size {
			s := strconv.FormatFloat(float64(n)/float64(u.size), 'f', 1, 64)
			return strings.TrimSuffix(s, ".0") + " " + u.name
		}
	}
	return fmt.Sprintf("%d B", n)
}

// ParseBytes parses a size: "1048576", "512MiB", "1.5GiB". All units are powers of 1024, including K, M, G, T
// and KB, MB, GB, TB.
func ParseBytes(s string) (int64, error) {
	wrong := fmt.Errorf("got %q, want a size, for example 512MiB or 2GiB", s)
	text := strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	scale := int64(1)
	for _, u := range units {
		name := strings.ToUpper(u.name)
		for _, suffix := range []string{name, strings.Replace(name, "I", "", 1), name[:1]} {
			if rest, found := strings.CutSuffix(text, suffix); found {
				text, scale = rest, u.size
				break
			}
		}
		if scale > 1 {
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(n) || n < 0 {
		return 0, wrong
	}
	if n *= float64(scale); n >= math.MaxInt64 {
		return 0, wrong
	}
	return int64(n), nil
}
