package confine

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"sync"
	"time"
)

// Bounds are the most that one box may take. Zero means no bound.
type Bounds struct {
	// Memory of all its processes together, in bytes; of each by itself where no cgroup can be made.
	Memory int64
	// CPU is the processor time of each process.
	CPU time.Duration
	// Tasks are its processes and threads.
	Tasks int64
	// FileSize is the largest file that it may write, in bytes.
	FileSize int64
	// OpenFiles of each process.
	OpenFiles int64
	// Output is what it may print, in bytes.
	Output int64
}

// BoundError says which bound ended a program. Its text goes on from the program's name: "needed more than ...".
type BoundError struct {
	// Bound is "memory", "stack", "cpu", "tasks", "file size" or "output".
	Bound string
	text  string
}

func (e *BoundError) Error() string { return e.text }

func (b Bounds) exceeded(bound string) *BoundError {
	text := map[string]string{
		"memory":    "needed more than " + size(b.Memory) + " of memory",
		"stack":     "needed more than its stack holds: something is nested too deeply",
		"cpu":       fmt.Sprintf("needed more than %s of processor time", b.CPU),
		"tasks":     fmt.Sprintf("needed more than %d processes and threads", b.Tasks),
		"file size": "wrote a file of more than " + size(b.FileSize),
		"output":    "printed more than " + size(b.Output),
	}[bound]
	return &BoundError{Bound: bound, text: text}
}

func size(n int64) string {
	if n >= 1<<30 && n%(1<<30) == 0 {
		return fmt.Sprintf("%d GiB", n>>30)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// last words are what a Go program prints on standard error, at a line's beginning, when a resource limit ends it. (A
// cgroup's kill leaves no word: the cgroup counts it.)
var lastWords = []struct {
	bound string
	says  *regexp.Regexp
}{
	{"stack", regexp.MustCompile(`(?m)^(runtime: goroutine stack exceeds|fatal error: stack overflow)`)},
	{"file size", regexp.MustCompile(`(?m)\bfile too large$`)},
	{"tasks", regexp.MustCompile(`(?m)^runtime: (failed to create new OS thread|may need to increase max user processes)|^runtime/cgo: pthread_create failed`)},
	{"memory", regexp.MustCompile(`(?m)^(fatal error: (runtime: )?(out of memory|cannot allocate memory)|runtime: (out of memory|cannot allocate memory))`)},
}

// excerpt keeps the beginning and the end of a stream.
type excerpt struct{ head, tail []byte }

const excerptPart = 16 << 10

func (e *excerpt) add(p []byte) {
	if room := excerptPart - len(e.head); room > 0 {
		n := min(room, len(p))
		e.head, p = append(e.head, p[:n]...), p[n:]
	}
	if e.tail = append(e.tail, p...); len(e.tail) > 2*excerptPart {
		e.tail = append([]byte(nil), e.tail[len(e.tail)-excerptPart:]...)
	}
}

func (e *excerpt) text() []byte {
	if len(e.tail) == 0 {
		return e.head
	}
	return bytes.Join([][]byte{e.head, e.tail}, []byte("\n"))
}

// meter counts what all streams of a program carry, and lets nothing through beyond the bound: what comes after
// is read and dropped, so that the program does not stand still until it is ended.
type meter struct {
	mu    sync.Mutex
	limit int64
	count int64
	over  bool
	full  func()
}

// stream is one stream of a meter's.
type stream struct {
	m    *meter
	to   io.Writer
	keep *excerpt
}

func (s *stream) Write(p []byte) (int, error) {
	s.m.mu.Lock()
	s.m.count += int64(len(p))
	first := !s.m.over && s.m.limit > 0 && s.m.count > s.m.limit
	s.m.over = s.m.over || first
	over := s.m.over
	s.m.mu.Unlock()
	if first {
		s.m.full()
	}
	if over {
		return len(p), nil
	}
	if s.keep != nil {
		s.keep.add(p)
	}
	if s.to != nil {
		return s.to.Write(p)
	}
	return len(p), nil
}
