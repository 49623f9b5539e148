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

// record is what must be known of a run to clean up behind it, should it not get to do so
// itself. It is written before anything is made.
type record struct {
	// Temp is the run's temporary folder: state directory, socket, project.
	Temp string `json:"temp"`
	// Engine is the Docker engine that it uses.
	Engine string `json:"engine"`
	// Instance is the daemon's id; "" until it is known.
	Instance string `json:"instance,omitempty"`
	// Flags are what the daemon was started with beyond its folders.
	Flags []string `json:"flags,omitempty"`
}

// run is a run's own folder: its logs and, until everything it made is gone, its record.
type run struct {
	dir  string
	lock *os.File
	record
}

const recordName = "record.json"

// errAtWork says that a run's process lives.
var errAtWork = errors.New("a demo is at work")

// home is where demos keep records and logs: the folder that setup caches in, so that nothing is elsewhere.
func home() (string, error) {
	dir := os.Getenv("BOTHY_CACHE")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find the cache folder: %w", err)
		}
		dir = filepath.Join(cache, "bothy")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the cache folder: %w", err)
	}
	return filepath.Join(dir, "demo"), nil
}

// beginRun makes a run's folder under home, and its temporary folder under temp.
func beginRun(home, temp, engine string, now time.Time) (*run, error) {
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, fmt.Errorf("make the demos' folder: %w", err)
	}
	dir, err := os.MkdirTemp(home, now.Format("20060102-150405-"))
	if err != nil {
		return nil, fmt.Errorf("make the demo's folder: %w", err)
	}
	r := &run{dir: dir, record: record{Temp: filepath.Join(temp, "bothy-demo-"+filepath.Base(dir)), Engine: engine}}
	if r.lock, err = lock(dir); err != nil {
		return nil, err
	}
	if err := r.save(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(r.Temp, 0o700); err != nil { // not MkdirAll: what is there already is not ours
		return nil, fmt.Errorf("make the temporary folder: %w", err)
	}
	return r, nil
}

// openRun takes over the folder of an earlier run. errAtWork: its process lives. fs.ErrNotExist:
// there is no record, so only logs are left; the run is given all the same.
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
	// What a record names gets removed, so it must be a name that demos give.
	if !filepath.IsAbs(r.Temp) || !strings.HasPrefix(filepath.Base(r.Temp), "bothy-demo-") {
		return nil, errors.Join(fmt.Errorf("read the demo's record %s: %q is no folder of a demo", dir, r.Temp), held.Close())
	}
	return r, nil
}

// lock is held as long as the run's process lives; the kernel lets it go, however that ends.
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

// forget removes the record, when nothing is left to clean up.
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

// tempFolder is where temporary folders go: the usual place, unless a socket's path would get too long there.
func tempFolder() string {
	const longestSocket, ours = 107, len("/bothy-demo-20060102-150405-1234567890/bothyd.sock")
	if dir := os.TempDir(); len(dir)+ours <= longestSocket {
		return dir
	}
	return "/tmp"
}

// earlier lists the folders of runs under home.
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
