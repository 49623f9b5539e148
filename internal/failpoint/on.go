//go:build chaos

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// variable is the environment variable that selects points.
const variable = "CHAOS_KILLPOINTS"

var active = parse(os.Getenv(variable))

// orders is the parsed variable.
type orders struct {
	mu     sync.Mutex
	record *os.File
	name   string
	left   int
}

func parse(text string) *orders {
	kind, rest, _ := strings.Cut(text, ":")
	switch kind {
	case "":
		return nil
	case "record":
		f, err := os.OpenFile(rest, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			refuse(text, err)
		}
		return &orders{record: f}
	case "kill":
		// The name itself has colons.
		i := strings.LastIndex(rest, ":")
		if i < 0 {
			refuse(text, fmt.Errorf("it has no count"))
		}
		n, err := strconv.Atoi(rest[i+1:])
		if err != nil || n < 1 {
			refuse(text, fmt.Errorf("%q is not a count", rest[i+1:]))
		}
		return &orders{name: rest[:i], left: n}
	default:
		refuse(text, fmt.Errorf("want record:FILE or kill:NAME:N"))
		return nil
	}
}

// refuse ends the process: a test that kills nothing would prove nothing.
func refuse(text string, err error) {
	fmt.Fprintf(os.Stderr, "%s=%s: %v\n", variable, text, err)
	os.Exit(2)
}

// Reach is called just before and just after (end) a side effect.
func Reach(room, what, end string) {
	if active != nil {
		active.reach(room + "/" + what + ":" + end)
	}
}

func (o *orders) reach(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.record != nil {
		if _, err := o.record.WriteString(name + "\n"); err != nil {
			refuse("record", err)
		}
		return
	}
	if name != o.name {
		return
	}
	if o.left--; o.left > 0 {
		return
	}
	// The lock stays held: no other goroutine passes a point while the kernel ends the process.
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		refuse("kill", err)
	}
	select {}
}
