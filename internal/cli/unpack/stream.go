package unpack

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Stream reads an archive to its true end: up to its end mark, through the padding after it, and to the end of what it
// comes from, which may tell there that it is not whole.
type Stream struct {
	from *endReader
	tar  *tar.Reader
}

// NewStream makes a Stream of an archive that is not trusted.
func NewStream(r io.Reader) *Stream {
	from := &endReader{r: r}
	return &Stream{from: from, tar: tar.NewReader(from)}
}

// Read reads the present entry's content.
func (s *Stream) Read(p []byte) (int, error) { return s.tar.Read(p) }

// Next gives the next entry, io.EOF after the last one when all of the stream was read and was well.
func (s *Stream) Next() (*tar.Header, error) {
	h, err := s.tar.Next()
	switch {
	case errors.Is(err, io.EOF) && s.from.ended:
		return nil, errors.New("read archive: it is cut short: its end mark is missing")
	case errors.Is(err, io.EOF):
		return nil, s.rest()
	case err != nil:
		return nil, fmt.Errorf("read archive: %w", err)
	}
	return h, nil
}

// rest reads what follows the end mark, which is zeros; io.EOF says that all was well.
func (s *Stream) rest() error {
	for buf := make([]byte, 32<<10); ; {
		n, err := s.from.Read(buf)
		if len(bytes.TrimLeft(buf[:n], "\x00")) > 0 {
			return errors.New("read archive: more follows its end mark, so something inside wrote into the copy")
		}
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("read archive: %w", err)
		}
	}
}

// endReader remembers whether the end was met.
type endReader struct {
	r     io.Reader
	ended bool
}

// Read gives io.EOF only by itself, so that ended is set when somebody wants more than there is.
func (e *endReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if n > 0 && errors.Is(err, io.EOF) {
		return n, nil
	}
	e.ended = e.ended || errors.Is(err, io.EOF)
	return n, err
}
