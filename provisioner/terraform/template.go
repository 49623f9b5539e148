package terraform

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	tfjson "github.com/hashicorp/terraform-json"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

const (
	lockFile = ".terraform.lock.hcl"
	dataDir  = ".terraform"
)

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// template is a blueprint after init. Its record is written last, so a
// template that has one is whole.
type template struct {
	// Dir is the folder's name below templates.
	Dir string `json:"dir"`
	// Tool is the Terraform that made it.
	Tool      tool       `json:"tool"`
	Providers []provider `json:"providers"`

	path string
}

// provider is one provider that a blueprint uses.
type provider struct {
	// Address is host/namespace/name.
	Address string `json:"address"`
	Version string `json:"version"`
	Binary  string `json:"binary"`
	Stamp   stamp  `json:"stamp"`
}

// file is what is one and the same provider to all blueprints that use it.
type file struct {
	address string
	stamp   stamp
}

func (p provider) file() file { return file{p.Address, p.Stamp} }

// Prepare implements provisioner.Driver.
func (d *Driver) Prepare(ctx context.Context, bp provisioner.Blueprint) error {
	t, err := d.template(ctx, bp)
	if err != nil {
		return err
	}
	if d.warm != nil {
		d.warm.spare(t.Providers)
	}
	return nil
}

// template returns a blueprint's template, made anew when there is none or when Terraform or a
// provider is not the one that it was made with.
func (d *Driver) template(ctx context.Context, bp provisioner.Blueprint) (*template, error) {
	return d.templateFrom(ctx, bp, true)
}

// templateToDestroy returns the template. One that is not there is made anew only from the mirror. ErrUnprepared: it cannot.
func (d *Driver) templateToDestroy(ctx context.Context, bp provisioner.Blueprint) (*template, error) {
	t, err := d.templateFrom(ctx, bp, d.cfg.CLIConfig == "")
	if err == nil || ctx.Err() != nil || provisioner.Is(err, provisioner.Cancelled) {
		return t, err
	}
	return nil, &provisioner.Error{
		Class: provisioner.ClassOf(err), Op: "destroy environment", Sentence: provisioner.Sentence(err), Unavailable: provisioner.IsUnavailable(err),
		Err: fmt.Errorf("%w: %w", provisioner.ErrUnprepared, err),
	}
}

// templateFrom returns the template, and makes it when it is not there and may be made, which may ask a registry.
func (d *Driver) templateFrom(ctx context.Context, bp provisioner.Blueprint, mayMake bool) (*template, error) {
	const op = "prepare blueprint"
	if !digestForm.MatchString(bp.Digest) {
		return nil, provisioner.Errorf(provisioner.Permanent, op, "digest %q is not sha256: and 64 hex digits", bp.Digest)
	}
	current, err := d.tool(ctx)
	if err != nil {
		return nil, err
	}
	unlock, err := d.digests.lock(ctx, bp.Digest)
	if err != nil {
		return nil, &provisioner.Error{Class: provisioner.Cancelled, Op: op, Err: err}
	}
	defer unlock()
	if err := d.makeFolders(); err != nil {
		return nil, fileError(op, err)
	}
	if t, ok := d.readTemplate(bp.Digest, current); ok {
		return t, nil
	}
	if !mayMake {
		return nil, provisioner.Errorf(provisioner.Transient, op, "blueprint %s@%s is not prepared, and a destroy asks no registry", bp.Name, bp.Version)
	}
	return d.makeTemplate(ctx, bp, current)
}

func (d *Driver) templates() string { return filepath.Join(d.cfg.WorkDir, "templates") }

func (d *Driver) recordPath(digest string) string {
	return filepath.Join(d.templates(), strings.TrimPrefix(digest, "sha256:")+".json")
}

func (d *Driver) readTemplate(digest string, current tool) (*template, bool) {
	data, err := os.ReadFile(d.recordPath(digest))
	if err != nil {
		return nil, false
	}
	var t template
	if err := json.Unmarshal(data, &t); err != nil || t.Dir != filepath.Base(t.Dir) || t.Tool != current {
		return nil, false
	}
	t.path = filepath.Join(d.templates(), t.Dir)
	if _, err := os.Stat(filepath.Join(t.path, lockFile)); err != nil && len(t.Providers) > 0 {
		return nil, false
	}
	for _, p := range t.Providers {
		if now, err := stampOf(p.Binary); err != nil || now != p.Stamp {
			return nil, false
		}
	}
	return &t, true
}

func (d *Driver) makeTemplate(ctx context.Context, bp provisioner.Blueprint, current tool) (_ *template, err error) {
	const op = "prepare blueprint"
	name := strings.TrimPrefix(bp.Digest, "sha256:")
	dir, err := os.MkdirTemp(d.templates(), name+"-")
	if err != nil {
		return nil, fileError(op, err)
	}
	defer func() {
		if err != nil {
			err = keepClass(err, removeTree(dir))
		}
	}()
	if err := copyModule(bp.Dir, dir); err != nil {
		return nil, fileError(op, fmt.Errorf("copy blueprint %s@%s: %w", bp.Name, bp.Version, err))
	}
	providers, err := d.initialise(ctx, dir, current)
	if err != nil {
		return nil, err
	}
	t := &template{Dir: filepath.Base(dir), Tool: current, Providers: providers, path: dir}
	record, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode template record: %w", err)
	}
	if err := readOnly(dir); err != nil {
		return nil, fileError(op, err)
	}
	if err := replaceFile(d.recordPath(bp.Digest), record, 0o400); err != nil {
		return nil, fileError(op, err)
	}
	return t, nil
}

