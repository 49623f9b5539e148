package blueprint

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/bothy-env/bothy/internal/strictyaml"
)

var rateRE = regexp.MustCompile(`^(0|[1-9][0-9]{0,8})(?:\.([0-9]{1,6}))?$`)

// mebibytes parses "512MiB" or "2GiB": 64 MiB to 4 TiB.
func mebibytes(text string) (int64, bool) {
	n, ok := strictyaml.Mebibytes(text)
	return n, ok && n >= 64 && n <= 4096*1024
}

// micros parses a decimal price exactly, in millionths: "0.025" is 25000. It uses no floating point, so no price is ever off by one.
func micros(text string) (int64, bool) {
	m := rateRE.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1]+m[2]+strings.Repeat("0", 6-len(m[2])), 10, 64)
	return n, err == nil
}
