package blueprint_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/fleet"
)

const goodManifest = `schema: 1
name: web
version: 1.2.0
description: A web server.
image: bothy/web
users: [dev]
workspace: /workspace
ttl: {default: 90m, max: 2d}
currency: EUR
sizes:
  one: {cpus: 0.5, memory: 512MiB, pids: 64, rate_per_hour: "0.123456"}
  two: {cpus: 2, memory: 2GiB, pids: 128, rate_per_hour: "12"}
default_size: two
inputs:
  port: {type: integer, min: 1, max: 65535}
  mode: {type: string, enum: [fast, safe], default: safe, description: How.}
  ratio: {type: number, default: 2}
  debug: {type: boolean, default: false}
  tag: {type: string, pattern: "v[0-9]+", default: v1, max: 9}
  shm: {type: integer, default: 64, min: 16, max: 512}
`

const goodTerraform = `terraform {
  required_providers {
    docker = { source = "kreuzwerker/docker", version = ">= 4.0" }
  }
}
provider "docker" {
  host = var.bothy.engine
}
variable "bothy" { type = any }
variable "port" { type = number }
variable "mode" { type = string }
variable "ratio" { type = number }
variable "debug" { type = bool }
variable "tag" { type = string }
variable "shm" { type = number }
resource "docker_container" "web" {
  name         = var.bothy.name
  image        = var.bothy.image
  network_mode = var.bothy.network
  ipc_mode      = "private"
  cgroupns_mode = "private"
  init          = true
  cpu_period    = 100000
  cpu_quota     = floor(var.bothy.cpus * 100000)
  memory        = var.bothy.memory_mib
  memory_swap   = var.bothy.memory_mib
  security_opts = var.bothy.security_opts
  log_driver    = "json-file"
  log_opts      = { max-size = "10m", max-file = "3" }
  tmpfs         = { "/run/bothy" = "rw,nosuid,nodev,noexec,size=1m,mode=0700,uid=1000,gid=1000" }
  capabilities {
    drop = ["ALL"]
  }
  dynamic "ulimit" {
    for_each = var.bothy.ulimits
    content {
      name = ulimit.value.name
      soft = ulimit.value.soft
      hard = ulimit.value.hard
    }
  }
  env          = ["NOTE=${join(",", ["a", "}"])} \" %%{x}"]
  command = [
    "run", # a comment with { and "
  ]
  dynamic "labels" {
    for_each = var.bothy.labels
    content {
      label = labels.key
      value = labels.value
    }
  }
}
output "bothy" { value = { id = docker_container.web.id } }
`

// folder makes a blueprint of files; names map to contents.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644))
	}
	return dir
}

func good() map[string]string {
	return map[string]string{"blueprint.yaml": goodManifest, "main.tf": goodTerraform}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// cache is a folder whose read-only content is made removable at the end.
func cache(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(path, 0o700)
			}
			return err
		}))
	})
	return dir
}

func TestLoadReadsEverything(t *testing.T) {
	got, err := blueprint.Load(folder(t, good()), cache(t))
	must(t, err)
	f := func(v float64) *float64 { return &v }
	want := fleet.Blueprint{
		Ref:         fleet.BlueprintRef{Name: "web", Version: "1.2.0", Digest: got.Ref.Digest},
		Description: "A web server.", Dir: got.Dir, Image: "bothy/web", Users: []string{"dev"}, Workspace: "/workspace",
		DefaultTTL: 90 * time.Minute, MaxTTL: 48 * time.Hour,
		Sizes: []fleet.Size{
			{Name: "one", CPUs: 0.5, MemoryMiB: 512, Pids: 64, RateMicros: 123456, Currency: "EUR"},
			{Name: "two", CPUs: 2, MemoryMiB: 2048, Pids: 128, RateMicros: 12000000, Currency: "EUR"},
		},
		DefaultSize: "two",
		Inputs: []fleet.Input{
			{Name: "port", Type: "integer", Min: f(1), Max: f(65535)},
			{Name: "mode", Type: "string", Enum: []any{"fast", "safe"}, Default: "safe", Description: "How."},
			{Name: "ratio", Type: "number", Default: 2.0},
			{Name: "debug", Type: "boolean", Default: false},
			{Name: "tag", Type: "string", Pattern: "v[0-9]+", Default: "v1", Max: f(9)},
			{Name: "shm", Type: "integer", Default: int64(64), Min: f(16), Max: f(512)},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if filepath.Base(got.Dir) != strings.TrimPrefix(got.Ref.Digest, "sha256:") || !filepath.IsAbs(got.Dir) {
		t.Errorf("digest %s is kept in %s", got.Ref.Digest, got.Dir)
	}
}

func TestTheBuiltInBlueprintsAreRight(t *testing.T) {
	c, err := blueprint.Open(blueprint.Sources{Builtin: []string{"../../modules"}}, cache(t))
	must(t, err)
	bp, err := c.Get("build")
	must(t, err)
	if !bp.Root() || bp.Users[0] != "dev" || len(bp.Sizes) != 3 {
		t.Errorf("build is %+v", bp)
	}
}

// The digest follows every byte of every file that makes the blueprint, and nothing else.
func TestDigestFollowsContentOnly(t *testing.T) {
	files := good()
	files[".terraform.lock.hcl"] = "# locked\n"
	files["extra.tf"] = "# locals {}\n"
	store := cache(t)
	digest := func(change func(dir string)) string {
		dir := folder(t, files)
		change(dir)
		bp, err := blueprint.Load(dir, store)
		must(t, err)
		return bp.Ref.Digest
	}
	original := digest(func(string) {})
	seen := map[string]string{original: "the original"}
	differs := func(what string, change func(dir string)) {
		got := digest(change)
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the digest of %s", what, other)
		}
		seen[got] = what
	}
	for name := range files {
		differs("a byte more in "+name, func(dir string) {
			must(t, os.WriteFile(filepath.Join(dir, name), []byte(files[name]+"\n"), 0o644))
		})
	}
	differs("a renamed file", func(dir string) {
		must(t, os.Rename(filepath.Join(dir, "extra.tf"), filepath.Join(dir, "other.tf")))
	})
	differs("no lock", func(dir string) { must(t, os.Remove(filepath.Join(dir, ".terraform.lock.hcl"))) })
	differs("content moved to the next file", func(dir string) {
		must(t, os.WriteFile(filepath.Join(dir, "extra.tf"), []byte(""), 0o644))
		must(t, os.WriteFile(filepath.Join(dir, ".terraform.lock.hcl"), []byte("# locked\n# locals {}\n"), 0o644))
	})
	differs("two files", func(dir string) {
		must(t, os.WriteFile(filepath.Join(dir, "a.tf"), []byte("#"), 0o644))
		must(t, os.WriteFile(filepath.Join(dir, "b.tf"), []byte("#x"), 0o644))
	})
	differs("one file that reads like the two", func(dir string) {
		must(t, os.WriteFile(filepath.Join(dir, "a.tf"), []byte("#b.tf#x"), 0o644))
	})
	same := digest(func(dir string) {
		must(t, os.Chmod(filepath.Join(dir, "main.tf"), 0o600))
		must(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte("x"), 0o644))
		must(t, os.Mkdir(filepath.Join(dir, "example"), 0o755))
	})
	if same != original {
		t.Error("modes and files that are no part of it change the digest")
	}
}

