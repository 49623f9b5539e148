//go:build linux || darwin

package iostreams

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lookEvery is how long one wait for the reader's leaving lasts, in milliseconds: so late is ctx's own end noticed by it.
const lookEvery = 500

// WhileRead gives a context that ends, with cause gone, when whoever read the output has left it (head, grep -m1): a command that
// follows something would notice only at its next line, which may never come. stop ends the watching.
func (s *IO) WhileRead(ctx context.Context, gone error) (while context.Context, stop func()) {
	out, ok := s.Raw().Out.(*os.File)
	if !ok {
		return ctx, func() {}
	}
	info, err := out.Stat()
	if err != nil || info.Mode().IsRegular() {
		return ctx, func() {}
	}
	while, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for while.Err() == nil {
			// Errors and hang-ups are told without being asked for.
			fds := []unix.PollFd{{Fd: int32(out.Fd())}} //nolint:gosec // descriptors are small
			n, err := unix.Poll(fds, lookEvery)
			switch {
			case errors.Is(err, unix.EINTR):
			case err != nil || n > 0 && fds[0].Revents&unix.POLLNVAL != 0:
				return // It cannot be watched: the next line finds out.
			case n > 0:
				cancel(gone)
			}
		}
	}()
	return while, func() {
		cancel(nil)
		<-ended
	}
}
