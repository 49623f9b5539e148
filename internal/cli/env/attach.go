package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/cli/cmdutil"
	"github.com/bothy-env/bothy/internal/client"
)

// signalNames are the signals that are passed on to the command inside.
var signalNames = map[os.Signal]string{
	syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT",
}

// attach runs a command in an environment with this process's streams, and ends with the command's exit code. Signals go
// to the command; the second one ends it and this process, too. With a TTY the terminal is raw meanwhile, and as it was after.
func attach(ctx context.Context, f *cmdutil.Factory, name string, start wire.ExecStart) error {
	c, err := f.Client()
	if err != nil {
		return err
	}
	// A signal must reach the command inside, not end our connection to it.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	caught := make(chan os.Signal, 8)
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(caught)
	streams := client.ExecStreams{Stdout: f.IO.Out, Stderr: f.IO.Err, Signals: forward(ctx, caught, start.TTY, cancel)}
	if start.Stdin {
		streams.Stdin = f.IO.In
	}
	if start.TTY {
		t, err := openTerminal(f)
		if err != nil {
			return err
		}
		defer t.close()
		if start.Size, err = t.size(); err != nil {
			return err
		}
		streams.Resize = t.resizes(ctx)
	}
	code, err := c.Exec(ctx, name, start, streams)
	if err != nil {
		if cause, ok := errors.AsType[cmdutil.Interrupted](context.Cause(ctx)); ok {
			return cmdutil.Exit(cause.ExitCode())
		}
		return err
	}
	if code != 0 {
		return cmdutil.Exit(code)
	}
	return nil
}

// forward passes signals on by name until ctx ends. The second signal cancels, and so does the loss of the terminal
// that a TTY is for.
func forward(ctx context.Context, caught <-chan os.Signal, tty bool, cancel context.CancelCauseFunc) <-chan string {
	names := make(chan string, 1)
	go func() {
		for count := 1; ; count++ {
			select {
			case <-ctx.Done():
				return
			case s := <-caught:
				if count > 1 || (tty && s == syscall.SIGHUP) {
					cancel(cmdutil.Interrupted{Signal: s})
					return
				}
				names <- signalNames[s] // There is room: it is the only one.
			}
		}
	}()
	return names
}

// terminal is the one that a TTY inside is shown on. Without a terminal here it does nothing.
type terminal struct {
	in, out *os.File
	saved   *term.State
	winch   chan os.Signal
}

// openTerminal makes the input raw when it is a terminal.
func openTerminal(f *cmdutil.Factory) (*terminal, error) {
	t := &terminal{winch: make(chan os.Signal, 1)}
	in, _ := f.IO.In.(*os.File)
	if out, ok := f.IO.Out.(*os.File); ok && f.IO.OutTTY {
		t.out = out
	}
	if in == nil || !f.IO.InTTY {
		return t, nil
	}
	if t.out == nil {
		t.out = in
	}
	saved, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, fmt.Errorf("make terminal raw: %w", err)
	}
	t.in, t.saved = in, saved
	signal.Notify(t.winch, syscall.SIGWINCH)
	return t, nil
}

// close puts the terminal back. Should that fail there is nothing better to try.
func (t *terminal) close() {
	signal.Stop(t.winch)
	if t.in != nil {
		_ = term.Restore(int(t.in.Fd()), t.saved)
	}
}

func (t *terminal) size() (wire.ExecSize, error) {
	if t.out == nil {
		return wire.ExecSize{Rows: 24, Cols: 80}, nil
	}
	cols, rows, err := term.GetSize(int(t.out.Fd()))
	if err != nil {
		return wire.ExecSize{}, fmt.Errorf("read size of terminal: %w", err)
	}
	return wire.ExecSize{Rows: uint16(min(rows, 0xffff)), Cols: uint16(min(cols, 0xffff))}, nil //nolint:gosec // bounded here
}

// resizes delivers the terminal's new sizes until ctx ends.
func (t *terminal) resizes(ctx context.Context) <-chan wire.ExecSize {
	sizes := make(chan wire.ExecSize)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.winch:
			}
			size, err := t.size()
			if err != nil {
				continue // The next change brings another one.
			}
			select {
			case sizes <- size:
			case <-ctx.Done():
				return
			}
		}
	}()
	return sizes
}
