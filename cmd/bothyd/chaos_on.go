//go:build chaos

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/failpoint"
	"github.com/bothy-env/bothy/provisioner"
)

// This file makes the bothyd that the chaos tests run. It puts a fail point just before and just after
// every call of driver and runtime. Nothing is embedded, so that a method added to the
// contracts does not compile here until it has its points.

// watchedDriver has points around every call of a driver.
type watchedDriver struct{ inner provisioner.Driver }

func watchDriver(d provisioner.Driver) provisioner.Driver { return watchedDriver{d} }

// watchedRuntime has points around every call of a runtime and its capabilities.
type watchedRuntime struct{ inner capable }

func watchRuntime(r capable) capable { return watchedRuntime{r} }

var (
	_ capable             = watchedRuntime{}
	_ provisioner.Limiter = watchedRuntime{}
)

// between makes a call between its two points.
func between(room, what string, call func() error) error {
	failpoint.Reach(room, what, failpoint.Before)
	defer failpoint.Reach(room, what, failpoint.After)
	return call()
}

func valueBetween[T any](room, what string, call func() (T, error)) (T, error) {
	failpoint.Reach(room, what, failpoint.Before)
	defer failpoint.Reach(room, what, failpoint.After)
	return call()
}

func (d watchedDriver) Ready(ctx context.Context) error {
	return between("driver", "ready", func() error { return d.inner.Ready(ctx) })
}

func (d watchedDriver) Prepare(ctx context.Context, bp provisioner.Blueprint) error {
	return between("driver", "prepare", func() error { return d.inner.Prepare(ctx, bp) })
}

func (d watchedDriver) Create(ctx context.Context, spec provisioner.Spec, observe provisioner.Observer) (provisioner.Handle, error) {
	return valueBetween("driver", "create", func() (provisioner.Handle, error) { return d.inner.Create(ctx, spec, observe) })
}

func (d watchedDriver) Destroy(ctx context.Context, spec provisioner.Spec, state []byte, observe provisioner.Observer) error {
	return between("driver", "destroy", func() error { return d.inner.Destroy(ctx, spec, state, observe) })
}

func (d watchedDriver) Settled(ctx context.Context, spec provisioner.Spec) error {
	settler, ok := d.inner.(provisioner.Settler)
	if !ok {
		return nil
	}
	return between("driver", "settled", func() error { return settler.Settled(ctx, spec) })
}

func (d watchedDriver) Kept(ctx context.Context) ([]string, error) {
	keeper, ok := d.inner.(provisioner.Keeper)
	if !ok {
		return nil, nil
	}
	return valueBetween("driver", "kept", func() ([]string, error) { return keeper.Kept(ctx) })
}

func (d watchedDriver) Discard(ctx context.Context, environment string) error {
	keeper, ok := d.inner.(provisioner.Keeper)
	if !ok {
		return nil
	}
	return between("driver", "discard", func() error { return keeper.Discard(ctx, environment) })
}

func (d watchedDriver) Tidy(ctx context.Context, known func(digest string) bool) error {
	tidier, ok := d.inner.(provisioner.Tidier)
	if !ok {
		return nil
	}
	return between("driver", "tidy", func() error { return tidier.Tidy(ctx, known) })
}

func (r watchedRuntime) Kept(ctx context.Context) ([]string, error) {
	keeper, ok := r.inner.(provisioner.Keeper)
	if !ok {
		return nil, nil
	}
	return valueBetween("runtime", "kept", func() ([]string, error) { return keeper.Kept(ctx) })
}

func (r watchedRuntime) Discard(ctx context.Context, environment string) error {
	keeper, ok := r.inner.(provisioner.Keeper)
	if !ok {
		return nil
	}
	return between("runtime", "discard", func() error { return keeper.Discard(ctx, environment) })
}

func (r watchedRuntime) Ready(ctx context.Context) error {
	return between("runtime", "ready", func() error { return r.inner.Ready(ctx) })
}

func (r watchedRuntime) ResolveImage(ctx context.Context, ref string) (string, error) {
	return valueBetween("runtime", "resolve-image", func() (string, error) { return r.inner.ResolveImage(ctx, ref) })
}

