//go:build linux || darwin

package iostreams

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Hide keeps what is typed from being shown, when the input is a terminal, until show is called. Should that fail there
// is nothing better to try.
func (s *IO) Hide() (show func(), err error) {
	in, ok := s.In.(*os.File)
	if !ok || !s.InTTY {
		return func() {}, nil
	}
	fd := int(in.Fd())
	shown, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, fmt.Errorf("read settings of terminal: %w", err)
	}
	hidden := *shown
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, setTermios, &hidden); err != nil {
		return nil, fmt.Errorf("hide what is typed: %w", err)
	}
	return func() { _ = unix.IoctlSetTermios(fd, setTermios, shown) }, nil
}
