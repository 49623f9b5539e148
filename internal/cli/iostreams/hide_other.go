//go:build !linux && !darwin

package iostreams

// Hide cannot keep what is typed from being shown here.
func (s *IO) Hide() (show func(), err error) { return func() {}, nil }
