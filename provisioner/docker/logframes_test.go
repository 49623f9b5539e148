package docker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner"
)

// frame is one message of the engine's log stream.
func frame(stream byte, text string) []byte {
	b := make([]byte, 8, 8+len(text))
	b[0] = stream
	binary.BigEndian.PutUint32(b[4:], uint32(len(text)))
	return append(b, text...)
}

// TestLogFrames: the engine's stream is taken apart whatever it holds, and a malformed one is an error.
func TestLogFrames(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	stamp := at.Format(time.RFC3339Nano) + " "
	line := func(text string) provisioner.LogLine { return provisioner.LogLine{At: at, Text: text} }
	for name, c := range map[string]struct {
		in    [][]byte
		since time.Time
		want  []provisioner.LogLine
		class provisioner.Class
	}{
		"empty":           {},
		"both":            {in: [][]byte{frame(1, stamp+"a\n"), frame(2, stamp+"b\n")}, want: []provisioner.LogLine{line("a"), {At: at, Text: "b", Stderr: true}}},
		"part of a line":  {in: [][]byte{frame(1, stamp+"a"), frame(1, stamp+"b\n")}, want: []provisioner.LogLine{line("a"), line("b")}},
		"terminal's end":  {in: [][]byte{frame(1, stamp+"a\r\n")}, want: []provisioner.LogLine{line("a")}},
		"no text":         {in: [][]byte{frame(1, stamp+"\n")}, want: []provisioner.LogLine{line("")}},
		"no time":         {in: [][]byte{frame(1, "just text\n")}, want: []provisioner.LogLine{{Text: "just text"}}},
		"long":            {in: [][]byte{frame(1, stamp+strings.Repeat("x", maxLine+1)+"\n")}, want: []provisioner.LogLine{line(strings.Repeat("x", maxLine)), line("x")}},
		"older":           {in: [][]byte{frame(1, stamp+"a\n")}, since: at.Add(time.Nanosecond)},
		"just old enough": {in: [][]byte{frame(1, stamp+"a\n")}, since: at, want: []provisioner.LogLine{line("a")}},
		"cut head":        {in: [][]byte{frame(1, stamp+"a\n")[:4]}, class: provisioner.Transient},
		"cut":             {in: [][]byte{frame(1, stamp+"a\n")[:20]}, class: provisioner.Transient},
		"engine's error":  {in: [][]byte{frame(3, "no log here")}, class: provisioner.Transient},
		"no such stream":  {in: [][]byte{frame(9, "x")}, class: provisioner.Permanent},
		"too long":        {in: [][]byte{{1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff}}, class: provisioner.Permanent},
	} {
		t.Run(name, func(t *testing.T) {
			var got []provisioner.LogLine
			l := &logReader{since: c.since, write: func(line provisioner.LogLine) error { got = append(got, line); return nil }}
			err := l.frames(bufio.NewReader(bytes.NewReader(bytes.Join(c.in, nil))))
			if class := provisioner.ClassOf((&Runtime{}).fail(t.Context(), opLogs, err)); class != c.class {
				t.Errorf("got %v (%s), want class %q", err, class, c.class)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}
