package chaos_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/bothy-env/bothy/e2e/rig"
	"github.com/bothy-env/bothy/internal/client"
)

// stopBound is what a daemon with a real engine is given for each of the two steps of a stop. Both fit into patience.
const stopBound = 45 * time.Second

// stopWithin bounds a clean stop; what takes longer does not stop.
const stopWithin = 2*stopBound + 30*time.Second

// daemon is one bothyd that is started again whenever it is killed, as a service manager would do.
type daemon struct {
	name, dir string
	args      []string
	client    *client.Client

	mu      sync.Mutex
	cmd     *exec.Cmd
	stopped bool
	// bounced: the present process was asked to stop, for another one to be started.
	bounced bool
	// cut: the present process was killed while it stopped, or was asked to stop before it had begun.
	cut bool
	// logged is how long the log was before the present process.
	logged int64
	kills  int
	// persists says that a process that ends with an error, as one that finds no database at its start does, is followed by
	// another; failedStarts are when that was.
	persists     bool
	failedStarts []time.Time
	failed       error
	ended        chan struct{}
}

// newDaemon prepares a daemon with a state directory of its own.
func newDaemon(dir, name string, args ...string) (*daemon, error) {
	d := &daemon{name: name, dir: filepath.Join(dir, name), ended: make(chan struct{})}
	d.args = append([]string{
		"--state-dir", filepath.Join(d.dir, "state"), "--listen-unix", filepath.Join(d.dir, "s"), "--log-format", "text", "--log-level", "debug",
	}, args...)
	if err := os.MkdirAll(filepath.Join(d.dir, "state"), 0o700); err != nil {
		return nil, err
	}
	if err := d.setClock(0); err != nil {
		return nil, err
	}
	var err error
	d.client, err = client.New(client.Options{Host: "unix://" + filepath.Join(d.dir, "s"), Timeout: patience})
	return d, err
}

// keep runs the daemon until stop. orders are its fail points, for the first process only.
func (d *daemon) keep(orders string) {
	defer close(d.ended)
	for {
		cmd, err := d.launch(orders)
		if err != nil {
			d.fail(err)
			return
		}
		if cmd == nil {
			return // stopped meanwhile
		}
		err = cmd.Wait()
		failed := d.startFailed(cmd)
		if !failed && !d.again(cmd, err) {
			return
		}
		if failed {
			time.Sleep(restartAfter)
		}
		orders = ""
	}
}

func (d *daemon) launch(orders string) (*exec.Cmd, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return nil, nil
	}
	if err := rig.TouchSources(); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(d.logFile(), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	if d.logged, err = log.Seek(0, io.SeekEnd); err != nil {
		return nil, err
	}
	cmd := exec.Command(filepath.Join(binDir, "bothyd"), d.args...)
	cmd.Env = append(rig.CleanEnv(),
		"BOTHY_CONFIG="+os.DevNull, "CHAOS_KILLPOINTS="+orders, "CHAOS_CLOCK_OFFSET="+d.clockFile(), "CHAOS_GOROUTINES="+d.goroutinesFile())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d.cmd = cmd
	return cmd, nil
}

// restartAfter is how long a service manager waits after a start that failed.
const restartAfter = 100 * time.Millisecond

// startFailed reports whether a process ended with an error, in order and not by a panic, and is to be followed by another.
func (d *daemon) startFailed(cmd *exec.Cmd) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.persists || d.stopped || cmd.ProcessState.ExitCode() != 1 {
		return false
	}
	d.cmd = nil
	d.failedStarts = append(d.failedStarts, time.Now())
	return true
}

// again reports whether the daemon is to be started once more, and notes how it ended.
func (d *daemon) again(cmd *exec.Cmd, err error) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cmd = nil
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		d.kills++
		d.bounced, d.cut = false, d.stopped
		return !d.stopped
	case (d.bounced || d.stopped) && (err == nil || status.Signal() == syscall.SIGTERM) && !d.begun():
		// It had just been started in place of one that was killed, and did not hear the signal yet: no stop of a daemon.
		d.bounced, d.cut = false, d.stopped
		return !d.stopped
	case d.bounced && err == nil:
		d.bounced = false
		return !d.stopped
	case !d.stopped || err != nil:
		d.failed = fmt.Errorf("bothyd %s ended by itself: %v", d.name, cmd.ProcessState)
	}
	return false
}

