package usage

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/bothy-env/bothy/provisioner"
)

var _ provisioner.Pressured = (*Meter)(nil)

// pressureFile is where the kernel tells how long tasks waited for a processor (Documentation/accounting/psi.rst).
const pressureFile = "/proc/pressure/cpu"

// Pressure is this machine's, when the engine is on it.
func (m *Meter) Pressure() (percent float64, processors int, ok bool) {
	if !m.engine.Local {
		return 0, 0, false
	}
	text, err := os.ReadFile(pressureFile)
	if err != nil {
		return 0, 0, false // a kernel that does not count it
	}
	percent, ok = readPressure(string(text))
	return percent, runtime.NumCPU(), ok
}

// readPressure reads "some avg10=83.65 avg60=...".
func readPressure(text string) (percent float64, ok bool) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "some" {
			continue
		}
		value, found := strings.CutPrefix(words[1], "avg10=")
		percent, err := strconv.ParseFloat(value, 64)
		return percent, found && err == nil
	}
	return 0, false
}
