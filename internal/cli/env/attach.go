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

// signalNames are the signals that attach forwards to the command.
var signalNames = map[os.Signal]string{
	syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT",
}

// attach runs a command in an environment with the streams of this process, and exits with the command's exit code. It forwards
// signals to the command; the second one ends the command and this process. With a TTY the terminal is raw while the command runs.
func attach(ctx context.Context, f *cmdutil.Factory, name string, start wire.ExecStart) error {
	c, err := f.Client()
	if err != nil {
		return err
	}
	// A signal must reach the command, not close our connection to it.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	caught := make(chan os.Signal, 8)
	signal.Notify(caught, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(caught)
	sent := forward(ctx, caught, start.TTY, cancel)
	var said *wire.ExecResult // the daemon's last message
	streams := client.ExecStreams{
		// The command's output passes unchanged.
		Stdout: f.IO.Raw().Out, Stderr: f.IO.Raw().Err, Signals: sent.names, Stop: sent.stop,
		Ended: func(r wire.ExecResult) { said = &r },
	}
	if start.Stdin {
		streams.Stdin = f.IO.In
	}
	if !start.TTY { // in raw mode all keys go to the command
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

// onTerminal runs the command. With a TTY it makes the terminal raw for the command and restores it afterwards.
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

// stopFor is how long the daemon may take to confirm the end of a command.
const stopFor = 10 * time.Second

// forwarded is the state of the signal forwarding.
type forwarded struct {
	names chan string
	stop  chan struct{} // closed to end the command
	by    atomic.Pointer[cmdutil.Interrupted]
}

// stopped returns the signal that ended the command, nil if none did.
func (w *forwarded) stopped() *cmdutil.Interrupted { return w.by.Load() }

// forward forwards signals by name until ctx ends. The second signal ends the command. The third one, or a daemon that does not
// confirm in time, closes the connection. With a TTY the loss of the terminal closes the connection at once.
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
					w.names <- signalNames[s] // never blocks: it is the only one
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

// terminal is the local terminal of a TTY. Without a local terminal it does nothing.
type terminal struct {
	in, out *os.File
	saved   *term.State
	winch   chan os.Signal
}

// openTerminal makes stdin raw if it is a terminal.
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
		return nil, fmt.Errorf("cannot set the terminal to raw mode: %w", err)
	}
	t.in, t.saved = in, saved
	notifyResize(t.winch)
	return t, nil
}

// close restores the terminal. It ignores an error, because nothing else can be tried.
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
		return wire.ExecSize{}, fmt.Errorf("cannot read the terminal size: %w", err)
	}
	return wire.ExecSize{Rows: uint16(min(rows, 0xffff)), Cols: uint16(min(cols, 0xffff))}, nil //nolint:gosec // bounded here
}

// resizes sends the sizes of the terminal as it is resized, until ctx ends.
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
				continue // the next resize sends another size
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
