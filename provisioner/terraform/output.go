package terraform

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bothy-env/bothy/provisioner"
)

// output is what one Terraform command told.
type output struct {
	phase   string
	observe provisioner.Observer
	// begun is whether a change to a resource was begun.
	begun bool
	// errors are its first diagnostics of severity error, failed is how many there were.
	errors []diagnostic
	failed int
	// noise is what came outside of JSON: a panic, a shell's complaint.
	noise, stderr said
}

// said is what a stream carried, its first lines and its last; those between are counted.
type said struct {
	first, last []string
	dropped     int
}

// keptLines is how many of either end are kept: the cause is at one of them.
const keptLines = 100

func (s *said) add(line []byte) {
	text := strings.TrimSpace(string(line))
	if text == "" {
		return
	}
	text = oneLine(text, 500)
	if len(s.first) < keptLines {
		s.first = append(s.first, text)
		return
	}
	if s.last = append(s.last, text); len(s.last) >= 2*keptLines {
		s.dropped += keptLines
		s.last = append(s.last[:0], s.last[keptLines:]...)
	}
}

// lines returns what was kept, with a line for what was not.
func (s *said) lines() []string {
	if s.dropped == 0 {
		return slices.Concat(s.first, s.last)
	}
	return slices.Concat(s.first, []string{fmt.Sprintf("(%d lines are left out)", s.dropped)}, s.last)
}

type diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
}

// message is one line of Terraform's machine-readable output.
type message struct {
	Message   string    `json:"@message"`
	Timestamp time.Time `json:"@timestamp"`
	Type      string    `json:"type"`
	Hook      struct {
		Action string `json:"action"`
	} `json:"hook"`
	Diagnostic *diagnostic `json:"diagnostic"`
}

// stdoutLine takes one line; calls come from one goroutine.
func (o *output) stdoutLine(line []byte) {
	var m message
	if json.Unmarshal(line, &m) != nil || m.Type == "" {
		o.noise.add(line)
		return
	}
	e := provisioner.Event{At: m.Timestamp, Phase: o.phase, Message: oneLine(m.Message, 1000)}
	switch m.Type {
	case "planned_change":
		e.Phase = "plan"
	case "apply_start":
		o.begun = true
	case "apply_progress", "apply_errored", "provision_start", "provision_progress", "provision_errored":
	case "apply_complete":
		e.ResourceCreated = m.Hook.Action == "create"
		e.ResourceGone = m.Hook.Action == "delete"
	case "diagnostic":
		if m.Diagnostic == nil {
			return
		}
		if e.Error = m.Diagnostic.Severity == "error"; e.Error {
			if o.failed++; len(o.errors) < keptLines {
				o.errors = append(o.errors, *m.Diagnostic)
			}
		}
		e.Message = m.Diagnostic.sentence()
	default: // its version, counts, outputs, refreshes: nothing that a person waits for
		return
	}
	if e.At.IsZero() {
		e.At = time.Now() // Terraform tells when; this is for a version that does not
	}
	if o.observe != nil {
		o.observe(e)
	}
}

func (o *output) stderrLine(line []byte) { o.stderr.add(line) }

// advice is what Terraform tells people to run at the end of a diagnostic. Whoever reads it here cannot: the folder is bothy's own.
var advice = regexp.MustCompile(`\s+(To|You can) [^:]{1,200}\brun(ning)?( the following command)?:\s*terraform [a-z][a-z -]*\s*$`)

func (d diagnostic) sentence() string {
	detail := advice.ReplaceAllString(d.Detail, "")
	if detail == "" {
		return oneLine(d.Summary, 600)
	}
	return oneLine(strings.TrimSuffix(strings.TrimSpace(d.Summary), ".")+": "+detail, 600)
}

// oneLine folds white space and control characters and cuts a text at about limit bytes.
func oneLine(s string, limit int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return r <= ' ' || r == 0x7f }), " ")
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + " ..."
}

// lines is a writer that hands on whole lines. What is longer than a line can sensibly be is handed on in parts.
type lines struct {
	each func([]byte)
	rest []byte
}

const longestLine = 1 << 20

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 && len(l.rest) >= longestLine {
			i = len(l.rest) - 1
		}
		if i < 0 {
			return len(p), nil
		}
		l.each(l.rest[:i])
		l.rest = l.rest[i+1:]
	}
}
