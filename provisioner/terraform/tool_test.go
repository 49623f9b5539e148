package terraform_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

func TestReadyFindsTerraform(t *testing.T) {
	s := newStage(t)
	cfg := s.config()
	d := open(t, cfg)
	for range 3 {
		if err := d.Ready(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(s.calls("version")); n != 1 {
		t.Errorf("asked for its version %d times, want once", n)
	}
}

func TestReadyTakesTheFirstThatWorks(t *testing.T) {
	good, bad, none := newStage(t), newStage(t), t.TempDir()
	bad.play(script{Version: "0.12.31"})
	cfg := good.config()
	cfg.Binary, cfg.BinDir = "", good.dir
	for _, path := range []string{none, bad.dir, bad.dir + ":" + none} {
		t.Setenv("PATH", path)
		d := open(t, cfg)
		if err := d.Ready(t.Context()); err != nil {
			t.Errorf("PATH %s: %v", path, err)
		}
	}
	if len(good.calls("version")) != 3 {
		t.Errorf("the good one was asked %d times, want 3", len(good.calls("version")))
	}
}

func TestReadySaysWhatIsMissing(t *testing.T) {
	notExecutable := filepath.Join(t.TempDir(), "terraform")
	if err := os.WriteFile(notExecutable, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	notAProgram := filepath.Join(t.TempDir(), "terraform")
	if err := os.WriteFile(notAProgram, []byte("\x7fELF nonsense"), 0o700); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name, binary, sentence string
		script                 script
	}{
		{name: "missing", binary: "/nonexistent/terraform", sentence: "no such file"},
		{name: "not executable", binary: notExecutable, sentence: "permission denied"},
		{name: "not a program", binary: notAProgram, sentence: "exec format error"},
		{name: "too old", script: script{Version: "1.3.9"}, sentence: "install 1.4 or newer"},
		{name: "something else", script: script{Version: "garbage"}, sentence: "does not tell its version"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, d, spec := playing(t, c.script, func(cfg *terraform.Config) {
				if c.binary != "" {
					cfg.Binary = c.binary
				}
			})
			wantError(t, d.Ready(t.Context()), provisioner.Transient, true, c.sentence)
			wantError(t, d.Prepare(t.Context(), spec.Blueprint), provisioner.Transient, true, c.sentence)
			_, err := d.Create(t.Context(), spec, nil)
			wantError(t, err, provisioner.Transient, true, c.sentence)
		})
	}
}

func TestReadyWithNothingOnPath(t *testing.T) {
	cfg := newStage(t).config()
	cfg.Binary = ""
	t.Setenv("PATH", t.TempDir())
	wantError(t, open(t, cfg).Ready(t.Context()), provisioner.Transient, true, "install either")
}

func TestReadyNoticesAnotherVersion(t *testing.T) {
	s, d, _ := playing(t, script{}, nil)
	if err := d.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.play(script{Version: "1.0.0"})
	replaceBinary(t, s)
	wantError(t, d.Ready(t.Context()), provisioner.Transient, true, "version 1.0.0")
}

// replaceBinary puts another file in Terraform's place, as an upgrade does.
func replaceBinary(t *testing.T, s *stage) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(s.dir, "terraform")
	if err := os.WriteFile(path+".new", data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func TestNewRefusesARelativeFolder(t *testing.T) {
	if _, err := terraform.New(terraform.Config{WorkDir: "here"}); err == nil {
		t.Error("no error")
	}
}
