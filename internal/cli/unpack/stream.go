package unpack

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Stream reads an archive to its true end: to its end mark, through the padding, and to the end of the
// source, which may report there that the copy is incomplete.
type Stream struct {
	from *endReader
	tar  *tar.Reader
}

// NewStream returns a Stream of an untrusted archive.
func NewStream(r io.Reader) *Stream {
	from := &endReader{r: r}
	return &Stream{from: from, tar: tar.NewReader(from)}
}

// Read reads the content of the current entry.
func (s *Stream) Read(p []byte) (int, error) { return s.tar.Read(p) }

// Next returns the next entry, or io.EOF after the last one if the whole stream was valid.
func (s *Stream) Next() (*tar.Header, error) {
	h, err := s.tar.Next()
	switch {
	case errors.Is(err, io.EOF) && s.from.ended:
		return nil, errors.New("cannot read the archive: it is truncated (no end mark)")
	case errors.Is(err, io.EOF):
		return nil, s.rest()
	case err != nil:
		return nil, fmt.Errorf("cannot read the archive: %w", err)
	}
	return h, nil
}

// rest reads the padding after the end mark, which is zeros. It returns io.EOF if the padding is valid.
func (s *Stream) rest() error {
	for buf := make([]byte, 32<<10); ; {
		n, err := s.from.Read(buf)
		if len(bytes.TrimLeft(buf[:n], "\x00")) > 0 {
			return errors.New("cannot read the archive: data follows its end mark, so a process in the environment tampered with the copy")
		}
		if errors.Is(err, io.EOF) {
			return io.EOF
		}
		if err != nil {
			return fmt.Errorf("cannot read the archive: %w", err)
		}
	}
}

// endReader records whether the end was reached.
type endReader struct {
	r     io.Reader
	ended bool
}

// Read returns io.EOF only without data, so that ended is set when a caller reads past the end.
func (e *endReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if n > 0 && errors.Is(err, io.EOF) {
		return n, nil
	}
	e.ended = e.ended || errors.Is(err, io.EOF)
	return n, err
}
