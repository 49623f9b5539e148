package terraform

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// Driver is a provisioner.Driver. Use New; Close it when done.
type Driver struct {
	cfg  Config
	log  *slog.Logger
	tmp  string
	box  *confine.Confiner
	warm *pool
	runs counters

	// environments and digests are locked by name: one Terraform per
	// environment, one init per digest at a time.
	environments, digests keyedLock
	replaced              replaced

	mu    sync.Mutex
	tools map[string]tool
}

var (
	_ provisioner.Driver  = (*Driver)(nil)
	_ provisioner.Settler = (*Driver)(nil)
	_ provisioner.Keeper  = (*Driver)(nil)
)

// New opens the driver's folder, ends processes that an earlier driver on it
// left behind, and discards half-made templates. It does not need Terraform to be there: see Ready.
func New(cfg Config) (*Driver, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	d := &Driver{cfg: cfg, log: cfg.Logger, tools: map[string]tool{}}
	if err := d.makeFolders(); err != nil {
		return nil, fmt.Errorf("open terraform driver's directory: %w", err)
	}
	if n := endMarked(cfg.WorkDir, "", 0); n > 0 {
		cfg.Logger.Warn("ended processes that an earlier daemon left behind", "processes", n)
	}
	tmp, err := socketDir(cfg.WorkDir)
	if err != nil {
		return nil, fmt.Errorf("open terraform driver's directory for sockets: %w", err)
	}
	d.tmp = tmp
	d.box = confine.New(confine.Config{Policy: cfg.Confinement, Name: shortHash(cfg.WorkDir), Logger: cfg.Logger})
	if cfg.Warm && canWarm {
		d.warm = newPool(cfg, tmp, d.box)
	}
	if err := d.discardUnnamedTemplates(); err != nil {
		return nil, err
	}
	return d, nil
}

// Close ends the warm processes and waits for them, at most until ctx ends. The
// caller has stopped using the driver.
func (d *Driver) Close(ctx context.Context) error {
	if d.warm != nil {
		if err := d.warm.close(ctx); err != nil {
			return fmt.Errorf("end warm provider processes: %w", err)
		}
	}
	if err := os.RemoveAll(d.tmp); err != nil {
		return fmt.Errorf("remove directory for sockets: %w", err)
	}
	return nil
}

// Ready implements provisioner.Driver: there is a Terraform that runs and is
// new enough, it can be confined if it must be, and the driver's folder can be written.
func (d *Driver) Ready(ctx context.Context) error {
	if err := d.box.Allowed(ctx); err != nil {
		return &provisioner.Error{Class: provisioner.Transient, Op: "confine Terraform", Sentence: err.Error(), Unavailable: true, Err: err}
	}
	if _, err := d.tool(ctx); err != nil {
		return err
	}
	if err := d.makeFolders(); err != nil {
		return fileError("make the driver's directories", err)
	}
	probe := filepath.Join(d.cfg.WorkDir, ".ready")
	err := os.WriteFile(probe, []byte("written to see that it can be\n"), 0o600)
	if err := errors.Join(err, os.Remove(probe)); err != nil {
		return fileError("write to the driver's directory", err)
	}
	return nil
}

// makeFolders makes what is missing of the driver's own: whoever tidies the machine may have removed it.
func (d *Driver) makeFolders() error {
	for _, dir := range []string{d.cfg.WorkDir, d.works(), d.templates()} {
		if err := privateDir(dir); err != nil {
			return err
		}
	}
	if d.tmp == "" {
		return nil // not yet: see socketDir
	}
	if err := os.Mkdir(d.tmp, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := os.Stat(d.cliConfigFile()); errors.Is(err, fs.ErrNotExist) {
		return d.writeCLIConfig()
	}
	return nil
}

// privateDir makes a folder that only its owner may enter, and corrects one that is not.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// socketDir makes the empty folder that provider processes put their sockets
// in. A socket's path ends at 108 bytes, so a deep WorkDir gets one in the
// system's folder for temporary files, under a name of its own that a later driver finds again.
func socketDir(workDir string) (string, error) {
	dir := socketPath(workDir)
	// Lstat and Mkdir, not MkdirAll: in a folder that all may write to, a link
	// put there by someone else must not be followed.
	info, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return "", err
	case !info.IsDir() || !ownedByUs(info):
		return "", fmt.Errorf("%s is not a directory that belongs to this user", dir)
	default:
		if err := os.RemoveAll(dir); err != nil {
			return "", err
		}
	}
	return dir, os.Mkdir(dir, 0o700)
}

// socketPath is where the folder for sockets of a WorkDir lies.
func socketPath(workDir string) string {
	dir := filepath.Join(workDir, "tmp")
	if len(dir) > 70 {
		dir = filepath.Join(os.TempDir(), fmt.Sprintf("bothy-%d-%s", os.Getuid(), shortHash(workDir)))
		if len(dir) > 70 {
			dir = filepath.Join("/tmp", filepath.Base(dir))
		}
	}
	return dir
}

// fileError returns an error of ours about the file system its class.
func fileError(op string, err error) *provisioner.Error {
	class, unavailable := provisioner.Transient, true
	if noSpace(err) {
		class, unavailable = provisioner.Quota, false
	}
	return &provisioner.Error{Class: class, Op: op, Sentence: err.Error(), Unavailable: unavailable, Err: err}
}
