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

// Progress shows what is going on, as a row of phases with details. Safe for use by many goroutines.
type Progress interface {
	// Phase begins a phase and ends the one before it as done. The same name again changes nothing.
	Phase(name string)
	// Detail says what the present phase is doing; before the first phase nothing is shown.
	Detail(message string)
	// Bytes says how much of a transfer is done; total 0 means unknown.
	Bytes(done, total int64)
	// Stop ends the present phase, well or not, and the display with it. More calls do nothing.
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

// New picks the display that fits the error stream. now is the clock that elapsed times are read from.
func New(streams *iostreams.IO, now func() time.Time) Progress {
	if streams.Live() {
		return newLive(streams, now, 0)
	}
	return &plain{out: streams.Err, now: now, start: now(), last: now()}
}

// NewPatient is New for what is quick as a rule: without a terminal nothing is written before it has taken a while.
func NewPatient(streams *iostreams.IO, now func() time.Time) Progress {
	if streams.Live() {
		return newLive(streams, now, 0)
	}
	return &plain{out: streams.Err, now: now, start: now(), last: now(), patient: true}
}

// hush is how long a transfer through the standard streams may last before it is shown on a terminal.
const hush = time.Second

// NewHushed is NewPatient for what goes through the standard streams: a terminal shows it only when it takes long, too, because what
// is at the other end of a pipe may be drawing on it.
func NewHushed(streams *iostreams.IO, now func() time.Time) Progress {
	if streams.Live() {
		return newLive(streams, now, hush)
	}
	return NewPatient(streams, now)
}

// often is how long a transfer is silent without a terminal.
const often = 10 * time.Second

// plain writes a line for each thing new: "[  1.2s] provisioning: docker_container.sandbox: creating".
type plain struct {
	mu      sync.Mutex
	out     io.Writer
	now     func() time.Time
	start   time.Time
	phase   string
	quarter int64
	stopped bool
	// last is when the last line was written.
	last time.Time
	// patient writes about a transfer alone, and about one that takes long.
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

// Bytes writes a line at each quarter, and now and then, so that a long transfer is seen to move and a log stays short.
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

// line drops a write error: progress that nobody can read must not fail the command.
func (p *plain) line(rest string) {
	p.last = p.now()
	_, _ = fmt.Fprintf(p.out, "[%s] %s%s\n", format.Elapsed(p.now().Sub(p.start)), p.phase, rest)
}
