package env

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

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
	sent := forward(ctx, caught, start.TTY, cancel)
	var said *wire.ExecResult // what the daemon said at the end
	streams := client.ExecStreams{
		// The command's own bytes, for whoever ran it.
		Stdout: f.IO.Raw().Out, Stderr: f.IO.Raw().Err, Signals: sent.names, Stop: sent.stop,
		Ended: func(r wire.ExecResult) { said = &r },
	}
	if start.Stdin {
		streams.Stdin = f.IO.In
	}
	if !start.TTY { // the keys of a terminal that is raw are the command's
		streams.Suspend = suspensions(ctx)
	}
	code, err := onTerminal(ctx, f, c, name, start, streams)
	if stopped := sent.stopped(); stopped != nil {
		tellStopped(f, name, said)
		return cmdutil.Exit(stopped.ExitCode())
	}
	if err != nil {
		return err
	}
	if said != nil && said.Ended != nil {
		tellEnded(f, name, *said.Ended)
	}
	if code != 0 {
		return cmdutil.Exit(code)
	}
	return nil
}

// onTerminal runs the command, with the terminal made ready for it and put back when it is to have one.
func onTerminal(ctx context.Context, f *cmdutil.Factory, c *client.Client, name string, start wire.ExecStart, streams client.ExecStreams) (int, error) {
	if start.TTY {
		t, err := openTerminal(f)
		if err != nil {
			return 0, err
		}
		defer t.close()
		if start.Size, err = t.size(); err != nil {
			return 0, err
		}
		streams.Resize = t.resizes(ctx)
	}
	return c.Exec(ctx, name, start, streams)
}

// stopFor is how long the daemon may take to say what became of a command that it was told to end.
const stopFor = 10 * time.Second

// forwarded is how signals are passed on.
type forwarded struct {
	names chan string
	stop  chan struct{} // closed to have the command ended
	by    atomic.Pointer[cmdutil.Interrupted]
}

// stopped gives the signal by which the command was to be ended; nil when there was none.
func (w *forwarded) stopped() *cmdutil.Interrupted { return w.by.Load() }

// forward passes signals on by name until ctx ends. The second signal has the command ended, and the third, or a daemon that
// says nothing, ends the connection to it; the loss of the terminal that a TTY is for does so at once.
func forward(ctx context.Context, caught <-chan os.Signal, tty bool, cancel context.CancelCauseFunc) *forwarded {
	w := &forwarded{names: make(chan string, 1), stop: make(chan struct{})}
	go func() {
		var late <-chan time.Time
		for count := 1; ; count++ {
			select {
			case <-ctx.Done():
				return
			case <-late:
				cancel(*w.by.Load())
				return
			case s := <-caught:
				lost := tty && s == syscall.SIGHUP
				if count == 1 && !lost {
					w.names <- signalNames[s] // There is room: it is the only one.
					continue
				}
				w.by.Store(&cmdutil.Interrupted{Signal: s})
				if lost || count > 2 {
					cancel(cmdutil.Interrupted{Signal: s})
					return
				}
				close(w.stop)
				late = time.After(stopFor)
			}
		}
	}()
	return w
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
	if out, ok := f.IO.Raw().Out.(*os.File); ok && f.IO.OutTTY {
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
	notifyResize(t.winch)
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
