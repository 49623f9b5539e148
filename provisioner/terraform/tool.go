package terraform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/hashicorp/go-version"
	tfjson "github.com/hashicorp/terraform-json"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform/confine"
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
	for _, path := range Candidates(d.cfg.Binary, d.cfg.BinDir) {
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

// Candidates returns the programs that may be Terraform, the first to be tried first: binary alone, if it is set; else terraform and
// tofu on PATH, then what setup built in binDir ("" for none).
func Candidates(binary, binDir string) []string {
	if binary != "" {
		return []string{binary}
	}
	var found []string
	for _, name := range []string{"terraform", "tofu"} {
		if path, err := exec.LookPath(name); err == nil {
			found = append(found, path)
		}
	}
	if binDir != "" {
		for _, name := range []string{"tofu", "terraform"} {
			if path := filepath.Join(binDir, name); executable(path) {
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

// fitsIn refuses a script where programs run in a box, which holds no shell and not what the script leads to.
func (d *Driver) fitsIn(ctx context.Context, path string) error {
	if mode, _ := d.box.Mode(ctx); mode == confine.None {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read from
	begin := make([]byte, 2)
	if n, err := f.Read(begin); err != nil || !bytes.Equal(begin[:n], []byte("#!")) {
		return nil // what else is wrong with it, running it tells
	}
	return errors.New("it is a script, which cannot run confined: set terraform.binary to the program that it starts")
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

	if err := d.fitsIn(ctx, path); err != nil {
		return tool{}, err
	}
	var said bytes.Buffer
	out, err := d.do(ctx, job{tool: tool{Path: path}, args: []string{"version", "-json"}, run: "version", stdout: &said})
	if err != nil {
		return tool{}, fmt.Errorf("it does not tell its version: %s", oneLine(out.sentence(err), 200))
	}
	var told tfjson.VersionOutput
	// OpenTofu may say something in front of it.
	if err := json.Unmarshal(said.Bytes()[max(0, bytes.IndexByte(said.Bytes(), '{')):], &told); err != nil {
		return tool{}, fmt.Errorf("it does not tell its version: %w", err)
	}
	version, err := version.NewVersion(told.Version)
	if err != nil {
		return tool{}, fmt.Errorf("it does not tell its version: %w", err)
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
