package main

import (
	"archive/tar"
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
	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store/dump"
)

// manifest says what a backup is of. It is the first file of the archive.
type manifest struct {
	Format   int       `json:"format"`
	Instance string    `json:"instance"`
	Made     time.Time `json:"made"`
	Version  string    `json:"version"`
	Database string    `json:"database"` // "sqlite" or "postgres"
	Key      bool      `json:"key"`
	// Events and Receipts are how far its records are.
	Events   int64 `json:"events"`
	Receipts int64 `json:"receipts"`
}

// The files of a backup.
const (
	manifestFile   = "manifest.json"
	databaseFile   = "database"
	keyFile        = "key"
	backupFormat   = 1
	longestInclude = 4 << 10 // of the manifest and the key, in bytes
)

func newBackupCommand(file *string) *cobra.Command {
	var withoutKey bool
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Back up the database and the key",
		Long: "Writes a consistent copy of the database, the key and the id of the installation to a new file.\n" +
			"The daemon may run during the backup. The key decrypts every secret and state: protect the file.\n" +
			"--without-key omits the key. Store the key elsewhere, because the backup is useless without it.\n" +
			"With PostgreSQL, pg_dump is required.",
		Example: "  bothyd backup /srv/backup/bothy-$(date +%F).tar",
		Args:    cobra.ExactArgs(1),
		RunE: withBackup(file, func(ctx context.Context, cfg config.Config, path string) (string, error) {
			m, err := backup(ctx, cfg, path, !withoutKey)
			return fmt.Sprintf("Backed up installation %s to %s.", m.Instance, path), err
		}),
	}
	cmd.Flags().BoolVar(&withoutKey, "without-key", false, "Omit the key")
	return cmd
}

// withBackup is what a command does that has one argument, the file of a backup: do gives the sentence that it prints.
func withBackup(file *string, do func(ctx context.Context, cfg config.Config, path string) (string, error)) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		cfg, _, err := config.Load(cmd.Flags(), os.Environ(), *file)
		if err != nil {
			return err
		}
		sentence, err := do(cmd.Context(), cfg, args[0])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(cmd.OutOrStdout(), sentence)
		return err
	}
}

// backup writes a backup whole or not at all.
func backup(ctx context.Context, cfg config.Config, to string, withKey bool) (m manifest, err error) {
	if _, err := os.Lstat(to); !errors.Is(err, os.ErrNotExist) {
		return m, errors.Join(err, fleet.Errorf(fleet.CodeConflict, "cannot write the backup %s: the file exists", to))
	}
	work, err := os.MkdirTemp(filepath.Dir(to), ".bothy-backup-*") // 0700
	if err != nil {
		return m, fmt.Errorf("cannot write backup: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()

	dir := &stateDir{path: cfg.StateDir}
	m = manifest{
		Format: backupFormat, Made: time.Now().UTC().Truncate(time.Second), Version: version, Key: withKey, Database: databaseKind(cfg.Database),
	}
	if m.Instance, err = dir.installation(); err != nil {
		return m, err
	}
	if m.Instance == "" {
		return m, fleet.Errorf(fleet.CodeNotFound, "cannot back up: no bothyd has run with state directory %s", dir.path)
	}
	if withKey {
		key, err := os.ReadFile(dir.join(keyFile))
		if err == nil {
			err = os.WriteFile(filepath.Join(work, keyFile), key, 0o600)
		}
		if err != nil {
			return m, fmt.Errorf("cannot back up the installation's key: %w", err)
		}
	}
	if m.Events, m.Receipts, err = dump.Write(ctx, cfg.Database, filepath.Join(work, databaseFile)); err != nil {
		return m, err
	}
	return m, pack(work, to, m)
}

// databaseKind is how a manifest calls the kind of database that an address is of.
func databaseKind(dsn string) string {
	if strings.HasPrefix(dsn, "sqlite://") {
		return "sqlite"
	}
	return "postgres"
}

// pack puts the manifest and the files of a folder into an archive.
func pack(work, to string, m manifest) (err error) {
	text, err := json.MarshalIndent(m, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(work, manifestFile), text, 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot write backup: %w", err)
	}
	part := filepath.Join(work, "backup.tar")
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot write backup: %w", err)
	}
	w := tar.NewWriter(f)
	names := []string{manifestFile, databaseFile}
	if m.Key {
		names = append(names, keyFile)
	}
	for _, name := range names {
		err = errors.Join(err, packFile(w, work, name))
	}
	if err = errors.Join(err, w.Close(), f.Sync(), f.Close()); err == nil {
		err = os.Rename(part, to)
	}
	if err != nil {
		return fmt.Errorf("cannot write backup: %w", err)
	}
	return nil
}

func packFile(w *tar.Writer, work, name string) error {
	f, err := os.Open(filepath.Join(work, name))
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o600, Size: info.Size(), ModTime: info.ModTime()})
	}
	if err == nil {
		_, err = io.Copy(w, f)
	}
	return errors.Join(err, f.Close())
}
