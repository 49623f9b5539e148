package terraform

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"

	"github.com/bothy-env/bothy/provisioner"
)

// inputsFile is read by Terraform by itself. Its name comes last among the
// files of its kind that a module could bring, but copyModule brings none anyway.
const inputsFile = "bothy.auto.tfvars.json"

var (
	environmentForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	inputForm       = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,127}$`)
	hashesBlock     = regexp.MustCompile(`(?s)\n[ \t]*hashes[ \t]*=[ \t]*\[.*?\]`)
)

// standardInput is the variable that every blueprint declares for what bothy decides.
const standardInput = "bothy"

// metaArguments cannot be names of variables in Terraform.
var metaArguments = map[string]bool{
	"source": true, "version": true, "providers": true, "count": true, "for_each": true, "lifecycle": true, "depends_on": true, "locals": true,
}

// standard is the value of the variable "bothy".
type standard struct {
	Instance    string            `json:"instance"`
	Environment string            `json:"environment"`
	Name        string            `json:"name"`
	Size        string            `json:"size"`
	CPUs        float64           `json:"cpus"`
	MemoryMiB   int64             `json:"memory_mib"`
	Pids        int64             `json:"pids"`
	Image       string            `json:"image"`
	Network     string            `json:"network"`
	Root        bool              `json:"root"`
	Labels      map[string]string `json:"labels"`
	Engine      string            `json:"engine"`

	SecurityOpts []string             `json:"security_opts"`
	Ulimits      []provisioner.Ulimit `json:"ulimits"`
}

// encodeInputs returns the content of inputsFile. Values are data to Terraform:
// in JSON of this kind "${...}" is text.
func (d *Driver) encodeInputs(spec provisioner.Spec) ([]byte, error) {
	values := make(map[string]any, len(spec.Inputs)+1)
	for name, value := range spec.Inputs {
		if name == standardInput || metaArguments[name] || !inputForm.MatchString(name) {
			return nil, fmt.Errorf("input %q: a blueprint cannot have an input of that name", name)
		}
		switch value.(type) {
		case string, int64, float64, bool:
			values[name] = value
		default:
			return nil, fmt.Errorf("input %q: %T is not a string, int64, float64 or bool", name, value)
		}
	}
	values[standardInput] = standard{
		Instance: spec.Owner.Instance, Environment: spec.Owner.Environment, Name: spec.Owner.ResourceName(),
		Size: spec.Sandbox.Size, CPUs: spec.Sandbox.CPUs, MemoryMiB: spec.Sandbox.MemoryMiB, Pids: spec.Sandbox.Pids,
		Image: spec.Sandbox.Image, Network: string(spec.Sandbox.Network), Root: spec.Sandbox.Root,
		Labels: spec.Labels, Engine: cmp.Or(spec.Sandbox.Engine, d.cfg.EngineHost),
		// Never null, which a blueprint's expressions would stumble over.
		SecurityOpts: append([]string{}, spec.Sandbox.SecurityOpts...), Ulimits: append([]provisioner.Ulimit{}, spec.Sandbox.Ulimits...),
	}
	return json.Marshal(values)
}

// works is the folder of the working directories, each named by its environment.
func (d *Driver) works() string { return Works(d.cfg.WorkDir).dir() }

func (d *Driver) workdir(environment string) string { return filepath.Join(d.works(), environment) }

// fillWorkdir makes a working directory from a template: module, inputs, and a
// link to what init made.
func (d *Driver) fillWorkdir(dir string, t *template, spec provisioner.Spec) error {
	inputs, err := d.encodeInputs(spec)
	if err != nil {
		return provisioner.Errorf(provisioner.Permanent, "write inputs", "%w", err)
	}
	const op = "fill working directory"
	if err := privateDir(dir); err != nil {
		return fileError(op, err)
	}
	if err := copyModule(t.path, dir); err != nil {
		return fileError(op, err)
	}
	link := filepath.Join(dir, dataDir)
	// A copy of the folder, as a backup makes it, has the template's own files in the link's place.
	if err := removeAny(link); err != nil {
		return fileError(op, err)
	}
	if err := os.Symlink(filepath.Join(t.path, dataDir), link); err != nil {
		return fileError(op, err)
	}
	if err := relaxLock(filepath.Join(dir, lockFile)); err != nil {
		return fileError(op, err)
	}
	if err := replaceFile(filepath.Join(dir, inputsFile), inputs, 0o600); err != nil {
		return fileError(op, err)
	}
	return nil
}

// relaxLock takes the checksums out of a working directory's lock file: with
// them each command reads and hashes the whole provider, 108 MB. Init has checked them, and
// a template is not used any more when a provider's file has changed since (see stamp).
func relaxLock(path string) error {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a module without providers
	}
	if err != nil {
		return err
	}
	return replaceFile(path, hashesBlock.ReplaceAll(data, nil), 0o600)
}
