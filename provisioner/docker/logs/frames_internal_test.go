package logs

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker/engine"
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
			if class := provisioner.ClassOf((&engine.Client{}).Fail(t.Context(), opLogs, err)); class != c.class {
				t.Errorf("got %v (%s), want class %q", err, class, c.class)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

// TestLogsOverARotation: where the engine reads a file again, nothing is written twice and it is said that lines may be missing;
// what only looks alike is kept, and so is all that a clock which was set back writes.
func TestLogsOverARotation(t *testing.T) {
	begin := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	said := func(n int, text string) []byte {
		return frame(1, begin.Add(time.Duration(n)*time.Millisecond).Format(time.RFC3339Nano)+" "+text)
	}
	long := strings.Repeat("x", 100)
	for name, c := range map[string]struct {
		follow bool
		in     [][]byte
		want   []string
	}{
		"read again": {true, [][]byte{said(1, "a\n"), said(7, "g\n"), said(8, "h\n"), said(7, "g\n"), said(8, "h\n"), said(9, "i\n")},
			[]string{"a", "g", "h", rotated, "i"}},
		"twice": {true, [][]byte{said(1, "a\n"), said(1, "a\n"), said(2, "b\n"), said(1, "a\n"), said(2, "b\n"), said(3, "c\n")},
			[]string{"a", rotated, "b", rotated, "c"}},
		"alike":                {true, [][]byte{said(1, "a\n"), said(2, "a\n"), said(3, "a\n")}, []string{"a", "a", "a"}},
		"a clock set back":     {true, [][]byte{said(500, "a\n"), said(600, "b\n"), said(1, "c\n"), said(2, "d\n")}, []string{"a", "b", "c", "d"}},
		"parts of a long line": {true, [][]byte{said(1, long), said(1, long), said(1, long+"\n"), said(2, "b\n")}, []string{long, long, long, "b"}},
		"parts read again": {true, [][]byte{said(1, "a\n"), said(2, long), said(2, long+"\n"), said(1, "a\n"), said(2, long), said(2, long+"\n"), said(3, long), said(3, "\n")},
			[]string{"a", long, long, rotated, long, ""}},
		"not followed": {false, [][]byte{said(1, "a\n"), said(1, "a\n")}, []string{"a", "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			l := &logReader{write: func(line provisioner.LogLine) error { got = append(got, line.Text); return nil }}
			if c.follow {
				l.doubles = newDoubles()
			}
			if err := l.frames(bufio.NewReader(bytes.NewReader(bytes.Join(c.in, nil)))); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDoublesAreRememberedWithinABound: a follower may run for days.
func TestDoublesAreRememberedWithinABound(t *testing.T) {
	d := newDoubles()
	at := time.Unix(1, 0)
	for i := range rememberedLines + 1000 {
		if double, _ := d.look(strconv.Itoa(i)+"\n", at.Add(time.Duration(i))); double {
			t.Fatalf("message %d is taken for a double", i)
		}
	}
	if len(d.seen) != rememberedLines || len(d.ring) != rememberedLines {
		t.Errorf("%d and %d are remembered, want %d", len(d.seen), len(d.ring), rememberedLines)
	}
	if double, _ := d.look("1000\n", at.Add(1000)); !double {
		t.Error("the oldest that is remembered is not known")
	}
	if double, _ := d.look("999\n", at.Add(999)); double {
		t.Error("one that was dropped is known")
	}
}
