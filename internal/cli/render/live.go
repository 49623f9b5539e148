package render

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/bothy-env/bothy/internal/cli/format"
	"github.com/bothy-env/bothy/internal/cli/iostreams"
)

// interval between redraws: fast enough to look alive, slow enough for ssh.
const interval = 100 * time.Millisecond

const barWidth = 20

var spinner = []string{"⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"}

// live redraws one line at the bottom. Finished phases stay above it with their duration.
type live struct {
	streams *iostreams.IO
	now     func() time.Time
	// quiet is how long a phase runs before it is shown.
	quiet time.Duration
	quit  chan struct{}
	drawn sync.WaitGroup

	mu          sync.Mutex
	phase       string
	began       time.Time
	detail      string
	done, total int64
	frame       int
	stopped     bool
}

func newLive(streams *iostreams.IO, now func() time.Time, quiet time.Duration) *live {
	l := &live{streams: streams, now: now, quiet: quiet, quit: make(chan struct{})}
	l.drawn.Go(l.run)
	return l
}

func (l *live) run() {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-l.quit:
			return
		case <-t.C:
			l.mu.Lock()
			l.frame++
			l.draw()
			l.mu.Unlock()
		}
	}
}

func (l *live) Phase(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	name = format.Clean(name)
	if l.stopped || l.phase == name {
		return
	}
	l.finish(true)
	l.phase, l.began, l.detail, l.done, l.total = name, l.now(), "", 0, 0
	l.draw()
}

func (l *live) Detail(message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.detail = strings.ReplaceAll(format.Clean(message), "\t", " ")
	l.draw()
}

// Bytes leaves the redraw to the next tick: it is called for every block.
func (l *live) Bytes(done, total int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done, l.total = done, total
}

func (l *live) Stop(ok bool) {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return
	}
	l.finish(ok)
	l.stopped = true
	l.mu.Unlock()
	close(l.quit)
	l.drawn.Wait()
}

// finish makes the line of the current phase permanent.
func (l *live) finish(ok bool) {
	if l.phase == "" || l.hushed() {
		return
	}
	mark := l.streams.PaintErr(iostreams.Green, "✓")
	if !ok {
		mark = l.streams.PaintErr(iostreams.Red, "✗")
	}
	size := ""
	if l.done > 0 {
		size = "  " + format.Bytes(l.done)
	}
	l.write(fmt.Sprintf("%s%s %s %s%s\n", format.EraseLine(), mark, format.Elapsed(l.now().Sub(l.began)), l.phase, size))
}

func (l *live) draw() {
	if l.stopped || l.phase == "" || l.hushed() {
		return
	}
	rest := l.detail
	switch {
	case l.total > 0:
		rest = bar(l.done, l.total)
	case l.done > 0:
		rest = format.Bytes(l.done)
	}
	elapsed := format.Elapsed(l.now().Sub(l.began))
	// Leave one cell free: some terminals wrap after writing the last one.
	room := l.streams.Width() - len("x ") - len(elapsed) - len(" ") - len(l.phase) - len("  ") - 1
	if rest = format.Fit(rest, room); rest != "" {
		rest = "  " + l.streams.PaintErr(iostreams.Dim, rest)
	}
	mark := l.streams.PaintErr(iostreams.Cyan, spinner[l.frame%len(spinner)])
	l.write(fmt.Sprintf("%s%s %s %s%s", format.EraseLine(), mark, elapsed, l.phase, rest))
}

// hushed reports whether the phase is still too short to be shown.
func (l *live) hushed() bool { return l.now().Sub(l.began) < l.quiet }

// write ignores errors: progress that nobody can read must not fail the command.
func (l *live) write(s string) { _, _ = fmt.Fprint(l.streams.Err, s) }

// bar draws a transfer: "━━━━━━━━────────────  40 %  4 MiB of 10 MiB".
func bar(done, total int64) string {
	share := min(max(float64(done)/float64(total), 0), 1)
	full := int(share * barWidth)
	return fmt.Sprintf("%s%s %3.0f %%  %s of %s", strings.Repeat("━", full), strings.Repeat("─", barWidth-full),
		share*100, format.Bytes(done), format.Bytes(total))
}
