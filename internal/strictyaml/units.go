package strictyaml

import (
	"regexp"
	"strconv"
)

var memoryRE = regexp.MustCompile(`^([1-9][0-9]{0,7})(MiB|GiB)$`)

// Mebibytes parses an amount of memory as in files, "512MiB" or "2GiB", into MiB.
func Mebibytes(text string) (int64, bool) {
	m := memoryRE.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if m[2] == "GiB" {
		n *= 1024
	}
	return n, err == nil
}