func TestLoadRefusesFilesThatAreNotPlain(t *testing.T) {
	cases := map[string]struct {
		make func(dir string) error
		want string
	}{
		"a link":        {func(d string) error { return os.Symlink("/etc/passwd", d+"/x.tf") }, "x.tf:1:1: got a link"},
		"a link within": {func(d string) error { return os.Symlink("main.tf", d+"/x.tf") }, "x.tf:1:1: got a link"},
		"the manifest a link": {func(d string) error {
			return errors.Join(os.Rename(d+"/blueprint.yaml", d+"/b"), os.Symlink("b", d+"/blueprint.yaml"))
		}, "blueprint.yaml:1:1: got a link"},
		"a folder":      {func(d string) error { return os.Mkdir(d+"/x.tf", 0o755) }, "x.tf:1:1: got a link, directory or device"},
		"a pipe":        {func(d string) error { return syscall.Mkfifo(d+"/x.tf", 0o644) }, "x.tf:1:1: got a link, directory or device"},
		"JSON":          {func(d string) error { return os.WriteFile(d+"/x.tf.json", nil, 0o644) }, "x.tf.json:1:1: got this file, want Terraform in *.tf files"},
		"OpenTofu only": {func(d string) error { return os.WriteFile(d+"/x.tofu", nil, 0o644) }, "x.tofu:1:1: got this file, want Terraform in *.tf files"},
		"values":        {func(d string) error { return os.WriteFile(d+"/a.auto.tfvars", nil, 0o644) }, "a.auto.tfvars:1:1: got this file, want none: values come from bothy alone"},
		"values, JSON":  {func(d string) error { return os.WriteFile(d+"/a.tfvars.json", nil, 0o644) }, "a.tfvars.json:1:1: got this file, want none: values come"},
		"an odd name":   {func(d string) error { return os.WriteFile(d+"/a b.tf", nil, 0o644) }, "a b.tf:1:1: got this file, want a name made of"},
		"a big file":    {func(d string) error { return os.WriteFile(d+"/x.tf", make([]byte, 256<<10+1), 0o644) }, "x.tf:1:1: got more than 262144 bytes"},
		"big together": {func(d string) error {
			var errs []error
			for _, name := range []string{"a", "b", "c", "d", "e"} {
				errs = append(errs, os.WriteFile(d+"/"+name+".tf", bytes.Repeat([]byte("#\n"), 110<<10), 0o644))
			}
			return errors.Join(errs...)
		}, "e.tf:1:1: got more than 1048576 bytes with the files before it"},
		"an override":         {func(d string) error { return os.WriteFile(d+"/override.tf", nil, 0o644) }, "override.tf:1:1: got this file, want none: Terraform merges an override"},
		"an override by name": {func(d string) error { return os.WriteFile(d+"/zz_override.tf", nil, 0o644) }, "zz_override.tf:1:1: got this file, want none"},
		"a thousand files": {func(d string) error {
			var errs []error
			for i := range 1001 {
				errs = append(errs, os.WriteFile(fmt.Sprintf("%s/%d.txt", d, i), nil, 0o644))
			}
			return errors.Join(errs...)
		}, "more than 1000 entries in the directory"},
		"no manifest": {func(d string) error { return os.Remove(d + "/blueprint.yaml") }, "it has no blueprint.yaml"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir, store := folder(t, good()), cache(t)
			must(t, c.make(dir))
			_, err := blueprint.Load(dir, store)
			if err == nil || !strings.Contains(err.Error(), c.want) || fleet.CodeOf(err) != fleet.CodeInvalid {
				t.Errorf("got %v (%s), want %s", err, fleet.CodeOf(err), c.want)
			}
			if left, _ := os.ReadDir(store); len(left) > 0 {
				t.Errorf("%s was left in the cache", left[0].Name())
			}
		})
	}
	if _, err := blueprint.Load(filepath.Join(t.TempDir(), "none"), cache(t)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing folder gives %v", err)
	}
}
