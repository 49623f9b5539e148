// Package iostreams holds a command's three streams and what is known of the terminals behind them.
package iostreams

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/bothy-env/bothy/internal/cli/format"
)

// IO is what a command reads from and writes to.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	// InTTY, OutTTY and ErrTTY say which are terminals.
	InTTY, OutTTY, ErrTTY bool
	// Color allows colour and motion on the streams that are terminals.
	Color bool

	// raw is the IO that this one guards; nil when it guards none.
	raw *IO
}

// Guarded gives an IO whose Out and Err pass nothing that acts on a terminal, but bothy's own paint. Commands get such a one, so that
// none can forget to clean what others chose.
func (s *IO) Guarded() *IO {
	guarded := *s
	guarded.Out, guarded.Err, guarded.raw = format.NewWriter(s.Out), format.NewWriter(s.Err), s
	return &guarded
}

// Raw gives the streams themselves, for bytes of a user's own command or file, which must pass as they are.
func (s *IO) Raw() *IO {
	if s.raw == nil {
		return s
	}
	return s.raw
}

// System gives the process's own streams. getenv tells NO_COLOR and TERM.
func System(getenv func(string) string) *IO {
	return &IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY: isTerminal(os.Stdin), OutTTY: isTerminal(os.Stdout), ErrTTY: isTerminal(os.Stderr),
		Color: getenv("NO_COLOR") == "" && getenv("TERM") != "dumb",
	}
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Live reports whether progress may be redrawn on the error stream.
func (s *IO) Live() bool { return s.ErrTTY && s.Color }

// Width is the error stream's width in cells, 80 when it cannot be told.
func (s *IO) Width() int {
	if f, ok := s.Raw().Err.(*os.File); ok {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			return w
		}
	}
	return 80
}

// Colors for Paint.
const (
	Bold   = "1"
	Dim    = "2"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
	Cyan   = "36"
)

// Paint colours text for the output stream, when that is allowed.
func (s *IO) Paint(color, text string) string { return paint(s.OutTTY && s.Color, color, text) }

// PaintErr colours text for the error stream, when that is allowed.
func (s *IO) PaintErr(color, text string) string { return paint(s.ErrTTY && s.Color, color, text) }

func paint(allowed bool, color, text string) string {
	if !allowed || text == "" {
		return text
	}
	return format.Paint(color, text)
}
