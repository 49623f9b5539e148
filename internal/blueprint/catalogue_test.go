package blueprint_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/blueprint"
	"github.com/bothy-env/bothy/internal/fleet"
)

// named makes a blueprint of a name and a version.
func named(t *testing.T, name, version string) string {
	t.Helper()
	files := good()
	files["blueprint.yaml"] = strings.NewReplacer("name: web", "name: "+name, "1.2.0", version).Replace(goodManifest)
	return folder(t, files)
}

func TestGetTakesTheNewestOrTheExactVersion(t *testing.T) {
	var dirs []string
	for _, v := range []string{"1.9.0", "1.10.0", "1.10.0-rc.1", "1.2.0"} {
		dirs = append(dirs, named(t, "web", v))
	}
	dirs = append(dirs, named(t, "build", "0.1.0"), named(t, "web", "1.9.0"))
	c, err := blueprint.Open(dirs, cache(t))
	must(t, err)
	for name, want := range map[string]string{"web": "web@1.10.0", "web@1.9.0": "web@1.9.0", "web@1.10.0-rc.1": "web@1.10.0-rc.1", "build": "build@0.1.0"} {
		bp, err := c.Get(name)
		if err != nil || bp.Ref.String() != want {
			t.Errorf("Get(%q) = %s, %v; want %s", name, bp.Ref, err, want)
		}
	}
	var listed []string
	for _, bp := range c.List() {
		listed = append(listed, bp.Ref.String())
	}
	want := []string{"build@0.1.0", "web@1.10.0", "web@1.10.0-rc.1", "web@1.9.0", "web@1.2.0"}
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for name, hint := range map[string]string{
		"wbe": "Did you mean web?", "biuld@0.1.0": "Did you mean build?", "web@3.0.0": "Versions of web: 1.10.0, 1.10.0-rc.1, 1.9.0, 1.2.0.",
		"something": "There are: build, web.", "": "There are: build, web.",
	} {
		_, err := c.Get(name)
		e, ok := errors.AsType[*fleet.Error](err)
		if !ok || e.Code != fleet.CodeNotFound || e.Hint != hint {
			t.Errorf("Get(%q) gives %+v, want the hint %q", name, err, hint)
		}
	}
}

func TestOpenTakesFoldersOfBlueprintsAndTellsOfWrongOnes(t *testing.T) {
	top := t.TempDir()
	must(t, os.Rename(named(t, "a", "1.0.0"), filepath.Join(top, "a")))
	must(t, os.Rename(named(t, "Bad", "1.0.0"), filepath.Join(top, "b")))
	must(t, os.Rename(named(t, "c", "1.0.0"), filepath.Join(top, "c")))
	must(t, os.Mkdir(filepath.Join(top, "images"), 0o755))
	c, err := blueprint.Open([]string{top}, cache(t))
	if err == nil || !strings.Contains(err.Error(), filepath.Join(top, "b")) || !strings.Contains(err.Error(), `blueprint.yaml:2:7: name: got "Bad"`) {
		t.Errorf("the wrong one is told as %v", err)
	}
	if c == nil || len(c.List()) != 2 {
		t.Fatalf("the right ones are not offered: %+v", c)
	}
	for _, dir := range []string{filepath.Join(top, "images"), filepath.Join(top, "none")} {
		if c, err := blueprint.Open([]string{dir}, cache(t)); err == nil || c != nil {
			t.Errorf("%s gives %v, %v", dir, c, err)
		}
	}
}

func TestOneVersionHasOneContent(t *testing.T) {
	changed := named(t, "web", "1.0.0")
	must(t, os.WriteFile(filepath.Join(changed, "more.tf"), []byte("locals {}\n"), 0o644))
	c, err := blueprint.Open([]string{named(t, "web", "1.0.0"), changed}, cache(t))
	if err == nil || !strings.Contains(err.Error(), "web@1.0.0 is already there with other content; raise its version") || len(c.List()) != 1 {
		t.Errorf("got %v", err)
	}
}

