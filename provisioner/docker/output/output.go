// Package output reads what a tool printed when it ran.
package output

import (
	"bytes"
	"strings"
	"sync"

	"github.com/bothy-env/bothy/provisioner"
)

// ClassOf returns the class of a failure by what a tool printed.
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

// Head keeps the first 4 KiB of what a tool prints. It is safe for use by many goroutines.
type Head struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer. It never fails.
func (t *Head) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 4096 - t.buf.Len(); room > 0 {
		t.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// String returns what was kept.
func (t *Head) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// FirstLine returns the first line of what a tool printed, "it said nothing" for none.
func FirstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	if line == "" {
		return "it said nothing"
	}
	return line
}
