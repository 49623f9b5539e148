//go:build linux || darwin

package iostreams

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// lookEvery is the poll timeout in milliseconds, and therefore the delay after the end of ctx.
const lookEvery = 500

// WhileRead returns a context that ends with cause gone when the reader of stdout closes the pipe (head, grep -m1). Otherwise a
// command that follows something would notice only at its next line, which may never come. stop ends the watching.
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
			// poll always reports errors and hang-ups.
			fds := []unix.PollFd{{Fd: int32(out.Fd())}} //nolint:gosec // descriptors are small
			n, err := unix.Poll(fds, lookEvery)
			switch {
			case errors.Is(err, unix.EINTR):
			case err != nil || n > 0 && fds[0].Revents&unix.POLLNVAL != 0:
				return // not pollable: the next write fails
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
