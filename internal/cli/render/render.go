// Package render shows progress: one line that is redrawn on a terminal, plain lines elsewhere.
package render

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// Progress shows the progress of a command as a sequence of phases with details. It is safe for concurrent use.
type Progress interface {
	// Phase starts a phase and marks the previous one as done. The same name again does nothing.
	Phase(name string)
	// Detail shows what the current phase does. It does nothing before the first phase.
	Detail(message string)
	// Bytes shows how much of a transfer is done; total 0 means unknown.
	Bytes(done, total int64)
	// Stop ends the current phase, as done if ok, and the display. Further calls do nothing.
	Stop(ok bool)
}

// Nothing shows nothing, for JSON output.
type Nothing struct{}

// Phase does nothing.
func (Nothing) Phase(string) {}

// Detail does nothing.
func (Nothing) Detail(string) {}

// Bytes does nothing.
func (Nothing) Bytes(int64, int64) {}

// Stop does nothing.
func (Nothing) Stop(bool) {}

// New returns the display for the error stream. now is the clock for elapsed times.
func New(streams *iostreams.IO, now func() time.Time) Progress {
	if streams.Live() {
		return newLive(streams, now, 0)
	}
	return &plain{out: streams.Err, now: now, start: now(), last: now()}
}

// NewPatient is New for operations that are usually short: without a terminal it writes nothing before some time has passed.
func NewPatient(streams *iostreams.IO, now func() time.Time) Progress {
	if streams.Live() {
		return newLive(streams, now, 0)
	}
	return &plain{out: streams.Err, now: now, start: now(), last: now(), patient: true}
}

// hush is how long a transfer through stdin or stdout runs before it is shown on a terminal.
const hush = time.Second

// NewHushed is NewPatient for transfers through stdin or stdout: a terminal shows them only if they take long too, because the
// program at the other end of the pipe may use the terminal.
func NewHushed(streams *iostreams.IO, now func() time.Time) Progress {
	if streams.Live() {
		return newLive(streams, now, hush)
	}
	return NewPatient(streams, now)
}

// often is the interval between lines about a transfer without a terminal.
const often = 10 * time.Second

// plain writes a line per detail: "[  1.2s] Creating environment: docker_container.sandbox: Creating...".
type plain struct {
	mu      sync.Mutex
	out     io.Writer
	now     func() time.Time
	start   time.Time
	phase   string
	quarter int64
	stopped bool
	// last is the time of the last line.
	last time.Time
	// patient writes only about transfers, and only if they take long.
	patient bool
}

func (p *plain) Phase(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.phase == name {
		return
	}
	p.phase, p.quarter = format.Clean(name), 0
	if !p.patient {
		p.line("")
	}
}

func (p *plain) Detail(message string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped && p.phase != "" && message != "" {
		p.line(": " + format.Clean(message))
	}
}

// Bytes writes a line per quarter and per interval, so that a long transfer shows progress and logs stay short.
func (p *plain) Bytes(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.phase == "" {
		return
	}
	quarter := int64(0)
	if total > 0 && !p.patient {
		quarter = int64(float64(done) / float64(total) * 4)
	}
	if quarter <= p.quarter && p.now().Sub(p.last) < often {
		return
	}
	p.quarter = max(quarter, p.quarter)
	if total > 0 {
		p.line(fmt.Sprintf(": %s of %s", format.Bytes(done), format.Bytes(total)))
	} else {
		p.line(": " + format.Bytes(done))
	}
}

func (p *plain) Stop(bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}

// line ignores write errors: progress that nobody can read must not fail the command.
func (p *plain) line(rest string) {
	p.last = p.now()
	_, _ = fmt.Fprintf(p.out, "[%s] %s%s\n", format.Elapsed(p.now().Sub(p.start)), p.phase, rest)
}
