package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// narrator prints what happens, each line with the time since the start. Its methods are safe for concurrent use.
type narrator struct {
	mu     sync.Mutex
	out    io.Writer
	log    io.Writer // everything, unabridged
	began  time.Time
	colour bool
	live   bool // a status line may be rewritten in place
	status bool // one is on the screen
}

const (
	bold, dim, green, red = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[31m"
	plain                 = "\x1b[0m"
)

func newNarrator(out *os.File) *narrator {
	tty := isTerminal(out)
	return &narrator{
		out: out, log: io.Discard, began: time.Now(),
		colour: tty && os.Getenv("NO_COLOR") == "", live: tty && os.Getenv("NO_COLOR") == "",
	}
}

// isTerminal is good enough for motion and colour: a character device that is not /dev/null.
func isTerminal(f *os.File) bool {
	at, err := f.Stat()
	if err != nil || at.Mode()&os.ModeCharDevice == 0 || os.Getenv("TERM") == "dumb" {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(at, null)
}

// Elapsed is the time since the start.
func (n *narrator) Elapsed() time.Duration { return time.Since(n.began) }

// logTo sends a copy of every line to w.
func (n *narrator) logTo(w io.Writer) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.log = w
}

// Chapter begins a new part.
func (n *narrator) Chapter(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clear()
	fmt.Fprintln(n.out)
	n.print(bold, text)
}

// Say prints one line.
func (n *narrator) Say(format string, args ...any) { n.line("", fmt.Sprintf(format, args...)) }

// Command shows a command as one would type it.
func (n *narrator) Command(text string) { n.line(bold, "$ "+text) }

// Output shows a line of a command's output.
func (n *narrator) Output(text string) { n.line(dim, "  "+printable(text)) }

// Good reports a success.
func (n *narrator) Good(text string) { n.line(green, text) }

// Bad reports a failure.
func (n *narrator) Bad(text string) { n.line(red, text) }

// Log writes a line only to the log.
func (n *narrator) Log(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fmt.Fprintf(n.log, "%8s    %s\n", elapsed(n.Elapsed()), text)
}

// Status replaces the last status, where the terminal allows it; "" removes it.
func (n *narrator) Status(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.live {
		return
	}
	n.clear()
	if text != "" {
		// Without line wrap: the terminal cuts what does not fit, whatever its width.
		fmt.Fprintf(n.out, "\x1b[?7l%8s  %s%s%s\x1b[?7h", elapsed(n.Elapsed()), dim, printable(text), plain)
		n.status = true
	}
}

func (n *narrator) line(style, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clear()
	n.print(style, text)
}

// print and clear require the lock.
func (n *narrator) print(style, text string) {
	at := elapsed(n.Elapsed())
	fmt.Fprintf(n.log, "%8s  %s\n", at, text)
	if style != "" && n.colour {
		text = style + text + plain
	}
	fmt.Fprintf(n.out, "%8s  %s\n", at, text)
}

func (n *narrator) clear() {
	if n.status {
		fmt.Fprint(n.out, "\r\x1b[K")
		n.status = false
	}
}
