package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Wherever the pipe cuts the stream, the lines are the same.
func TestLinesDoNotDependOnTheCuts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.StringMatching(`[a-z é]{1,20}`)).Draw(t, "lines")
		end := rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "end")
		text := strings.Join(want, end)
		var got []string
		l := &lines{to: &output{each: func(line string) { got = append(got, line) }}}
		for len(text) > 0 {
			n := rapid.IntRange(1, len(text)).Draw(t, "cut")
			if m, err := l.Write([]byte(text[:n])); m != n || err != nil {
				t.Fatalf("Write = %d, %v", m, err)
			}
			text = text[n:]
		}
		l.end()
		if diff := cmp.Diff(append([]string(nil), want...), got); diff != "" {
			t.Fatalf("lines (-written +read):\n%s", diff)
		}
	})
}

func TestALineWithoutEndIsCut(t *testing.T) {
	var got []string
	l := &lines{to: &output{each: func(line string) { got = append(got, line) }}}
	for range 4 {
		if _, err := l.Write([]byte(strings.Repeat("x", maxLine/2))); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 2 || len(got[0]) != maxLine || len(l.rest) != 0 {
		t.Errorf("%d lines and a rest of %d bytes, want 2 and none", len(got), len(l.rest))
	}
}

// hand gives a stage on which ordinary commands can be run.
func hand(t *testing.T) (s *stage, out, log interface{ String() string }) {
	t.Helper()
	n, o, l := mute()
	return &stage{say: n, dir: t.TempDir(), env: os.Environ(), bin: t.TempDir()}, o, l
}

func TestABriefCommandShowsWhatMattersAndLogsAll(t *testing.T) {
	s, out, log := hand(t)
	got, err := s.do(t.Context(), command{
		argv:  []string{"sh", "-c", "echo PASS: a; echo noise; echo PASS: b >&2; pwd"},
		brief: regexp.MustCompile("^PASS"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := "PASS: a\nnoise\nPASS: b\n" + s.dir + "\n"; got != want {
		t.Errorf("output %q, want both streams in their order, %q", got, want)
	}
	if strings.Contains(out.String(), "  noise") || !strings.Contains(out.String(), "  PASS: b") {
		t.Errorf("shown:\n%s", out)
	}
	if !strings.Contains(log.String(), "noise") {
		t.Errorf("the log lacks a line:\n%s", log)
	}
}

func TestASilentCommandGivesItsOutputAlone(t *testing.T) {
	s, out, log := hand(t)
	got, err := s.do(t.Context(), command{argv: []string{"sh", "-c", "echo warning >&2; echo answer"}, silent: true})
	if err != nil || got != "answer\n" {
		t.Errorf("output %q, %v; want the answer without what went to stderr", got, err)
	}
	if out.String() != "" || !strings.Contains(log.String(), "warning") {
		t.Errorf("shown %q, logged %q; want nothing shown and all logged", out, log)
	}
}

func TestAFailureShowsTheEndOfWhatWasHidden(t *testing.T) {
	s, out, _ := hand(t)
	_, err := s.do(t.Context(), command{
		argv:  []string{"sh", "-c", "seq -f line%g. 100; exit 7"},
		brief: regexp.MustCompile("^never"),
	})
	if err == nil || !strings.Contains(err.Error(), "exit status 7") || !strings.Contains(err.Error(), "seq") {
		t.Errorf("error %v, want the command and its exit status", err)
	}
	if !strings.Contains(out.String(), "line100.") || !strings.Contains(out.String(), "line86.") || strings.Contains(out.String(), "line85.") {
		t.Errorf("want the last %d lines shown:\n%s", tailLines, out)
	}
}

func TestAnInterruptReachesTheCommandAndAllThatItStarted(t *testing.T) {
	s, _, _ := hand(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	// Only the child of the command listens, and the command waits for it.
	inner := `trap "touch ended; exit" INT; echo started; while :; do sleep 0.05; done`
	s.say.out = onWrite(func(p []byte) {
		if strings.Contains(string(p), "  started") {
			cancel(interrupted{syscall.SIGINT})
		}
	})
	_, err := s.do(ctx, command{argv: []string{"sh", "-c", "trap : INT; sh -c '" + inner + "'; wait"}})
	if !errors.Is(err, interrupted{syscall.SIGINT}) {
		t.Errorf("error %v, want the cause of the end", err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "ended")); err != nil {
		t.Errorf("the child of the command heard nothing: %v", err)
	}
}

// onWrite calls a function with all that is written.
type onWrite func([]byte)

func (f onWrite) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestNothingIsStartedAfterTheEnd(t *testing.T) {
	s, out, _ := hand(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errPromise)
	if _, err := s.do(ctx, command{argv: []string{"touch", "file"}}); !errors.Is(err, errPromise) {
		t.Errorf("error %v, want the cause", err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "file")); err == nil || out.String() != "" {
		t.Errorf("it ran: %v, shown %q", err, out)
	}
}

func TestBinariesAreThoseOfTheFolder(t *testing.T) {
	s, _, _ := hand(t)
	if err := os.WriteFile(filepath.Join(s.bin, "bothy"), []byte("#!/bin/sh\necho \"$@\"\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if got, err := s.bothy(t.Context(), "ls", "-q"); err != nil || got != "ls -q\n" {
		t.Errorf("bothy ls -q: %q, %v; want the stand-in's answer", got, err)
	}
	t.Setenv("BOTHY_BIN", s.bin)
	if dir, err := findBinaries(); err == nil || dir != s.bin || !strings.Contains(err.Error(), "make build") {
		t.Errorf("findBinaries = %q, %v; want the folder, and that bothyd is to be built", dir, err)
	}
}