// initialise runs init, judges what it installed before any of it runs, and has it validated.
func (d *Driver) initialise(ctx context.Context, dir string, current tool) ([]provider, error) {
	const op = "prepare blueprint"
	if err := d.writeCLIConfig(); err != nil {
		return nil, fileError(op, err)
	}
	pinned, err := os.ReadFile(filepath.Join(dir, lockFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fileError(op, err)
	}
	j := job{tool: current, dir: dir, run: "init-" + filepath.Base(dir), download: d.cfg.CLIConfig != ""}
	j.args = []string{"init", "-no-color", "-input=false", "-backend=true", "-get=true", "-upgrade=false"}
	out, err := d.do(ctx, j)
	if err != nil {
		failed := d.failure(ctx, op, out, err, initPatterns)
		if failed.Unavailable {
			failed.Sentence += "; for want of a provider, fill the mirror (terraform.mirror) with: make setup"
		}
		return nil, failed
	}
	// A lock file that came with the blueprint pins its providers; init must not have had to add to it.
	if after, err := os.ReadFile(filepath.Join(dir, lockFile)); pinned != nil && (err != nil || !bytes.Equal(pinned, after)) {
		return nil, provisioner.Errorf(provisioner.Permanent, op, "the providers here are not those that the blueprint's %s names", lockFile)
	}
	if _, err := os.Stat(filepath.Join(dir, dataDir, "terraform.tfstate")); err == nil {
		return nil, provisioner.Errorf(provisioner.Permanent, op, "the blueprint configures a backend; bothy keeps its states itself")
	}
	providers, err := installed(dir)
	if err != nil {
		return nil, fileError(op, fmt.Errorf("list installed providers: %w", err))
	}
	for _, p := range providers {
		if err := d.judge(p); err != nil {
			return nil, err
		}
	}
	var said bytes.Buffer
	j.args, j.download, j.stdout = []string{"validate", "-no-color", "-json"}, false, &said
	out, runErr := d.do(ctx, j)
	var found tfjson.ValidateOutput
	// It says what is wrong and exits with 1, or says nothing.
	if err := json.Unmarshal(said.Bytes(), &found); err != nil {
		return nil, d.failure(ctx, op, out, cmp.Or(runErr, err), applyPatterns)
	}
	if !found.Valid {
		var exit *confine.ExitError
		if runErr != nil && !errors.As(runErr, &exit) {
			return nil, d.failure(ctx, op, out, runErr, applyPatterns)
		}
		return nil, &provisioner.Error{Class: provisioner.Permanent, Op: op, Sentence: invalid(&found)}
	}
	if runErr != nil {
		return nil, d.failure(ctx, op, out, runErr, applyPatterns)
	}
	return providers, nil
}

// invalid returns the first error that validate found, with its place.
func invalid(found *tfjson.ValidateOutput) string {
	for _, d := range found.Diagnostics {
		if d.Severity != tfjson.DiagnosticSeverityError {
			continue
		}
		place := ""
		if d.Range != nil {
			place = fmt.Sprintf("%s:%d:%d: ", d.Range.Filename, d.Range.Start.Line, d.Range.Start.Column)
		}
		return place + diagnostic{Summary: d.Summary, Detail: d.Detail}.sentence()
	}
	return "terraform validate refuses it without saying why"
}

// installed finds the providers that init put in place.
func installed(dir string) ([]provider, error) {
	root := filepath.Join(dir, dataDir, "providers")
	// host/namespace/name/version/platform/terraform-provider-*; the platform may be a link into the mirror.
	binaries, err := fs.Glob(os.DirFS(root), "*/*/*/*/*/terraform-provider-*")
	if err != nil {
		return nil, err
	}
	var found []provider
	for _, rel := range binaries {
		// The path through the links, not the file behind: a link that later leads elsewhere changes the stamp.
		binary := filepath.Join(root, rel)
		s, err := stampOf(binary)
		if err != nil {
			return nil, err
		}
		part := strings.Split(rel, "/")
		found = append(found, provider{Address: strings.Join(part[:3], "/"), Version: part[3], Binary: binary, Stamp: s})
	}
	return found, nil
}

// discardUnnamedTemplates removes what no record names: templates that were
// half-made when the daemon ended, and those replaced since. Only New calls it, since running
// Terraforms may be using a replaced one.
func (d *Driver) discardUnnamedTemplates() error {
	entries, err := os.ReadDir(d.templates())
	if err != nil {
		return fmt.Errorf("list templates: %w", err)
	}
	named := map[string]bool{}
	for _, e := range entries {
		var t template
		data, err := os.ReadFile(filepath.Join(d.templates(), e.Name()))
		if err == nil && json.Unmarshal(data, &t) == nil {
			named[t.Dir], named[e.Name()] = true, true
		}
	}
	for _, e := range entries {
		if named[e.Name()] {
			continue
		}
		if err := removeTree(filepath.Join(d.templates(), e.Name())); err != nil {
			return fmt.Errorf("discard half-made template: %w", err)
		}
	}
	return nil
}

// keepClass joins a clean-up's error to the one that matters.
func keepClass(err, cleanup error) error {
	if cleanup == nil {
		return err
	}
	return errors.Join(err, cleanup)
}
