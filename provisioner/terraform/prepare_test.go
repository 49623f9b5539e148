package terraform_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

func TestPrepareOnceForADigest(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := open(t, s.config()).Prepare(t.Context(), spec.Blueprint); err != nil { // another daemon, later
		t.Error(err)
	}
	if n := len(s.calls("init")); n != 1 {
		t.Errorf("%d inits, want 1", n)
	}
	if n := len(s.calls("validate")); n != 1 {
		t.Errorf("%d validates, want 1", n)
	}
}

func TestPrepareAgainWhenWhatItRestsOnChanged(t *testing.T) {
	templates := func(s *stage) string { return filepath.Join(s.dir, "driver", "templates") }
	changes := map[string]func(*testing.T, *stage){
		"nothing": func(*testing.T, *stage) {},
		"template gone": func(t *testing.T, s *stage) {
			if err := os.RemoveAll(templates(s)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(templates(s), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"record broken": func(t *testing.T, s *stage) {
			for _, path := range glob(t, templates(s), "*.json") {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(`{"dir":"`), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		},
		"other Terraform": func(t *testing.T, s *stage) {
			s.play(script{Version: "1.12.0"})
			replaceBinary(t, s)
		},
		"provider changed": func(t *testing.T, s *stage) {
			path := filepath.Join(s.dir, "terraform-provider-fake_v1.0.0")
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, data, 0o700); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			s, d, spec := playing(t, script{}, nil)
			if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
				t.Fatal(err)
			}
			change(t, s)
			if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
				t.Fatal(err)
			}
			want := 2
			if name == "nothing" {
				want = 1
			}
			if n := len(s.calls("init")); n != want {
				t.Errorf("%d inits, want %d", n, want)
			}
		})
	}
}

