//go:build !linux && !darwin

package iostreams

import "context"

// WhileRead cannot detect here that the reader closed the pipe: the next write fails.
func (s *IO) WhileRead(ctx context.Context, _ error) (while context.Context, stop func()) {
	return ctx, func() {}
}
