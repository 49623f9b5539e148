package acquire

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"github.com/bothy-env/bothy/internal/fleet"
)

// namePattern is a valid name of an environment: it becomes a host name and part of paths.
var namePattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func checkName(name string) error {
	if !namePattern.MatchString(name) {
		return fleet.Errorf(fleet.CodeInvalid, "name %q is not usable", fleet.Short(name)).
			WithHint("use 1 to 63 lower-case letters, digits and dashes, with a letter or digit at both ends").About("name")
	}
	if fleet.IsID(name) {
		return fleet.Errorf(fleet.CodeInvalid, "name %q has the form of an environment's id", name).
			WithHint("add a dash, or use another length than 16").About("name")
	}
	return nil
}

// NewID makes the id of an environment: 80 random bits as 16 lower-case characters.
func NewID() string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the program instead
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))
}

// NewName generates a name that people can say: a weather and a mountain word.
// There are about two million, so that a thousand live ones seldom collide.
func NewName() string {
	return fmt.Sprintf("%s-%s-%d", pick(nameAdjectives), pick(nameNouns), 2+below(nameNumbers))
}

// nameNumbers is how many numbers there are to end a name.
const nameNumbers = 998

func pick(words string) string {
	list := strings.Fields(words)
	return list[below(len(list))]
}

func below(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return 0 // unreachable: the random source ends the program on failure
	}
	return int(i.Int64())
}

const (
	nameAdjectives = `amber brisk calm clear cold crisp dawn deep dry dusky early fair fine fresh frosty
		gentle golden grey high keen late light low mellow mild misty mossy pale quiet rosy russet
		sheltered silver snowy soft still stony sunny warm wild windy wintry`
	nameNouns = `alder badger birch brook burn cairn corrie crag creek curlew eagle fell fern finch fox glen
		gorse grouse hare hawk hazel heather hill juniper kestrel larch lark linnet loch marten
		meadow moor otter owl peak pine plover raven ridge robin rowan spruce stag swift thistle wren`
)
