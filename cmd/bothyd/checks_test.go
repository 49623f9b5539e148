package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/service"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/docker"
	"github.com/bothy-env/bothy/provisioner/docker/facts"
)

type isolation struct{ err error }

func (i isolation) Isolated(context.Context, time.Duration) error { return i.err }

// TestIsolationCheck: where isolation is asked for and cannot be had, nothing can be made; where it is off, that is meant.
func TestIsolationCheck(t *testing.T) {
	for name, c := range map[string]struct {
		err          error
		status, hint string
		not          string
	}{
		"enforced":   {nil, service.OK, "", "network"},
		"off":        {docker.ErrIsolationOff, service.Warning, "network.isolation to enforce", "to off"},
		"impossible": {errors.New("no rights"), service.Down, "network.isolation to off", "to enforce"},
	} {
		got := isolationCheck(isolation{c.err})(t.Context())
		if got.Status != c.status || !strings.Contains(got.Hint, c.hint) || strings.Contains(got.Hint, c.not) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

type abilities struct {
	can docker.Facts
	err error
}

func (a abilities) Facts(context.Context) (docker.Facts, error) { return a.can, a.err }

// TestEngineCheck: doctor tells which engine answers and what it works with, and that it is away.
func TestEngineCheck(t *testing.T) {
	can := docker.Facts{
		Kind: facts.DockerEngine, Version: "28.5.2", API: "1.51", CgroupVersion: 2, CgroupDriver: "systemd",
		ImageStore: facts.ContainerdStore, StorageDriver: "overlayfs", Firewall: facts.IPTables,
	}
	for _, c := range []struct {
		of   abilities
		want service.Check
	}{
		{abilities{can: can}, service.Check{
			Name: "engine", Status: service.OK, Message: "Docker 28.5.2, API 1.51, cgroup v2 by systemd, images in containerd overlayfs, firewall by iptables",
		}},
		{abilities{err: errors.New("no answer")}, service.Check{
			Name: "engine", Status: service.Warning, Message: "cannot read the capabilities of the engine: no answer", Hint: "start the engine, or set engine.host to its socket",
		}},
	} {
		if got := engineCheck(c.of)(t.Context()); got != c.want {
			t.Errorf("got %+v, want %+v", got, c.want)
		}
	}
}

type limits struct {
	found []docker.Shortage
	err   error
}

func (l limits) Shortages(context.Context) ([]docker.Shortage, error) { return l.found, l.err }

// TestLimitsCheck: what runs short is told, all of it, with what to do about each; nothing of it stops environments.
func TestLimitsCheck(t *testing.T) {
	for name, c := range map[string]struct {
		of                    limits
		status, message, hint string
	}{
		"enough":    {limits{}, service.OK, "system calls are filtered, and the machine has room for what sandboxes share", ""},
		"not known": {limits{err: errors.New("the engine is away")}, service.Warning, "cannot read the limits of sandboxes: the engine is away", ""},
		"short":     {limits{found: []docker.Shortage{{Message: "a", Hint: "b"}, {Message: "c", Hint: "d"}}}, service.Warning, "a\nc", "b\nd"},
	} {
		got := limitsCheck(c.of)(t.Context())
		if want := (service.Check{Name: "limits", Status: c.status, Message: c.message, Hint: c.hint}); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

type means struct{ err error }

func (m means) CanKill() error { return m.err }

// TestRemovalCheck: where a sandbox cannot be killed from the host, doctor says why and what to do.
func TestRemovalCheck(t *testing.T) {
	lacks := provisioner.Errorf(provisioner.Permanent, "kill sandbox from the host", "a sandbox that blocks the engine cannot be killed from the host: bothyd does not run as root")
	for _, c := range []struct {
		err  error
		want service.Check
	}{
		{nil, service.Check{Name: "removal", Status: service.OK, Message: "a sandbox that blocks the engine can be killed from the host"}},
		{lacks, service.Check{
			Name: "removal", Status: service.Warning, Message: "a sandbox that blocks the engine cannot be killed from the host: bothyd does not run as root",
			Hint: "run bothyd as root on the engine's machine",
		}},
	} {
		if got := removalCheck(means{c.err})(t.Context()); got != c.want {
			t.Errorf("%v: got %+v, want %+v", c.err, got, c.want)
		}
	}
}

type box struct{ mode, missing string }

func (b box) Confinement(context.Context) (mode, missing string) { return b.mode, b.missing }

// TestConfinementCheck: what a box lacks is said, and that there is none.
func TestConfinementCheck(t *testing.T) {
	for _, c := range []struct {
		box           box
		status, words string
	}{
		{box{"bubblewrap", ""}, service.OK, "own files and sockets (bubblewrap)"},
		{box{"landlock", "sockets by path are not held back"}, service.Warning, "(landlock): sockets by path are not held back"},
		{box{"none", "confinement is switched off"}, service.Warning, "(none): confinement is switched off"},
	} {
		got := confinementCheck(c.box)(t.Context())
		if got.Status != c.status || !strings.Contains(got.Message, c.words) || (got.Hint == "") != (c.status == service.OK) {
			t.Errorf("%+v: %+v", c.box, got)
		}
	}
}

// TestFoldersCheck: a blueprint that is not offered, and one that a folder replaces, are told to whoever asks doctor.
func TestFoldersCheck(t *testing.T) {
	top := t.TempDir()
	for name, version := range map[string]string{"builtin": "1.1.0", "mine": "2.0.0", "wrong": "3.0.0"} {
		dir := filepath.Join(top, name)
		if err := os.CopyFS(dir, os.DirFS("../../modules/build")); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // a folder needs its execute bit
			t.Fatal(err)
		}
		manifest, err := os.ReadFile(filepath.Join(dir, "blueprint.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(manifest), "version: 1.1.0", "version: "+version, 1)
		if err := os.WriteFile(filepath.Join(dir, "blueprint.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{"blueprint.yaml", "main.tf", "outputs.tf", "variables.tf", "versions.tf"} {
			if err := os.Chmod(filepath.Join(dir, file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(top, "wrong", "x.tf"), []byte("module \"m\" {}\ndata \"a\" \"b\" {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(overrides []string, folders ...string) service.Check {
		from := blueprint.Sources{Builtin: []string{filepath.Join(top, "builtin")}, Overrides: overrides}
		for _, name := range folders {
			from.Folders = append(from.Folders, filepath.Join(top, name))
		}
		store := t.TempDir()
		t.Cleanup(func() { // its folders are read-only
			entries, err := os.ReadDir(store)
			for _, e := range entries {
				err = errors.Join(err, os.Chmod(filepath.Join(store, e.Name()), 0o700)) //nolint:gosec // to be removed
			}
			if err != nil {
				t.Error(err)
			}
		})
		catalogue, err := blueprint.Open(from, store)
		if err != nil {
			t.Fatal(err)
		}
		return foldersCheck(catalogue)(t.Context())
	}
	for name, c := range map[string]struct {
		got          service.Check
		status, text string
	}{
		"none":              {check(nil), service.OK, "every configured blueprint is valid"},
		"a built-in's name": {check(nil, "mine"), service.Warning, "a built-in blueprint has the name build"},
		"on purpose":        {check([]string{"build"}, "mine"), service.OK, "blueprint_overrides replaces build by " + filepath.Join(top, "mine")},
		"a wrong one":       {check([]string{"build"}, "wrong"), service.Warning, "x.tf:1:1: got a module block"},
		"several":           {check(nil, "wrong", "mine"), service.Warning, "(and 1 more directories)"},
	} {
		if c.got.Status != c.status || !strings.Contains(c.got.Message, c.text) || strings.Contains(c.got.Message, "\n") {
			t.Errorf("%s: %+v", name, c.got)
		}
	}
}
