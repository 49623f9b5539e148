//go:build linux || darwin

package iostreams

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Hide turns off the echo of a terminal on stdin until show is called. show ignores an error, because nothing else can be tried.
func (s *IO) Hide() (show func(), err error) {
	in, ok := s.In.(*os.File)
	if !ok || !s.InTTY {
		return func() {}, nil
	}
	fd := int(in.Fd())
	shown, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, fmt.Errorf("cannot read the terminal settings: %w", err)
	}
	hidden := *shown
	hidden.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, setTermios, &hidden); err != nil {
		return nil, fmt.Errorf("cannot turn off terminal echo: %w", err)
	}
	return func() { _ = unix.IoctlSetTermios(fd, setTermios, shown) }, nil
}