func glob(t *testing.T, dir, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTemplateIsReadOnlyAndHoldsTheModuleOnly(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	spec.Blueprint = module(t, map[string]string{
		"main.tf": "x", "sub/more.tf": "y", "old.tf.json": "{}", "z.auto.tfvars": "bothy = 1", "terraform.tfvars.json": "{}", "terraform.tfstate": "{}", "run.sh": "",
	})
	if err := os.Symlink("/etc/passwd", filepath.Join(spec.Blueprint.Dir, "link.tf")); err != nil {
		t.Fatal(err)
	}
	if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
		t.Fatal(err)
	}
	dirs := glob(t, filepath.Join(s.dir, "driver", "templates"), strings.TrimPrefix(spec.Blueprint.Digest, "sha256:")+"-*")
	if len(dirs) != 1 {
		t.Fatalf("templates: %v", dirs)
	}
	for _, name := range []string{"main.tf", "sub/more.tf", "old.tf.json"} {
		if !exists(filepath.Join(dirs[0], name)) {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"z.auto.tfvars", "terraform.tfvars.json", "terraform.tfstate", "run.sh", "link.tf"} {
		if exists(filepath.Join(dirs[0], name)) {
			t.Errorf("%s was copied", name)
		}
	}
	err := filepath.WalkDir(dirs[0], func(path string, e fs.DirEntry, err error) error {
		if info, infoErr := e.Info(); infoErr == nil && e.Type()&fs.ModeSymlink == 0 && info.Mode().Perm()&0o222 != 0 {
			t.Errorf("%s can be written: %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNewDiscardsHalfMadeTemplates(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(s.dir, "driver", "templates", strings.Repeat("a", 64)+"-123")
	if err := os.MkdirAll(filepath.Join(half, ".terraform"), 0o500); err != nil {
		t.Fatal(err)
	}
	d = open(t, s.config())
	if exists(half) {
		t.Error("it is still there")
	}
	if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
		t.Fatal(err)
	}
	if n := len(s.calls("init")); n != 1 {
		t.Errorf("%d inits: the whole template was discarded as well", n)
	}
}

func TestPrepareRefuses(t *testing.T) {
	cases := []struct {
		name        string
		script      script
		files       map[string]string
		class       provisioner.Class
		unavailable bool
		sentence    string
	}{
		{
			name: "an invalid module", class: provisioner.Permanent, sentence: "main.tf:3:5: Unsupported argument: no.",
			script: script{Validate: "invalid", Says: `{"severity":"warning","summary":"w"},{"severity":"error","summary":"Unsupported argument","detail":"no.","range":{"filename":"main.tf","start":{"line":3,"column":5}}}`},
		},
		{
			name: "a provider that is nowhere", class: provisioner.Permanent, sentence: "Failed to query available provider packages",
			script: script{Init: "stderr", Says: "\nError: Failed to query available provider packages\n\nCould not retrieve the list of available versions for provider\nbothy/fake: no available releases match"},
		},
		{
			name: "a registry that is away", class: provisioner.Transient, unavailable: true, sentence: "could not connect to registry.example",
			script: script{Init: "stderr", Says: "Error: Failed to query available provider packages\n\ncould not connect to registry.example: i/o timeout"},
		},
		{
			name: "advice that is of no use", class: provisioner.Transient, unavailable: true,
			sentence: "Failed to query available provider packages: Could not retrieve the list of available versions for provider " +
				"bothy/fake: could not connect to registry.example: no such host; for want of a provider, fill the mirror (terraform.mirror) with: make setup$",
			script: script{Init: "stderr", Says: "╷\n│ Error: Failed to query available provider packages\n│ \n│ Could not retrieve the list of available versions for provider\n" +
				"│ bothy/fake: could not connect to registry.example: no such host\n│ \n" +
				"│ To see which modules are currently depending on bothy/fake and what versions\n│ are specified, run the following command:\n│     terraform providers\n╵"},
		},
		{name: "a backend", script: script{Init: "backend"}, class: provisioner.Permanent, sentence: "backend"},
		{
			name: "another provider than the lock file's", files: map[string]string{"main.tf": "", ".terraform.lock.hcl": "# pinned\n"},
			class: provisioner.Permanent, sentence: ".terraform.lock.hcl",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, d, spec := playing(t, c.script, nil)
			if c.files != nil {
				spec.Blueprint = module(t, c.files)
			}
			wantError(t, d.Prepare(t.Context(), spec.Blueprint), c.class, c.unavailable, c.sentence)
			if left := glob(t, filepath.Join(s.dir, "driver", "templates"), "*"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if c.files != nil {
				return
			}
			s.play(script{})
			if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
				t.Errorf("and then does not recover: %v", err)
			}
		})
	}
	_, d, spec := playing(t, script{}, nil)
	spec.Blueprint.Digest = "sha256:../../etc"
	wantError(t, d.Prepare(t.Context(), spec.Blueprint), provisioner.Permanent, false, "digest")
}

func TestPrepareCancelled(t *testing.T) {
	s, d, spec := playing(t, script{Init: "hang"}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Prepare(ctx, spec.Blueprint) }()
	eventually(t, "init runs", func() bool { return len(s.calls("init")) == 1 })
	cancel()
	wantError(t, <-done, provisioner.Cancelled, false, "")
}

// Issue 17: Terraform knows no source but the mirror, and there only the providers that blueprints may use.
func TestProvidersComeFromTheMirrorAlone(t *testing.T) {
	odd := filepath.Join(t.TempDir(), `odd "${name}"`)
	if err := os.MkdirAll(filepath.Join(odd, "registry.example", "evil", "docker", "1.0.0"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, where := range []string{odd, "", "/nonexistent"} {
		s, d, spec := playing(t, script{}, func(c *terraform.Config) { c.Mirror = where })
		wantError(t, d.Prepare(t.Context(), spec.Blueprint), provisioner.Permanent, false, "registry.example/bothy/fake 1.0.0 did not come from the mirror")
		path, ok := s.calls("init")[0].env("TF_CLI_CONFIG_FILE")
		data, err := os.ReadFile(path)
		if !ok || err != nil {
			t.Fatalf("configuration %q: %v", path, err)
		}
		text := string(data)
		if !strings.Contains(text, `include = ["registry.example/bothy/fake"]`) || strings.Contains(text, "direct") || strings.Contains(text, "evil") {
			t.Errorf("mirror %q gives:\n%s", where, text)
		}
		if where == odd && !strings.Contains(text, `odd \"$${name}\""`) {
			t.Errorf("mirror %q gives:\n%s", where, text)
		}
		if n := len(s.calls("validate")); n != 0 {
			t.Errorf("validated, which starts the provider")
		}
	}
}

// Issue 17, F4: what is not one of the allowed providers, or not what the mirror holds of one, is never run: by no validate, no apply,
// and not warm.
func TestAForeignProviderIsNeverRun(t *testing.T) {
	cases := map[string]struct {
		change   func(t *testing.T, s *stage, c *terraform.Config)
		sentence string
	}{
		"another address": {func(_ *testing.T, _ *stage, c *terraform.Config) {
			c.Providers = []string{"registry.example/bothy/other"}
		}, "uses the provider registry.example/bothy/fake, which is not one of those allowed (registry.example/bothy/other)"},
		"another program": {func(t *testing.T, s *stage, c *terraform.Config) {
			c.Mirror = filepath.Join(s.dir, "good")
			held := filepath.Join(c.Mirror, "registry.example/bothy/fake/1.0.0/linux_amd64")
			if err := os.MkdirAll(held, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(held, "terraform-provider-fake_v1.0.0"), []byte("the good one"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "registry.example/bothy/fake 1.0.0 is not the one that the mirror holds (h1:"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			cfg := s.config()
			cfg.Warm = true
			c.change(t, s, &cfg)
			_, _, spec := playing(t, script{}, nil)
			d := open(t, cfg)
			wantError(t, d.Prepare(t.Context(), spec.Blueprint), provisioner.Permanent, false, c.sentence)
			_, err := d.Create(t.Context(), spec, nil)
			wantError(t, err, provisioner.Permanent, false, c.sentence)
			for _, verb := range []string{"provider", "validate", "apply"} {
				if n := len(s.calls(verb)); n > 0 {
					t.Errorf("%d runs of %s", n, verb)
				}
			}
			// And the same one where it may be.
			d = open(t, s.config())
			if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
				t.Error(err)
			}
		})
	}
}
