package terraform_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

// TestFoldersThatVanishAreMadeAgain: whoever tidies a machine may remove what the driver made at its start, all of it or a part.
func TestFoldersThatVanishAreMadeAgain(t *testing.T) {
	for _, gone := range []string{".", "work", "templates", "tmp", "terraform.rc"} {
		t.Run(gone, func(t *testing.T) {
			s, d, spec := playing(t, script{}, nil)
			if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
				t.Fatal(err)
			}
			removeAll(t, filepath.Join(s.dir, "driver", gone))
			if err := d.Ready(t.Context()); err != nil {
				t.Errorf("ready: %v", err)
			}
			removeAll(t, filepath.Join(s.dir, "driver", gone))
			if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
				t.Errorf("prepare: %v", err)
			}
			if _, err := d.Create(t.Context(), spec, nil); err != nil {
				t.Errorf("create: %v", err)
			}
			if err := d.Destroy(t.Context(), spec, nil, nil); err != nil {
				t.Errorf("destroy: %v", err)
			}
		})
	}
}

// removeAll is os.RemoveAll, also of what is read-only.
func removeAll(t *testing.T, path string) {
	t.Helper()
	_ = filepath.WalkDir(path, func(at string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(at, 0o700)
		}
		return err
	})
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

// TestDestroyOfACopiedWorkFolder: a backup that follows links puts the template's own folder into the link's place, read-only
// as it is. What lies there is no reason to wait.
func TestDestroyOfACopiedWorkFolder(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	dir := workdir(s, spec)
	inner := filepath.Join(dir, ".terraform", "providers", "x")
	if err := os.MkdirAll(inner, 0o700); err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string]string{filepath.Join(inner, "binary"): "x", filepath.Join(dir, "terraform.tfstate"): stateOf("a", 3, 1)} {
		if err := os.WriteFile(path, []byte(text), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(inner, 0o500); err != nil {
		t.Fatal(err)
	}
	if err := d.Destroy(t.Context(), spec, nil, nil); err != nil {
		t.Fatal(err)
	}
	if n := len(s.calls("destroy")); n != 1 {
		t.Errorf("%d calls of destroy, want 1", n)
	}
	if exists(dir) {
		t.Error("the working directory is still there")
	}
}

// TestDiscard: what was left of an environment goes, unless somebody is at work on it.
func TestDiscard(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	dir := workdir(s, spec)
	leave := func() {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "terraform.tfstate"), []byte(stateOf("a", 3, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	leave()
	kept, err := d.Kept(t.Context())
	if err != nil || !slices.Equal(kept, []string{spec.Owner.Environment}) {
		t.Fatalf("kept %v, %v", kept, err)
	}
	seen := false
	err = d.Destroy(t.Context(), spec, nil, func(provisioner.Event) {
		if seen {
			return
		}
		seen = true
		if err := d.Discard(t.Context(), spec.Owner.Environment); err != nil || !exists(dir) {
			t.Errorf("discarded under a destroy that runs: %v", err)
		}
	})
	if err != nil || !seen {
		t.Fatalf("destroy: %v, told of: %t", err, seen)
	}
	leave()
	if err := d.Discard(t.Context(), spec.Owner.Environment); err != nil || exists(dir) {
		t.Errorf("it is still there: %v", err)
	}
	if kept, err := d.Kept(t.Context()); err != nil || len(kept) != 0 {
		t.Errorf("kept %v, %v", kept, err)
	}
}

// TestTemplatesThatNothingIsMadeFrom go, record and folder; those of known blueprints stay, and one that went is made again.
func TestTemplatesThatNothingIsMadeFrom(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	other := module(t, map[string]string{"other.tf": "# another one"})
	for _, bp := range []provisioner.Blueprint{spec.Blueprint, other} {
		if err := d.Prepare(t.Context(), bp); err != nil {
			t.Fatal(err)
		}
	}
	names := func() (all []string) {
		t.Helper()
		entries, err := os.ReadDir(filepath.Join(s.dir, "driver", "templates"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	if got := names(); len(got) != 4 {
		t.Fatalf("the templates are %v", got)
	}
	if err := d.Tidy(t.Context(), func(digest string) bool { return digest == spec.Blueprint.Digest }); err != nil {
		t.Fatal(err)
	}
	if got := names(); len(got) != 2 || !strings.HasPrefix(got[0], strings.TrimPrefix(spec.Blueprint.Digest, "sha256:")) {
		t.Errorf("left are %v, want the one of %s", got, spec.Blueprint.Digest)
	}
	if err := d.Prepare(t.Context(), other); err != nil {
		t.Errorf("prepare it again: %v", err)
	}
	if _, err := d.Create(t.Context(), spec, nil); err != nil {
		t.Errorf("create from the one that stays: %v", err)
	}
}

// TestReplacedTemplatesGo once nothing can be using them any more, and not before.
func TestReplacedTemplatesGo(t *testing.T) {
	s, d, spec := playing(t, script{}, func(c *terraform.Config) { c.Timeout = 10 * time.Minute })
	if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(s.dir, "driver", "templates", strings.TrimPrefix(spec.Blueprint.Digest, "sha256:")+"-1")
	if err := os.Mkdir(old, 0o700); err != nil {
		t.Fatal(err)
	}
	for i, passed := range []time.Duration{0, 19 * time.Minute, 2 * time.Minute} {
		d.AgeReplaced(passed)
		if err := d.Tidy(t.Context(), func(string) bool { return true }); err != nil {
			t.Fatal(err)
		}
		if last := i == 2; exists(old) == last {
			t.Errorf("at look %d it is there: %v; want it to go after twice what a Terraform may take", i+1, exists(old))
		}
	}
	if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
		t.Error(err)
	}
}

// TestALeftFolderGoesWhole: what a driver made for a host that is not declared any more.
func TestALeftFolderGoesWhole(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	if _, err := d.Create(t.Context(), spec, nil); err != nil {
		t.Fatal(err)
	}
	works := terraform.Works(filepath.Join(s.dir, "driver"))
	kept, err := works.Kept(t.Context())
	if err != nil || !slices.Equal(kept, []string{spec.Owner.Environment}) {
		t.Fatalf("kept are %v, %v", kept, err)
	}
	if err := works.Discard(t.Context(), spec.Owner.Environment); err != nil {
		t.Fatal(err)
	}
	if kept, err := works.Kept(t.Context()); err != nil || len(kept) > 0 {
		t.Errorf("kept are %v, %v", kept, err)
	}
	for range 2 {
		if err := works.Leave(); err != nil {
			t.Fatal(err)
		}
	}
	if exists(string(works)) {
		t.Error("the folder is left")
	}
}
