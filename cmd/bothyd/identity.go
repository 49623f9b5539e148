package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/hosts"
	"github.com/bothy-env/bothy/internal/store"
)

// identity is what this process is called among those that use the database.
type identity struct {
	// worker is "<daemon>.<process>". ended are earlier workers of this state directory that have ended for certain.
	worker string
	ended  []string
	// twin is a living worker that was found under the directory's id, which is another one now; "" for none.
	twin string
}

// takeIdentity names this process. A state directory can be copied, and the daemon's id with it: an id that a living process uses is left
// to that, and the directory gets a new one.
func takeIdentity(ctx context.Context, db *store.Store, dir *stateDir, logger *slog.Logger) (identity, error) {
	self, err := dir.daemon()
	if err != nil {
		return identity{}, err
	}
	process := daemon.NewID()
	id := identity{worker: self + "." + process}
	if id.ended, err = dir.endedWorkers(); err != nil {
		return id, err
	}
	if id.twin, err = hosts.LivingTwin(ctx, db, id.worker, id.ended); err != nil {
		return id, err
	}
	if id.twin != "" {
		if self, err = dir.renewDaemon(); err != nil {
			return id, err
		}
		logger.Warn("another process runs under the id of this state directory, which was copied or whose machine has just been started anew; it gets a new id",
			"worker", id.twin, "daemon", self)
		id.worker = self + "." + process
	}
	return id, dir.noteWorker(id.worker)
}

// renewDaemon gives the state directory another daemon's id.
func (d *stateDir) renewDaemon() (string, error) {
	id := daemon.NewID()
	return id, d.replace("daemon", "the daemon's id", []byte(id))
}

// mostWorkers is how many workers are remembered.
const mostWorkers = 32

// endedWorkers gives the earlier workers of this very directory since the machine was started: each held the directory's lock,
// which this process holds now. Of a worker of another machine, of a copy, or of before a start of the machine nothing is known.
func (d *stateDir) endedWorkers() (ended []string, err error) {
	here, err := d.here()
	if err != nil {
		return nil, err
	}
	for _, line := range d.workers() {
		if worker, where, _ := strings.Cut(line, " "); where == here {
			ended = append(ended, worker)
		}
	}
	return ended, nil
}

// noteWorker remembers a worker of this process.
func (d *stateDir) noteWorker(worker string) error {
	here, err := d.here()
	if err != nil {
		return err
	}
	lines := append(d.workers(), worker+" "+here)
	lines = lines[max(0, len(lines)-mostWorkers):]
	return d.replace("workers", "the names of its processes", []byte(strings.Join(lines, "\n")+"\n"))
}

// workers are the lines that are kept; none when they cannot be read: then nobody is known to have ended.
func (d *stateDir) workers() []string {
	text, err := os.ReadFile(d.join("workers"))
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return strings.Count(line, " ") != 2 })
}

// here is the lock of this directory on this machine since its start. A copy's lock is another file, and a cloned machine was
// started another time.
func (d *stateDir) here() (string, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(d.lock.Fd()), &st); err != nil {
		return "", fmt.Errorf("look at the state directory's lock: %w", err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("read when the machine was started: %w", err)
	}
	return fmt.Sprintf("%s %d:%d", strings.TrimSpace(string(boot)), st.Dev, st.Ino), nil
}
