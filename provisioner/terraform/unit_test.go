package terraform_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

// module is a folder with a module; the fake Terraform does not read it.
func module(t *testing.T, files map[string]string) provisioner.Blueprint {
	t.Helper()
	dir := t.TempDir()
	if files == nil {
		files = map[string]string{"main.tf": "# a module\n"}
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return blueprint(t, dir)
}

func newSpec() provisioner.Spec {
	owner := provisioner.Owner{Instance: "inst", Environment: "env-1", Generation: 1, Blueprint: "b@1", User: "u", Created: time.Unix(0, 0)}
	return provisioner.Spec{
		Owner: owner, Labels: provisioner.Key("k").Labels(owner),
		Sandbox: provisioner.Sandbox{Size: "small", CPUs: 1.5, MemoryMiB: 64, Pids: 10, Image: "sha256:1", Network: "net", Root: true},
		Inputs:  map[string]any{"shm_mib": int64(64)},
	}
}

// playing returns a stage, a driver on it and a spec that can be created.
func playing(t *testing.T, first script, change func(*terraform.Config)) (*stage, *terraform.Driver, provisioner.Spec) {
	t.Helper()
	s := newStage(t)
	s.play(first)
	cfg := s.config()
	if change != nil {
		change(&cfg)
	}
	spec := newSpec()
	spec.Blueprint = module(t, nil)
	return s, open(t, cfg), spec
}

func workdir(s *stage, spec provisioner.Spec) string {
	return filepath.Join(s.dir, "driver", "work", spec.Owner.Environment)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
