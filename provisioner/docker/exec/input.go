package exec

import (
	"context"
	"io"
	"time"
)

// The word that lets a command begin: said once, or withheld forever.
const (
	unsaid = iota
	saidSo
	withheld
)

// copyInput lets the command begin and feeds it. A read that fails is no end of input: a tar cut
// short would look complete to who unpacks it.
func (s *session) copyInput(ctx context.Context) {
	// On a terminal, what is typed before the process id is out would be echoed into its line.
	select {
	case <-s.stdout.decided:
	case <-ctx.Done():
		return
	}
	if s.stdout.pid == 0 {
		return // it did not start
	}
	if !s.req.TTY {
		if !s.word.CompareAndSwap(unsaid, saidSo) {
			return
		}
		_, _ = io.WriteString(s.conn.Conn, word+"\n") // fails only when the command is gone
		if s.streams.Stdin == nil {
			_ = s.conn.CloseWrite() // as above
			return
		}
	}
	in := &faultReader{r: s.streams.Stdin}
	// A write fails when the command ended or does not read on; that is its right.
	_, _ = io.Copy(s.conn.Conn, in)
	if in.err != nil {
		s.stdinTrouble <- in.err
		return
	}
	if s.req.TTY {
		s.endTyping(ctx, in.last)
		return
	}
	_ = s.conn.CloseWrite() // fails only when the command is gone
}

const (
	// endOfFile is what is typed to end a terminal's input: Ctrl-D.
	endOfFile = '\x04'
	// typeAgain is the time from the first such key to the second; it doubles each time, up to typeSeldom.
	typeAgain  = time.Second
	typeSeldom = 30 * time.Second
)

// endTyping ends a terminal's input as a person would. To close the connection's half instead makes an engine end the
// output as well, and loses what the command has still to say. The end of a terminal's input is used up by one reader, and by one
// that takes single keys it is not seen as an end: so it is typed again as long as the command runs.
func (s *session) endTyping(ctx context.Context, last byte) {
	keys := []byte{endOfFile}
	if last != 0 && last != '\n' && last != '\r' {
		keys = []byte{endOfFile, endOfFile} // the first hands over the line that was begun
	}
	for wait := typeAgain; ; wait = min(2*wait, typeSeldom) {
		if _, err := s.conn.Conn.Write(keys); err != nil {
			return // the command is gone
		}
		keys = keys[:1]
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// faultReader remembers a read error that is not the end, and the last byte that came.
type faultReader struct {
	r    io.Reader
	err  error
	last byte
}

func (f *faultReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if n > 0 {
		f.last = p[n-1]
	}
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}
