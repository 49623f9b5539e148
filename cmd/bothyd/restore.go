package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bothy-env/bothy/internal/config"
	"github.com/bothy-env/bothy/internal/engine/vault"
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/dump"
)

func newRestoreCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Restore the database from a backup",
		Long: "Replaces the database with the database of a backup. Stop every bothyd that uses the database first.\n" +
			"An existing SQLite database is kept in the state directory, in a directory before-restore-TIME.\n" +
			"bothyd then starts in safe mode: it hands out, expires and deletes nothing from before until you have\n" +
			"decided on everything that bothy orphans lists.",
		Example: "  bothyd restore /srv/backup/bothy-2026-05-01.tar",
		Args:    cobra.ExactArgs(1),
		RunE: withBackup(file, func(ctx context.Context, cfg config.Config, path string) (string, error) {
			m, err := restore(ctx, cfg, path)
			return fmt.Sprintf("Restored installation %s as of %s. Next: start bothyd, then run bothy orphans", m.Instance, m.Made.Format(time.RFC3339)), err
		}),
	}
}

// restore puts a backup in place. All that can refuse is asked before anything is changed.
func restore(ctx context.Context, cfg config.Config, from string) (m manifest, err error) {
	dir, err := openStateDir(cfg.StateDir)
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, dir.close()) }()
	work, err := os.MkdirTemp(dir.path, ".restore-*")
	if err != nil {
		return m, fmt.Errorf("restore: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	m, key, err := unpack(from, work)
	if err != nil {
		return m, fmt.Errorf("cannot read backup %s: %w", from, err)
	}
	key, err = fits(ctx, cfg, dir, m, key, filepath.Join(work, databaseFile))
	if err != nil {
		return m, err
	}
	// First of all: should this be cut off, the next start is in safe mode.
	reason := fmt.Sprintf("the database was restored from a backup of %s", m.Made.Format(time.RFC3339))
	if err := dir.replace(restoredFile, "that a backup was restored", []byte(reason)); err != nil {
		return m, err
	}
	if path, ok := strings.CutPrefix(cfg.Database, "sqlite://"); ok {
		if err := setAside(dir, path); err != nil {
			return m, err
		}
	}
	if err := dump.Restore(ctx, cfg.Database, filepath.Join(work, databaseFile)); err != nil {
		return m, err
	}
	if err := dir.replace(keyFile, "the installation's key", key); err != nil {
		return m, err
	}
	return m, dir.remember(m.Instance)
}

// fits refuses a backup that is not of this folder and this kind of database, and gives the key that there is to be.
func fits(ctx context.Context, cfg config.Config, dir *stateDir, m manifest, key []byte, database string) ([]byte, error) {
	known, err := dir.installation()
	if err != nil {
		return nil, err
	}
	kind := databaseKind(cfg.Database)
	mine, err := os.ReadFile(dir.join(keyFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the installation's key: %w", err)
	}
	switch {
	case kind != m.Database:
		return nil, fleet.Errorf(fleet.CodeInvalid, "cannot restore: the backup has a %s database, and the configuration has %s", m.Database, kind)
	case known != "" && known != m.Instance:
		return nil, fleet.Errorf(fleet.CodeInvalid, "cannot restore: the backup is of installation %s, and the state directory of %s", m.Instance, known)
	case mine != nil && key != nil && !sameKey(mine, key):
		return nil, fleet.Errorf(fleet.CodeInvalid, "cannot restore: the key of the backup differs from %s", dir.join(keyFile)).
			WithHint("if the key of the backup is the right one, move the other file away")
	case mine == nil && key == nil:
		return nil, fleet.Errorf(fleet.CodeInvalid, "cannot restore: neither the backup nor the state directory has the key").WithHint("copy the key to %s first", dir.join(keyFile))
	}
	// What is there may be damaged; that it is somebody else's is known all the same, or not to be known.
	err = dump.Restorable(ctx, cfg.Database, database, func(_ context.Context, found *store.Found) error {
		if found.Instance != "" && found.Instance != m.Instance {
			return fleet.Errorf(fleet.CodeInvalid, "cannot restore: the backup is of installation %s, and the existing database of %s", m.Instance, found.Instance)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if mine != nil {
		return mine, nil
	}
	return key, nil
}

// sameKey compares two key files by the keys in them. A key is random bytes, which may begin or end with what looks like a space.
func sameKey(a, b []byte) bool {
	one, err := vault.ParseSecret(a)
	if err != nil {
		return bytes.Equal(a, b)
	}
	other, err := vault.ParseSecret(b)
	return err == nil && bytes.Equal(one, other)
}

// setAside keeps a SQLite database that is there, with the files beside it.
func setAside(dir *stateDir, path string) error {
	aside := dir.join("before-restore-" + time.Now().UTC().Format("20060102T150405.000000"))
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := os.MkdirAll(aside, 0o700); err != nil {
			return fmt.Errorf("cannot keep the existing database: %w", err)
		}
		if err := os.Rename(name, filepath.Join(aside, filepath.Base(name))); err != nil {
			return fmt.Errorf("cannot keep the existing database: %w", err)
		}
	}
	return nil
}

// unpack reads a backup into a folder. It takes the files that backup writes and no others.
func unpack(from, work string) (m manifest, key []byte, err error) {
	f, err := os.Open(from)
	if err != nil {
		return m, nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := tar.NewReader(f)
	seen := map[string]bool{}
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return m, nil, err
		}
		seen[h.Name] = true
		switch h.Name {
		case manifestFile:
			err = json.NewDecoder(io.LimitReader(r, longestInclude)).Decode(&m)
		case keyFile:
			key, err = io.ReadAll(io.LimitReader(r, longestInclude))
		case databaseFile:
			err = writeNew(filepath.Join(work, databaseFile), r)
		default:
			err = fleet.Errorf(fleet.CodeInvalid, "not a backup of bothy: it contains %.80q", h.Name)
		}
		if err != nil {
			return m, nil, err
		}
	}
	if !seen[manifestFile] || !seen[databaseFile] || m.Format != backupFormat || m.Instance == "" || m.Key != seen[keyFile] {
		return m, nil, fleet.Errorf(fleet.CodeInvalid, "not a complete backup of bothy, or one of a newer version")
	}
	return m, key, nil
}

func writeNew(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Sync(), f.Close())
}

// restoredFile says why the next start is in safe mode.
const restoredFile = "restored"

// restored is why this start is to be in safe mode, "" when it is not.
func (d *stateDir) restored() (string, error) {
	text, err := os.ReadFile(d.join(restoredFile))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(text)), err
}

// began notes, once safe mode is on where it is to be, which installation this folder is of.
func (d *stateDir) began(instance string) error {
	err := os.Remove(d.join(restoredFile))
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, d.remember(instance))
}
