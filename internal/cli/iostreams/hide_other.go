//go:build !linux && !darwin

package iostreams

// Hide does nothing here: echo cannot be turned off.
func (s *IO) Hide() (show func(), err error) { return func() {}, nil }
