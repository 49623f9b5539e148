package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/engine"
)

// stateDir is the folder that one daemon owns: its database, key, blueprints
// and Terraform's working directories. Nobody else may read it.
type stateDir struct {
	path string
	lock *os.File
}

// openStateDir makes the folder when it is missing and takes its lock. The
// kernel drops the lock with the process, however that ends.
func openStateDir(path string) (*stateDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w", err)
	}
	if err := os.Chmod(path, 0o700); err != nil { //nolint:gosec // a folder needs its execute bit
		return nil, fmt.Errorf("close state directory to others: %w", err)
	}
	name := filepath.Join(path, "bothyd.lock")
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(name) // only to name it in the message
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("another bothyd (process %s) owns the state directory %s; stop it, or choose another with --state-dir",
				strings.TrimSpace(string(holder)), path)
		} else {
			err = fmt.Errorf("lock state directory: %w", err)
		}
		return nil, errors.Join(err, f.Close())
	}
	if err := errors.Join(f.Truncate(0), writeString(f, strconv.Itoa(os.Getpid())+"\n")); err != nil {
		return nil, errors.Join(fmt.Errorf("write lock: %w", err), f.Close())
	}
	return &stateDir{path: path, lock: f}, nil
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

// secret reads the installation's master key, and makes it on the first start.
// It is written whole under another name first: half a key would be a lost key.
func (d *stateDir) secret() ([]byte, error) {
	name := d.join("key")
	secret, err := os.ReadFile(name)
	if err == nil {
		return secret, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the installation's key: %w", err)
	}
	secret = engine.NewSecret()
	f, err := os.CreateTemp(d.path, ".key-*") // 0600
	if err != nil {
		return nil, fmt.Errorf("make the installation's key: %w", err)
	}
	_, err = f.Write(secret)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the installation's key: %w", err), os.Remove(f.Name()))
	}
	return secret, nil
}
