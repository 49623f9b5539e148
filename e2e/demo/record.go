package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// record is what is needed to clean up after a run that cannot do so itself. It is written before anything is created.
type record struct {
	// Temp is the run's temporary directory: state directory, socket, project.
	Temp string `json:"temp"`
	// Engine is the Docker engine that it uses.
	Engine string `json:"engine"`
	// Instance is the daemon's id; "" until it is known.
	Instance string `json:"instance,omitempty"`
	// Flags are the daemon's flags besides its directories.
	Flags []string `json:"flags,omitempty"`
}

// run is a run's own directory: its logs and, until everything it created is gone, its record.
type run struct {
	dir  string
	lock *os.File
	record
}

const recordName = "record.json"

// errAtWork: a run's process is alive.
var errAtWork = errors.New("a demo is running")

// home is where demos keep records and logs: the cache directory of setup, so that nothing is elsewhere.
func home() (string, error) {
	dir := os.Getenv("BOTHY_CACHE")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache directory: %w", err)
		}
		dir = filepath.Join(cache, "bothy")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	return filepath.Join(dir, "demo"), nil
}

// beginRun makes a run's directory under home, and its temporary directory under temp.
func beginRun(home, temp, engine string, now time.Time) (*run, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("make the demos' directory: %w", err)
	}
	dir, err := os.MkdirTemp(home, now.Format("20060102-150405-"))
	if err != nil {
		return nil, fmt.Errorf("make the demo's directory: %w", err)
	}
	r := &run{dir: dir, record: record{Temp: filepath.Join(temp, "bothy-demo-"+filepath.Base(dir)), Engine: engine}}
	if r.lock, err = lock(dir); err != nil {
		return nil, err
	}
	if err := r.save(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(r.Temp, 0o700); err != nil { // not MkdirAll: an existing directory is not ours
		return nil, fmt.Errorf("make the temporary directory: %w", err)
	}
	return r, nil
}

// openRun takes over the directory of an earlier run. errAtWork: its process is alive. fs.ErrNotExist: it has no record, so only logs are
// left; the run is returned all the same.
func openRun(dir string) (*run, error) {
	held, err := lock(dir)
	if err != nil {
		return nil, err
	}
	r := &run{dir: dir, lock: held}
	data, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		return r, fmt.Errorf("read the demo's record: %w", err)
	}
	if err := json.Unmarshal(data, &r.record); err != nil {
		return nil, errors.Join(fmt.Errorf("read the demo's record %s: %w", dir, err), held.Close())
	}
	// The directory in a record gets removed, so it must be one that demos create.
	if !filepath.IsAbs(r.Temp) || !strings.HasPrefix(filepath.Base(r.Temp), "bothy-demo-") {
		return nil, errors.Join(fmt.Errorf("read the demo's record %s: %q is not a directory of a demo", dir, r.Temp), held.Close())
	}
	return r, nil
}

// lock is held as long as the run's process is alive; the kernel releases it in any case.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the demo's lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("%w in %s", errAtWork, dir)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// save writes the record whole or not at all.
func (r *run) save() error {
	data, err := json.Marshal(r.record)
	if err != nil {
		return fmt.Errorf("write the demo's record: %w", err)
	}
	name := filepath.Join(r.dir, recordName)
	if err = os.WriteFile(name+".new", data, 0o600); err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("write the demo's record: %w", err)
	}
	return nil
}

// forget removes the record, once nothing is left to clean up.
func (r *run) forget() error {
	if err := os.Remove(filepath.Join(r.dir, recordName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the demo's record: %w", err)
	}
	return nil
}

func (r *run) state() string  { return filepath.Join(r.Temp, "state") }
func (r *run) socket() string { return filepath.Join(r.Temp, "bothyd.sock") }

func (r *run) outputLog() string { return filepath.Join(r.dir, "output.log") }
func (r *run) daemonLog() string { return filepath.Join(r.dir, "bothyd.log") }

// tempFolder is where temporary directories go: the usual place, unless a socket's path would be too long there.
func tempFolder() string {
	const longestSocket, ours = 107, len("/bothy-demo-20060102-150405-1234567890/bothyd.sock")
	if dir := os.TempDir(); len(dir)+ours <= longestSocket {
		return dir
	}
	return "/tmp"
}

// earlier lists the directories of runs under home.
func earlier(home string) ([]string, error) {
	entries, err := os.ReadDir(home)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list earlier demos: %w", err)
	}
	var dirs []string
	for _, e := range entries {
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(home, e.Name()))
		}
	}
	return dirs, nil
}
