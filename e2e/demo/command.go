package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// command is one command of the story.
type command struct {
	argv []string
	// silent commands are neither echoed nor shown: the demo's own questions.
	silent bool
	// brief commands are long and verbose: only matching lines of their output are shown, and signs of life.
	brief *regexp.Regexp
}

const (
	// liveBeat and plainBeat are how often a long command shows a sign of life: in place, or as a line of its own.
	liveBeat  = 200 * time.Millisecond
	plainBeat = 10 * time.Second
	// killAfter is how long a command has to stop after SIGINT.
	killAfter = 5 * time.Second
	// tailLines is how much output of a failed brief command is shown.
	tailLines = 15
)

// bothy runs `bothy ARGS`, shown in full.
func (s *stage) bothy(ctx context.Context, args ...string) (string, error) {
	return s.do(ctx, command{argv: append([]string{"bothy"}, args...)})
}

// do runs a command to its end, reports its progress, and returns its output. Cancelling ctx interrupts it; the error then is the cause.
func (s *stage) do(ctx context.Context, c command) (string, error) {
	if err := context.Cause(ctx); err != nil {
		return "", err
	}
	shown := commandLine(c.argv)
	cmd := exec.CommandContext(ctx, s.path(c.argv[0]), c.argv[1:]...) //nolint:gosec // the story's own commands
	cmd.Dir, cmd.Env = s.dir, s.env
	// A process group of its own: the demo itself forwards Ctrl-C.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = killAfter

	if c.silent {
		s.say.Log("$ " + shown)
	} else {
		s.say.Command(shown)
	}
	out := &output{each: func(line string) {
		if !c.silent && (c.brief == nil || c.brief.MatchString(line)) {
			s.say.Output(line)
		} else {
			s.say.Log(printable(line))
		}
	}}
	stdout := &lines{to: out, keep: true}
	stderr := stdout // one stream, in the order in which it was written
	if c.silent {
		stderr = &lines{to: out} // only the answer is wanted
	}
	cmd.Stdout, cmd.Stderr = stdout, stderr

	stop := s.beat(c, out)
	err := cmd.Run()
	stop()
	stdout.end()
	stderr.end()
	if cause := context.Cause(ctx); cause != nil {
		return "", cause
	}
	if err != nil {
		if c.silent || c.brief != nil {
			for _, line := range out.tail() {
				s.say.Output(line)
			}
		}
		return "", fmt.Errorf("%s: %w", shown, err)
	}
	return out.text.String(), nil
}

// beat shows signs of life of a brief command, until the returned function is called.
func (s *stage) beat(c command, out *output) (stop func()) {
	if c.brief == nil {
		return func() {}
	}
	every := plainBeat
	if s.say.live {
		every = liveBeat
	}
	began, ticker := time.Now(), time.NewTicker(every)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				s.say.Status("")
				return
			case <-ticker.C:
				text := fmt.Sprintf("  ... %s: %s", elapsed(time.Since(began)), out.last())
				if s.say.live {
					s.say.Status(text)
				} else {
					s.say.Output(strings.TrimPrefix(text, "  "))
				}
			}
		}
	}()
	return func() { ticker.Stop(); close(quit); <-done }
}

// path finds a program: bothy and bothyd in the directory of the binaries, others on PATH.
func (s *stage) path(name string) string {
	if name == "bothy" || name == "bothyd" {
		return filepath.Join(s.bin, name)
	}
	return name
}

// output collects a command's output, line by line.
type output struct {
	each func(line string)

	mu    sync.Mutex
	text  bytes.Buffer // what is kept
	lines []string     // the last of both streams
}

func (o *output) add(line string, keep bool) {
	o.mu.Lock()
	if keep {
		o.text.WriteString(line + "\n")
	}
	o.lines = append(o.lines, line)
	if len(o.lines) > tailLines {
		o.lines = o.lines[1:]
	}
	o.mu.Unlock()
	o.each(line)
}

func (o *output) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.lines) == 0 {
		return "no output yet"
	}
	return strings.TrimSpace(o.lines[len(o.lines)-1])
}

func (o *output) tail() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]string(nil), o.lines...)
}

// lines splits a stream into lines. A line that never ends is cut at maxLine bytes.
type lines struct {
	to   *output
	keep bool
	rest []byte
}

const maxLine = 64 << 10

// Write adds a part of the stream.
func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexAny(l.rest, "\n\r")
		if i < 0 && len(l.rest) < maxLine {
			return len(p), nil
		}
		if i < 0 {
			i = len(l.rest) - 1
		}
		if line := strings.TrimRight(string(l.rest[:i+1]), "\r\n"); line != "" {
			l.to.add(line, l.keep)
		}
		l.rest = l.rest[i+1:]
	}
}

// end handles a last line without a newline.
func (l *lines) end() {
	if len(l.rest) > 0 {
		l.to.add(string(l.rest), l.keep)
		l.rest = nil
	}
}

// findBinaries looks where make puts them; it returns the directory even if they are missing.
func findBinaries() (string, error) {
	dir := os.Getenv("BOTHY_BIN")
	if dir == "" {
		dir = "bin"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the binaries: %w", err)
	}
	for _, name := range []string{"bothy", "bothyd"} {
		if _, e := os.Stat(filepath.Join(dir, name)); e != nil {
			err = errors.Join(err, fmt.Errorf("find the binaries: %w; run make build first", e))
		}
	}
	return dir, err
}
