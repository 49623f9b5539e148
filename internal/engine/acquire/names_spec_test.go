package acquire

import (
	"strings"
	"testing"

	"github.com/bothy-env/bothy/internal/spec"
)

// TestASpecsNameIsOneThatUpTakes: `bothy spec check` and the daemon have one rule.
func TestASpecsNameIsOneThatUpTakes(t *testing.T) {
	for _, name := range []string{
		"web", "web-", "-web", "w", "-", "a-b", "Web", "web_1", "2048", "abcdefghijklmnop", "abcdefghijklmno1", "abcdefghijklmno2", "abcdefg-ijklmnop", "ü",
		strings.Repeat("a", 63), strings.Repeat("a", 64), strings.Repeat("a", 62) + "-",
	} {
		_, err := spec.Parse("bothy.yaml", []byte("version: 1\nname: '"+name+"'\n"))
		if asked := checkName(name); (err == nil) != (asked == nil) {
			t.Errorf("%q: the spec says %v, the daemon %v", name, err, asked)
		}
	}
}