// An environment is destroyed by what made it, whatever became of the blueprint since.
func TestADigestStaysFoundAfterTheBlueprintChanged(t *testing.T) {
	dir, store := named(t, "web", "1.0.0"), cache(t)
	old, err := blueprint.Load(dir, store)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "more.tf"), []byte("locals {}\n"), 0o644))
	c, err := blueprint.Open([]string{dir}, store)
	must(t, err)
	if c.List()[0].Ref.Digest == old.Ref.Digest {
		t.Fatal("the change did not change the digest")
	}
	got, err := c.Dir(old.Ref.Digest)
	if err != nil || got != old.Dir {
		t.Fatalf("Dir gives %s, %v; want %s", got, err, old.Dir)
	}
	data, err := os.ReadFile(filepath.Join(got, "main.tf"))
	if err != nil || string(data) != goodTerraform {
		t.Errorf("the old content is gone: %v", err)
	}
	if _, err := os.Stat(filepath.Join(got, "more.tf")); err == nil {
		t.Error("the old digest holds the new file")
	}
	for digest, code := range map[string]fleet.Code{
		"sha256:" + strings.Repeat("0", 64): fleet.CodeNotFound, "sha256:../../etc": fleet.CodeInvalid, "": fleet.CodeInvalid,
	} {
		if _, err := c.Dir(digest); fleet.CodeOf(err) != code {
			t.Errorf("Dir(%q) gives %v, want %s", digest, err, code)
		}
	}
}

func TestTheCacheIsReadOnlyAndHealsItself(t *testing.T) {
	dir, store := named(t, "web", "1.0.0"), cache(t)
	bp, err := blueprint.Load(dir, store)
	must(t, err)
	for _, path := range []string{bp.Dir, filepath.Join(bp.Dir, "main.tf")} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o222 != 0 {
			t.Errorf("%s can be written: %v, %v", path, info.Mode(), err)
		}
	}
	// Altered content is seen before it is used, and put right by the next load.
	must(t, os.Chmod(bp.Dir, 0o700))
	must(t, os.Remove(filepath.Join(bp.Dir, "main.tf")))
	must(t, os.WriteFile(filepath.Join(bp.Dir, "main.tf"), []byte("# altered\n"), 0o644))
	must(t, os.MkdirAll(filepath.Join(store, ".new-left"), 0o755))
	c, err := blueprint.Open(nil, store)
	must(t, err)
	if _, err := c.Dir(bp.Ref.Digest); err == nil || !strings.Contains(err.Error(), "no longer what its name says") {
		t.Errorf("altered content gives %v", err)
	}
	again, err := blueprint.Load(dir, store)
	if err != nil || again.Dir != bp.Dir {
		t.Fatalf("loading again: %s, %v", again.Dir, err)
	}
	if _, err := c.Dir(bp.Ref.Digest); err != nil {
		t.Errorf("after loading again: %v", err)
	}
	if entries, err := os.ReadDir(store); err != nil || len(entries) != 1 {
		t.Errorf("the cache holds %v, %v; want one folder", entries, err)
	}
}

func TestLoadsAtOnceShareOneCopy(t *testing.T) {
	dir, store := named(t, "web", "1.0.0"), cache(t)
	dirs := make([]string, 8)
	var wg sync.WaitGroup
	for i := range dirs {
		wg.Go(func() {
			bp, err := blueprint.Load(dir, store)
			if err != nil {
				t.Error(err)
			}
			dirs[i] = bp.Dir
		})
	}
	wg.Wait()
	for _, d := range dirs {
		if d != dirs[0] {
			t.Errorf("loaded to %s and %s", d, dirs[0])
		}
	}
	if entries, err := os.ReadDir(store); err != nil || len(entries) != 1 {
		t.Errorf("the cache holds %v, %v; want one folder", entries, err)
	}
}