// begun reports whether the present process came as far as to say that it starts.
func (d *daemon) begun() bool {
	log, err := os.ReadFile(d.logFile())
	return err == nil && bytes.Contains(log[d.logged:], []byte("bothyd starts"))
}

func (d *daemon) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failed = errors.Join(d.failed, err)
}

// signal sends a signal to the present process; there may be none.
func (d *daemon) signal(sig syscall.Signal) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		return nil
	}
	if err := d.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to bothyd %s: %w", sig, d.name, err)
	}
	return nil
}

func (d *daemon) pid() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cmd == nil {
		return 0
	}
	return d.cmd.Process.Pid
}

// killed counts how often it was ended by SIGKILL.
func (d *daemon) killed() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.kills
}

// bounce stops the present process cleanly, and returns when another one has been started.
func (d *daemon) bounce(ctx context.Context) error {
	before := d.pid()
	d.mu.Lock()
	d.bounced = true
	d.mu.Unlock()
	if err := d.signal(syscall.SIGTERM); err != nil {
		return err
	}
	return until(ctx, "bothyd is started again", func() (bool, string, error) {
		pid := d.pid()
		return pid != 0 && pid != before, "it has not ended", nil
	})
}

// stop ends the daemon for good, cleanly when it can. One that is killed while it stops leaves what the next process
// takes away, so there is a next one.
func (d *daemon) stop() error {
	for {
		if err := d.stopOnce(); !d.cut {
			return err
		}
		d.cut, d.stopped, d.ended = false, false, make(chan struct{})
		go d.keep("")
		if err := d.answers(context.Background()); err != nil {
			return errors.Join(err, d.stopOnce())
		}
	}
}

// answers waits until the daemon answers, or has ended.
func (d *daemon) answers(ctx context.Context) error {
	return retry(ctx, "bothyd answers", func() error {
		_, err := d.client.Version(ctx)
		select {
		case <-d.ended:
			return d.failed
		default:
			return err
		}
	})
}

func (d *daemon) stopOnce() error {
	d.mu.Lock()
	d.stopped = true
	d.mu.Unlock()
	err := errors.Join(d.signal(syscall.SIGCONT), d.signal(syscall.SIGTERM))
	select {
	case <-d.ended:
	case <-time.After(stopWithin):
		err = errors.Join(err, d.signal(syscall.SIGQUIT)) // for what each goroutine was doing
		<-d.ended
		err = errors.Join(err, fmt.Errorf("bothyd %s went on after SIGTERM\n%s", d.name, d.lastLog()))
	}
	return errors.Join(err, d.failed)
}

func (d *daemon) logFile() string        { return filepath.Join(d.dir, "log") }
func (d *daemon) clockFile() string      { return filepath.Join(d.dir, "clock") }
func (d *daemon) goroutinesFile() string { return filepath.Join(d.dir, "goroutines") }

// setClock makes the machine's clock jump for this daemon, also for its next process.
func (d *daemon) setClock(off time.Duration) error {
	temporary := d.clockFile() + ".new"
	if err := os.WriteFile(temporary, []byte(off.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, d.clockFile())
}

// lastOfLog is how much of a log is shown, in bytes: room for what every goroutine was doing.
const lastOfLog = 60_000

// lastLog is the end of the daemon's log, for whoever looks into a failure.
func (d *daemon) lastLog() string {
	data, err := os.ReadFile(d.logFile())
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-lastOfLog):])
}

// id is the daemon's own, the first part of its workers' ids; "" before it has started.
func (d *daemon) id() string {
	text, err := os.ReadFile(filepath.Join(d.dir, "state", "daemon"))
	if err != nil {
		return ""
	}
	return string(text)
}
