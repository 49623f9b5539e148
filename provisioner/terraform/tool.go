package terraform

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/bothy-env/bothy/provisioner"
)

// minimum is the oldest Terraform that blueprints may count on: 1.4 has terraform_data.
var minimum = []int{1, 4}

// tool is a terraform or tofu that runs.
type tool struct {
	Path    string `json:"path"`
	Version string `json:"version"`
	Stamp   stamp  `json:"stamp"`
}

func (t tool) String() string { return filepath.Base(t.Path) + " " + t.Version }

// tool finds Terraform anew each time, since it may come and go while the
// daemon runs, but asks one and the same file for its version only once.
func (d *Driver) tool(ctx context.Context) (tool, error) {
	const op = "find Terraform"
	why := "there is no terraform or tofu on PATH: install either, or let `make setup` build one"
	for _, path := range d.candidates() {
		t, err := d.examine(ctx, path)
		if err == nil {
			return t, nil
		}
		if ctx.Err() != nil {
			return tool{}, &provisioner.Error{Class: provisioner.Cancelled, Op: op, Err: context.Cause(ctx)}
		}
		why = fmt.Sprintf("%s cannot be used: %v", path, err)
	}
	return tool{}, &provisioner.Error{Class: provisioner.Transient, Op: op, Sentence: why, Unavailable: true}
}

func (d *Driver) candidates() []string {
	if d.cfg.Binary != "" {
		return []string{d.cfg.Binary}
	}
	var found []string
	for _, name := range []string{"terraform", "tofu"} {
		if path, err := exec.LookPath(name); err == nil {
			found = append(found, path)
		}
	}
	if d.cfg.BinDir != "" {
		for _, name := range []string{"tofu", "terraform"} {
			if path := filepath.Join(d.cfg.BinDir, name); executable(path) {
				found = append(found, path)
			}
		}
	}
	return found
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// printable is an error's text. One that terraform-exec (v0.26.0) gives when the context had ended before the
// command began holds no cause, and panics when it is printed.
func printable(ctx context.Context, err error) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprint("cancelled before it began: ", ctx.Err())
		}
	}()
	return err.Error()
}

// examine checks that path is a Terraform that runs and is new enough.
func (d *Driver) examine(ctx context.Context, path string) (tool, error) {
	now, err := stampOf(path)
	if err != nil {
		return tool{}, err
	}
	d.mu.Lock()
	known, ok := d.tools[path]
	d.mu.Unlock()
	if ok && known.Stamp == now {
		return known, nil
	}

	env := d.environment("version", d.cfg.WorkDir)
	// Ours may not be written yet, and OpenTofu says so in front of its version.
	env["TF_CLI_CONFIG_FILE"] = os.DevNull
	tf, err := d.newTerraform(path, d.cfg.WorkDir, env)
	if err != nil {
		return tool{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
	defer cancel()
	version, _, err := tf.Version(ctx, true)
	if err != nil {
		return tool{}, fmt.Errorf("it does not tell its version: %s", oneLine(printable(ctx, err), 200))
	}
	if slices.Compare(version.Segments(), minimum) < 0 {
		return tool{}, fmt.Errorf("it is version %s; install %d.%d or newer", version, minimum[0], minimum[1])
	}
	t := tool{Path: path, Version: version.String(), Stamp: now}
	d.mu.Lock()
	d.tools[path] = t
	d.mu.Unlock()
	return t, nil
}
