package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/bothy-env/bothy/e2e/rig"
	"github.com/bothy-env/bothy/modules"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

// byHand does what bothy does, the way a person would: a new directory, `terraform init && terraform apply`, later `terraform destroy`.
// It favours the person: one network, created before anything is measured, serves all, the image's id is known, and Terraform does not
// look for a newer version of itself.
type byHand struct {
	dir, terraform, network, image, engine string
	// label marks everything that is created, for the sweep at the end.
	label string
	made  atomic.Int64
}

const labelName = "bothy.bench"

func newByHand(ctx context.Context, b *bench) (*byHand, error) {
	h := &byHand{dir: filepath.Join(b.dir, "hand"), network: b.id, label: labelName + "=" + b.id, engine: "unix:///var/run/docker.sock"}
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		h.engine = host
	}
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	var err error
	if h.terraform, err = findTerraform(); err != nil {
		return nil, err
	}
	if h.image, err = docker(ctx, "image", "inspect", "--format", "{{.Id}}", "bothy/build"); err != nil {
		return nil, err
	}
	if _, err = docker(ctx, "network", "create", "--label", h.label, h.network); err != nil {
		return nil, err
	}
	// The mirror that bothyd's providers come from.
	config, mirror := "", filepath.Join(rig.CacheDir(), "mirror")
	if _, err := os.Stat(mirror); err == nil {
		config = fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror)
	}
	if err := os.WriteFile(h.config(), []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("write Terraform's configuration: %w", err)
	}
	return h, nil
}

func (h *byHand) config() string { return filepath.Join(h.dir, "terraform.rc") }

// findTerraform returns the Terraform that bothyd uses.
func findTerraform() (string, error) {
	for _, path := range terraform.Candidates("", filepath.Join(rig.CacheDir(), "bin")) {
		return path, nil
	}
	return "", errors.New("neither terraform nor tofu is installed; run: make setup")
}

// project makes a new directory with the module and the values of one small environment.
func (h *byHand) project() (string, error) {
	name := fmt.Sprintf("%s-%d", h.network, h.made.Add(1))
	dir := filepath.Join(h.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	files, err := fs.Glob(modules.Builtin, "build/*.tf")
	if err != nil {
		return "", fmt.Errorf("list the module: %w", err)
	}
	for _, file := range files {
		data, err := modules.Builtin.ReadFile(file)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(file)), data, 0o600)
		}
		if err != nil {
			return "", fmt.Errorf("copy the module: %w", err)
		}
	}
	key, value, _ := strings.Cut(h.label, "=")
	// The size "small" of modules/build/blueprint.yaml, and as many labels as bothy sets.
	labels := map[string]string{key: value}
	for _, name := range []string{"environment", "blueprint", "owner", "created", "generation", "mac"} {
		labels[labelName+"."+name] = "0123456789abcdef"
	}
	values, err := json.Marshal(map[string]any{
		"bothy": map[string]any{
			"instance": h.network, "environment": name, "name": name, "size": "small", "cpus": 1, "memory_mib": 1024, "pids": 512,
			"image": h.image, "network": h.network, "root": true, "labels": labels, "engine": h.engine,
			"security_opts": []string{"no-new-privileges:true"}, "ulimits": []any{},
		},
		"shm_mib": 64,
	})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "bench.auto.tfvars.json"), values, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("write the values: %w", err)
	}
	return dir, nil
}

func (h *byHand) run(ctx context.Context, dir string, args ...string) error {
	env := append(rig.CleanEnv(), "TF_CLI_CONFIG_FILE="+h.config(), "CHECKPOINT_DISABLE=1")
	return runCommand(ctx, dir, env, h.terraform, args...)
}

func (h *byHand) create(ctx context.Context, dir string) error {
	if err := h.run(ctx, dir, "init", "-input=false", "-no-color"); err != nil {
		return err
	}
	return h.run(ctx, dir, "apply", "-auto-approve", "-input=false", "-no-color")
}

func (h *byHand) destroy(ctx context.Context, dir string) error {
	if err := h.run(ctx, dir, "destroy", "-auto-approve", "-input=false", "-no-color"); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove a directory: %w", err)
	}
	return nil
}

func docker(ctx context.Context, args ...string) (string, error) {
	return commandOutput(ctx, "", os.Environ(), "docker", args...)
}

// sweep removes everything with a label from Docker. With mustBeGone, finding anything is an error.
func sweep(ctx context.Context, label string, mustBeGone bool) error {
	var errs []error
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "-aq"}, []string{"rm", "-fv"}},
		{[]string{"network", "ls", "-q"}, []string{"network", "rm"}},
	} {
		found, err := docker(ctx, append(kind.list, "--filter", "label="+label)...)
		ids := strings.Fields(found)
		if err != nil || len(ids) == 0 {
			errs = append(errs, err)
			continue
		}
		if mustBeGone {
			errs = append(errs, fmt.Errorf("left at Docker (docker %s) with label %s: %v", strings.Join(kind.list, " "), label, ids))
		}
		_, err = docker(ctx, append(kind.remove, ids...)...)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