func (r watchedRuntime) Inspect(ctx context.Context, id string) (provisioner.Status, error) {
	return valueBetween("runtime", "inspect", func() (provisioner.Status, error) { return r.inner.Inspect(ctx, id) })
}

func (r watchedRuntime) Exec(ctx context.Context, id string, req provisioner.ExecRequest, streams provisioner.Streams) (int, error) {
	return valueBetween("runtime", "exec", func() (int, error) { return r.inner.Exec(ctx, id, req, streams) })
}

func (r watchedRuntime) CopyTo(ctx context.Context, id, dir, user string, tar io.Reader) error {
	return between("runtime", "copy-to", func() error { return r.inner.CopyTo(ctx, id, dir, user, tar) })
}

func (r watchedRuntime) CopyFrom(ctx context.Context, id, path, user string) (io.ReadCloser, error) {
	return valueBetween("runtime", "copy-from", func() (io.ReadCloser, error) { return r.inner.CopyFrom(ctx, id, path, user) })
}

func (r watchedRuntime) Logs(ctx context.Context, id string, req provisioner.LogsRequest, write func(provisioner.LogLine) error) error {
	return between("runtime", "logs", func() error { return r.inner.Logs(ctx, id, req, write) })
}

func (r watchedRuntime) Capabilities() provisioner.Capabilities { return r.inner.Capabilities() }

func (r watchedRuntime) RemovalOrder(a, b provisioner.Ref) int { return r.inner.RemovalOrder(a, b) }

func (r watchedRuntime) List(ctx context.Context, sel provisioner.Selector) (provisioner.Page, error) {
	return valueBetween("runtime", "inventory", func() (provisioner.Page, error) { return r.inner.List(ctx, sel) })
}

func (r watchedRuntime) Remove(ctx context.Context, ref provisioner.Ref, environment string) error {
	return between("runtime", "remove", func() error { return r.inner.Remove(ctx, ref, environment) })
}

func (r watchedRuntime) CanKill() error { return r.inner.CanKill() }

func (r watchedRuntime) Kill(ctx context.Context, ref provisioner.Ref, environment string) (int, error) {
	return valueBetween("runtime", "kill", func() (int, error) { return r.inner.Kill(ctx, ref, environment) })
}

func (r watchedRuntime) CanDial() error { return r.inner.CanDial() }

func (r watchedRuntime) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	return valueBetween("runtime", "dial", func() (net.Conn, error) { return r.inner.Dial(ctx, id, port) })
}

func (r watchedRuntime) Listen(ctx context.Context, id string, port int) (net.Listener, error) {
	return valueBetween("runtime", "listen", func() (net.Listener, error) { return r.inner.Listen(ctx, id, port) })
}

func (r watchedRuntime) LimitPids(ctx context.Context, id string, pids int64) error {
	limiter, ok := r.inner.(provisioner.Limiter)
	if !ok {
		return nil // as the engine does with a runtime that is none
	}
	return between("runtime", "limit-pids", func() error { return limiter.LimitPids(ctx, id, pids) })
}

func (r watchedRuntime) CPUTime(ctx context.Context, id string) (time.Duration, error) {
	gauge, ok := r.inner.(provisioner.Gauge)
	if !ok {
		return 0, nil
	}
	return valueBetween("runtime", "cpu-time", func() (time.Duration, error) { return gauge.CPUTime(ctx, id) })
}

func (r watchedRuntime) ForksRefused(ctx context.Context, id string) (int64, error) {
	if gauge, ok := r.inner.(provisioner.Gauge); ok {
		return gauge.ForksRefused(ctx, id)
	}
	return -1, nil
}

func (r watchedRuntime) Usage(ctx context.Context, id string) (provisioner.Usage, error) {
	surveyor, ok := r.inner.(provisioner.Surveyor)
	if !ok {
		return provisioner.Unknown(), nil
	}
	return valueBetween("runtime", "usage", func() (provisioner.Usage, error) { return surveyor.Usage(ctx, id) })
}

