// Package iostreams holds the three standard streams of a command and the properties of their terminals.
package iostreams

import (
	"io"
	"os"

	"golang.org/x/term"

	"github.com/bothy-env/bothy/internal/cli/format"
)

// IO holds the standard streams of a command.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
	// InTTY, OutTTY and ErrTTY report which streams are terminals.
	InTTY, OutTTY, ErrTTY bool
	// Color allows colour and animation on terminals.
	Color bool

	// raw is the IO that this one guards; nil if it guards none.
	raw *IO
}

// Guarded returns an IO whose Out and Err pass nothing that acts on a terminal, except bothy's own paint. Commands get a guarded IO,
// so that none can forget to clean text from elsewhere.
func (s *IO) Guarded() *IO {
	guarded := *s
	guarded.Out, guarded.Err, guarded.raw = format.NewWriter(s.Out), format.NewWriter(s.Err), s
	return &guarded
}

// Raw returns the unguarded streams, for the bytes of a user's command or file, which must pass unchanged.
func (s *IO) Raw() *IO {
	if s.raw == nil {
		return s
	}
	return s.raw
}

// System returns the streams of the process. It reads NO_COLOR and TERM with getenv.
func System(getenv func(string) string) *IO {
	return &IO{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		InTTY: isTerminal(os.Stdin), OutTTY: isTerminal(os.Stdout), ErrTTY: isTerminal(os.Stderr),
		Color: getenv("NO_COLOR") == "" && getenv("TERM") != "dumb",
	}
}

func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Live reports whether progress can be redrawn on stderr.
func (s *IO) Live() bool { return s.ErrTTY && s.Color }

// Width returns the width of stderr in cells, 80 if unknown.
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

// Paint colours text for stdout, if colour is allowed.
func (s *IO) Paint(color, text string) string { return paint(s.OutTTY && s.Color, color, text) }

// PaintErr colours text for stderr, if colour is allowed.
func (s *IO) PaintErr(color, text string) string { return paint(s.ErrTTY && s.Color, color, text) }

func paint(allowed bool, color, text string) string {
	if !allowed || text == "" {
		return text
	}
	return format.Paint(color, text)
}
