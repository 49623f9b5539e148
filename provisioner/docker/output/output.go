package output

import (
	"bytes"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/provisioner"
)

// ClassOf reads what a tool said when it failed.
func ClassOf(said string) provisioner.Class {
	switch {
	case strings.Contains(said, "No space left"), strings.Contains(said, "Wrote only"), strings.Contains(said, "quota exceeded"):
		return provisioner.Quota
	case strings.Contains(said, "Permission denied"), strings.Contains(said, "Operation not permitted"),
		strings.Contains(said, "Read-only file system"):
		return provisioner.Denied
	}
	return provisioner.Permanent
}

// Head keeps the beginning of what a tool said.
type Head struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *Head) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 4096 - t.buf.Len(); room > 0 {
		t.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (t *Head) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

func FirstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if line == "" {
		return "it said nothing"
	}
	return line
}