func (r watchedRuntime) OOMKills(ctx context.Context, id string) (int64, error) {
	if gauge, ok := r.inner.(provisioner.Gauge); ok {
		return gauge.OOMKills(ctx, id)
	}
	return -1, nil
}

func (r watchedRuntime) Reserve(ctx context.Context, owner provisioner.Owner) (provisioner.Attachment, error) {
	return valueBetween("networks", "reserve", func() (provisioner.Attachment, error) { return r.inner.Reserve(ctx, owner) })
}

func (r watchedRuntime) Release(ctx context.Context, at provisioner.Attachment) error {
	return between("networks", "release", func() error { return r.inner.Release(ctx, at) })
}

func (r watchedRuntime) Reconcile(ctx context.Context, live []provisioner.Attachment) error {
	return between("networks", "reconcile", func() error { return r.inner.Reconcile(ctx, live) })
}

func (r watchedRuntime) Close(ctx context.Context) error {
	return between("networks", "close", func() error { return r.inner.Close(ctx) })
}

func (r watchedRuntime) Pause(ctx context.Context, id string) error {
	return between("runtime", "pause", func() error { return r.inner.Pause(ctx, id) })
}

func (r watchedRuntime) Unpause(ctx context.Context, id string) error {
	return between("runtime", "unpause", func() error { return r.inner.Unpause(ctx, id) })
}

func (r watchedRuntime) Traffic(ctx context.Context, id string) (int64, error) {
	return valueBetween("runtime", "traffic", func() (int64, error) { return r.inner.Traffic(ctx, id) })
}

func (r watchedRuntime) Mark(ctx context.Context, name string, labels map[string]string) error {
	return between("runtime", "mark", func() error { return r.inner.Mark(ctx, name, labels) })
}

func (r watchedRuntime) Unmark(ctx context.Context, name string) error {
	return between("runtime", "unmark", func() error { return r.inner.Unmark(ctx, name) })
}

func (r watchedRuntime) Stage(ctx context.Context, id, user string) (provisioner.Stage, error) {
	return valueBetween("runtime", "stage", func() (provisioner.Stage, error) {
		stage, err := r.inner.Stage(ctx, id, user)
		if err != nil {
			return nil, err
		}
		return watchedStage{stage}, nil
	})
}

// watchedStage has points around the delivery.
type watchedStage struct{ inner provisioner.Stage }

func (s watchedStage) Deliver(ctx context.Context, files []provisioner.File) error {
	return between("stage", "deliver", func() error { return s.inner.Deliver(ctx, files) })
}

func (s watchedStage) Claim(ctx context.Context, claim string, files []provisioner.File) error {
	return between("stage", "deliver", func() error { return s.inner.Claim(ctx, claim, files) })
}

func (s watchedStage) Used() bool { return s.inner.Used() }

func (s watchedStage) Close() error {
	return between("stage", "close", s.inner.Close)
}

// clockFile names a file that holds how far the machine's clock is off ("-24h"), so that a test can make it jump.
const clockFile = "CHAOS_CLOCK_OFFSET"

// machineClock is the machine's clock with that offset; nil when no file is named.
func machineClock() func() time.Time {
	name := os.Getenv(clockFile)
	if name == "" {
		return nil
	}
	return func() time.Time {
		text, err := os.ReadFile(name)
		if err != nil {
			panic(fmt.Sprintf("read the clock's offset: %v", err))
		}
		off, err := time.ParseDuration(strings.TrimSpace(string(text)))
		if err != nil {
			panic(fmt.Sprintf("read the clock's offset: %v", err))
		}
		return time.Now().Add(off)
	}
}

// goroutinesFile names a file that is kept in step with how many goroutines there are.
const goroutinesFile = "CHAOS_GOROUTINES"

func tellGoroutines() {
	name := os.Getenv(goroutinesFile)
	if name == "" {
		return
	}
	go func() {
		for range time.Tick(500 * time.Millisecond) {
			count := strconv.Itoa(runtime.NumGoroutine())
			if err := os.WriteFile(name, []byte(count), 0o600); err != nil {
				panic(fmt.Sprintf("tell the goroutines: %v", err))
			}
		}
	}()
}
