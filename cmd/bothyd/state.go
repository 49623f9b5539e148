package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/failpoint"
	"github.com/bothy-env/bothy/internal/fleet"
)

// stateDir is the folder that one daemon owns: its database, key, blueprints
// and Terraform's working directories. Nobody else may read it.
type stateDir struct {
	path string
	lock *os.File
	// reserve is room on the folder's disk.
	reserve *reserve
	// mended is what was found amiss and put right, for the log.
	mended []string
}

// openStateDir makes the folder when it is missing and takes its lock. The
// kernel drops the lock with the process, however that ends.
func openStateDir(path string) (*stateDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("cannot create state directory: %w", err)
	}
	if err := os.Chmod(path, 0o700); err != nil { //nolint:gosec // a folder needs its execute bit
		return nil, fmt.Errorf("cannot set the mode of the state directory: %w", err)
	}
	name := filepath.Join(path, "bothyd.lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(name) // only to name it in the message
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("another bothyd (process %s) uses state directory %s: stop it, or choose another one with --state-dir",
				strings.TrimSpace(string(holder)), path)
		} else {
			err = fmt.Errorf("cannot lock state directory: %w", err)
		}
		return nil, errors.Join(err, f.Close())
	}
	d := &stateDir{path: path, lock: f, reserve: newReserve(path)}
	// Before the first write: a start on a full disk needs it. Whoever runs the daemon reports that it was given up.
	_ = d.reserve.check()
	if err := errors.Join(f.Truncate(0), writeString(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("write lock: %w", err), f.Close())
	}
	if err := d.tidy(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return d, nil
}

func writeString(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

func (d *stateDir) join(names ...string) string {
	return filepath.Join(append([]string{d.path}, names...)...)
}

// close gives the lock back; the file stays, so that no two daemons lock different ones.
func (d *stateDir) close() error { return d.lock.Close() }

// secret reads the installation's master key. mayMake says that the installation has none yet: a new one in place of one that was
// lost would open nothing, and whoever looks for the lost one would take it for that.
func (d *stateDir) secret(mayMake func() (bool, error)) ([]byte, error) {
	there, mode, err := d.foundSecret(mayMake)
	if err != nil {
		return nil, err
	}
	if there != nil && mode != 0o600 {
		if err := os.Chmod(d.join(keyFile), 0o600); err != nil {
			return nil, fmt.Errorf("close the installation's key to others: %w", err)
		}
		d.mended = append(d.mended, fmt.Sprintf("the key had mode %04o; it has 0600 now", mode))
	}
	key, err := d.keep(keyFile, "the installation's key", vault.NewSecret)
	if err != nil {
		return nil, err
	}
	return vault.ParseSecret(key)
}

// foundSecret reads the master key and changes nothing. It is nil where there is none, which is an error unless one may be made.
func (d *stateDir) foundSecret(mayMake func() (bool, error)) (secret []byte, mode fs.FileMode, err error) {
	path := d.join(keyFile)
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		may, err := mayMake()
		if err == nil && !may {
			err = fleet.Errorf(fleet.CodeInvalid, "the installation's key is missing: %s", path).
				WithHint("restore it from a backup, or copy it from another daemon of this database")
		}
		return nil, 0, err
	case err != nil:
		return nil, 0, fmt.Errorf("read the installation's key: %w", err)
	case !info.Mode().IsRegular():
		return nil, 0, fleet.Errorf(fleet.CodeInvalid, "the installation's key %s is not a regular file", path)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, 0, fmt.Errorf("read the installation's key: %w", err)
	}
	secret, err = vault.ParseSecret(text)
	return secret, info.Mode().Perm(), err
}

// daemon is the id of whatever process serves this state directory; see takeIdentity.
func (d *stateDir) daemon() (string, error) {
	id, err := d.keep("daemon", "the daemon's id", func() []byte { return []byte(daemon.NewID()) })
	return strings.TrimSpace(string(id)), err
}

// keep reads a small file, and makes it when it is missing. It is written whole under another name
// first: half a key would be a lost key.
func (d *stateDir) keep(file, what string, fresh func() []byte) ([]byte, error) {
	kept, err := os.ReadFile(d.join(file))
	if err == nil {
		return kept, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	kept = fresh()
	return kept, d.replace(file, what, kept)
}

// replace writes a small file whole or not at all.
func (d *stateDir) replace(file, what string, content []byte) error {
	failpoint.Reach("file", file, failpoint.Before)
	defer failpoint.Reach("file", file, failpoint.After)
	f, err := os.CreateTemp(d.path, "."+file+"-*") // 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", what, err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), d.join(file))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", what, err), os.Remove(f.Name()))
	}
	return nil
}

// installation is the instance that this state directory has served last, "" for none.
func (d *stateDir) installation() (string, error) {
	text, err := os.ReadFile(d.join("instance"))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the installation's id: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// remember notes the installation that the folder is of.
func (d *stateDir) remember(instance string) error {
	if known, err := d.installation(); err != nil || known == instance {
		return err
	}
	return d.replace("instance", "the installation's id", []byte(instance))
}

// Load gives how far the database's records were when they were saved last; it makes stateDir a recovery.Marks.
func (d *stateDir) Load() (events, receipts int64, err error) {
	text, err := os.ReadFile(d.join("marks"))
	if errors.Is(err, os.ErrNotExist) {
		return 0, 0, nil
	}
	if err == nil {
		_, err = fmt.Sscanf(string(text), "%d %d\n", &events, &receipts)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read how far the records were: %w", err)
	}
	return events, receipts, nil
}

// Save keeps how far the database's records are.
func (d *stateDir) Save(events, receipts int64) error {
	return d.replace("marks", whatMarks, marksText(events, receipts))
}

// Note writes over what is kept, without a wait for the disk: the text is always as long, and far less than what a disk writes whole.
func (d *stateDir) Note(events, receipts int64) error {
	text := marksText(events, receipts)
	f, err := os.OpenFile(d.join("marks"), os.O_WRONLY, 0)
	if errors.Is(err, os.ErrNotExist) {
		return d.Save(events, receipts)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", whatMarks, err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != int64(len(text)) { // an earlier version's
		return errors.Join(err, f.Close(), d.Save(events, receipts))
	}
	failpoint.Reach("file", "marks", failpoint.Before)
	defer failpoint.Reach("file", "marks", failpoint.After)
	if err := errors.Join(writeString(f, string(text)), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", whatMarks, err)
	}
	return nil
}

const whatMarks = "how far the records are"

func marksText(events, receipts int64) []byte {
	return fmt.Appendf(nil, "%19d %19d\n", events, receipts)
}
