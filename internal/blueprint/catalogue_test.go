package blueprint_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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

func folders(dirs ...string) blueprint.Sources { return blueprint.Sources{Folders: dirs} }

func TestGetTakesTheNewestOrTheExactVersion(t *testing.T) {
	var dirs []string
	for _, v := range []string{"1.9.0", "1.10.0", "1.10.0-rc.1", "1.2.0"} {
		dirs = append(dirs, named(t, "web", v))
	}
	dirs = append(dirs, named(t, "build", "0.1.0"), named(t, "web", "1.9.0"))
	c, err := blueprint.Open(folders(dirs...), cache(t))
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
		"something": "Available blueprints: build, web.", "": "Available blueprints: build, web.",
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
	c, err := blueprint.Open(folders(top), cache(t))
	must(t, err)
	if r := c.Refused(); len(r) != 1 || r[0].Folder != filepath.Join(top, "b") || !strings.Contains(r[0].Err.Error(), `blueprint.yaml:2:7: name: got "Bad"`) {
		t.Errorf("the wrong one is told as %v", r)
	}
	if c == nil || len(c.List()) != 2 {
		t.Fatalf("the right ones are not offered: %+v", c)
	}
	for _, dir := range []string{filepath.Join(top, "images"), filepath.Join(top, "none")} {
		if c, err := blueprint.Open(folders(dir), cache(t)); err == nil || c != nil {
			t.Errorf("%s gives %v, %v", dir, c, err)
		}
	}
}

func TestOneVersionHasOneContent(t *testing.T) {
	changed := named(t, "web", "1.0.0")
	must(t, os.WriteFile(filepath.Join(changed, "more.tf"), []byte("locals {}\n"), 0o644))
	c, err := blueprint.Open(folders(named(t, "web", "1.0.0"), changed), cache(t))
	must(t, err)
	if r := c.Refused(); len(r) != 1 || !strings.Contains(r[0].Err.Error(), "web@1.0.0 exists with other content; raise its version") || len(c.List()) != 1 {
		t.Errorf("got %v", r)
	}
}

// An environment is destroyed by what made it, whatever became of the blueprint since.
func TestADigestStaysFoundAfterTheBlueprintChanged(t *testing.T) {
	dir, store := named(t, "web", "1.0.0"), cache(t)
	old, err := blueprint.Load(dir, store)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "more.tf"), []byte("locals {}\n"), 0o644))
	c, err := blueprint.Open(folders(dir), store)
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
	c, err := blueprint.Open(blueprint.Sources{}, store)
	must(t, err)
	if _, err := c.Dir(bp.Ref.Digest); err == nil || !strings.Contains(err.Error(), "no longer matches its name") {
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

// builtins are folders that bothyd wrote, dirs the platform team's.
func builtins(builtin string, overrides []string, dirs ...string) blueprint.Sources {
	return blueprint.Sources{Builtin: []string{builtin}, Folders: dirs, Overrides: overrides}
}

// A folder takes a built-in blueprint's name, and with it everybody's `bothy up`, only when the setting says so.
func TestABuiltInNameIsTakenOnlyOnPurpose(t *testing.T) {
	builtin, other := named(t, "build", "1.0.0"), named(t, "build", "99.0.0")
	c, err := blueprint.Open(builtins(builtin, nil, other), cache(t))
	must(t, err)
	if bp, err := c.Get("build"); err != nil || bp.Ref.Version != "1.0.0" {
		t.Errorf("build is %s, %v", bp.Ref, err)
	}
	r := c.Refused()
	if len(r) != 1 || r[0].Folder != other || !strings.Contains(r[0].Err.Error(), "a built-in blueprint has the name build: rename it, or set blueprint_overrides to [build]") {
		t.Errorf("refused: %v", r)
	}
	// On purpose it replaces all that is built in of that name, an older version of its own as well.
	older := named(t, "build", "0.9.0")
	must(t, os.WriteFile(filepath.Join(older, "more.tf"), []byte("# other content\n"), 0o644))
	c, err = blueprint.Open(builtins(builtin, []string{"build"}, older), cache(t))
	must(t, err)
	if bp, err := c.Get("build"); err != nil || bp.Ref.Version != "0.9.0" || len(c.List()) != 1 || len(c.Refused()) != 0 {
		t.Errorf("build is %s, %v; there are %d; refused %v", bp.Ref, err, len(c.List()), c.Refused())
	}
	if diff := cmp.Diff([]blueprint.Overridden{{Name: "build", Folder: older}}, c.Overridden()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// One that is wrong replaces nothing, and a name that nothing has is told.
	must(t, os.WriteFile(filepath.Join(older, "more.tf"), []byte("module \"m\" {}\n"), 0o644))
	c, err = blueprint.Open(builtins(builtin, []string{"build", "bulid"}, older), cache(t))
	must(t, err)
	if bp, err := c.Get("build"); err != nil || bp.Ref.Version != "1.0.0" {
		t.Errorf("build is %s, %v", bp.Ref, err)
	}
	if r := c.Refused(); len(r) != 2 || !strings.Contains(r[1].Err.Error(), `no built-in blueprint is named "bulid"`) {
		t.Errorf("refused: %v", r)
	}
}

// Whoever may write a blueprint says what Terraform does: that is root, or bothyd's user.
func TestFoldersThatOthersMayChangeAreRefused(t *testing.T) {
	in := func(change func(top, dir string)) blueprint.Sources {
		top := t.TempDir()
		dir := filepath.Join(top, "web")
		must(t, os.Rename(named(t, "web", "1.0.0"), dir))
		change(top, dir)
		return folders(top)
	}
	chmod := func(path string, mode os.FileMode) { must(t, os.Chmod(path, mode)) }
	for name, c := range map[string]struct {
		from blueprint.Sources
		want string
	}{
		"a folder of mode 777":         {in(func(_, dir string) { chmod(dir, 0o777) }), "directory web has mode 0777, so others may change it: chmod 755"},
		"a folder that a group writes": {in(func(_, dir string) { chmod(dir, 0o775) }), "directory web has mode 0775"},
		"a file of mode 666":           {in(func(_, dir string) { chmod(dir+"/main.tf", 0o666) }), "main.tf:1:1: got main.tf has mode 0666, so others may change it: chmod 644"},
		"the manifest of mode 620":     {in(func(_, dir string) { chmod(dir+"/blueprint.yaml", 0o620) }), "blueprint.yaml:1:1: got blueprint.yaml has mode 0620"},
		"the folder around it":         {in(func(top, _ string) { chmod(top, 0o777) }), "may change it: chmod 755; only root and bothyd's user may have write access"},
		"a link to a folder": {in(func(top, dir string) {
			must(t, os.Rename(dir, filepath.Join(top, ".elsewhere")))
			must(t, os.Symlink(".elsewhere", dir))
		}), "it is a link or a file; a blueprint is a directory"},
		"a link as the setting": {in(func(top, dir string) {
			must(t, os.Rename(dir, filepath.Join(top, ".elsewhere")))
			must(t, os.Symlink(".elsewhere", dir))
		}), "it is a link or a file"},
		"a link as the setting, to folders": {in(func(top, dir string) { must(t, os.Symlink(".", filepath.Join(top, "all"))) }), "is a link; use the directory itself"},
		"somebody else's": {in(func(_, dir string) {
			if os.Geteuid() == 0 {
				must(t, os.Chown(dir, 12345, -1))
			} else {
				chmod(dir, 0o777)
				t.Log("owners cannot be changed here, so only modes are tried: this is not root")
			}
		}), map[bool]string{true: "directory web belongs to uid 12345", false: "directory web has mode"}[os.Geteuid() == 0]},
		"somebody else's file": {in(func(_, dir string) {
			if os.Geteuid() == 0 {
				must(t, os.Chown(dir+"/main.tf", 12345, -1))
			} else {
				chmod(dir+"/main.tf", 0o666)
				t.Log("owners cannot be changed here, so only modes are tried: this is not root")
			}
		}), map[bool]string{true: "main.tf belongs to uid 12345", false: "main.tf has mode"}[os.Geteuid() == 0]},
	} {
		t.Run(name, func(t *testing.T) {
			from := c.from
			if name == "a link as the setting" {
				from = folders(filepath.Join(from.Folders[0], "web"))
			} else if strings.HasPrefix(name, "a link as") {
				from = folders(filepath.Join(from.Folders[0], "all"))
			}
			catalogue, err := blueprint.Open(from, cache(t))
			must(t, err)
			r := catalogue.Refused()
			if found := slices.ContainsFunc(r, func(r blueprint.Refused) bool { return strings.Contains(r.Err.Error(), c.want) }); !found {
				t.Errorf("refused: %v, want %s", r, c.want)
			}
			if slices.ContainsFunc(catalogue.List(), func(bp fleet.Blueprint) bool { return bp.Ref.Name == "web" }) && name != "a link to a folder" {
				t.Error("it is offered")
			}
		})
	}
}

// TestACacheThatVanishedIsWrittenAgain: whoever tidies the machine may remove the folder that blueprints are kept in, and
// the one that they were loaded from.
func TestACacheThatVanishedIsWrittenAgain(t *testing.T) {
	dir, store := named(t, "web", "1.0.0"), cache(t)
	c, err := blueprint.Open(folders(dir), store)
	must(t, err)
	bp := c.List()[0]
	for _, gone := range []string{bp.Dir, store, dir} {
		_ = os.Chmod(bp.Dir, 0o700) // it may be gone
		must(t, os.RemoveAll(gone))
		got, err := c.Dir(bp.Ref.Digest)
		if err != nil || got != bp.Dir {
			t.Fatalf("without %s it is in %s, %v", gone, got, err)
		}
		if _, err := os.Stat(filepath.Join(got, "main.tf")); err != nil {
			t.Errorf("without %s: %v", gone, err)
		}
	}
}

// TestTheCacheIsTidied: what is neither on offer nor known to be needed goes; whatever is no folder of a digest stays.
func TestTheCacheIsTidied(t *testing.T) {
	dir, store := named(t, "web", "1.0.0"), cache(t)
	needed, err := blueprint.Load(dir, store)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "more.tf"), []byte("locals {}\n"), 0o644))
	unused, err := blueprint.Load(dir, store)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "more.tf"), []byte("locals { a = 1 }\n"), 0o644))
	c, err := blueprint.Open(folders(dir), store)
	must(t, err)
	offered := c.List()[0]
	written := filepath.Join(store, ".new-1")
	must(t, os.Mkdir(written, 0o700))

	there := func(bp fleet.Blueprint) bool {
		_, err := os.Stat(bp.Dir) // Dir would write it again
		return err == nil
	}
	must(t, c.Tidy(t.Context(), func(digest string) bool { return digest == needed.Ref.Digest }))
	if !there(offered) || !there(needed) || there(unused) {
		t.Errorf("on offer: %t, needed: %t, neither: %t", there(offered), there(needed), there(unused))
	}
	if _, err := os.Stat(written); err != nil {
		t.Errorf("what is being written: %v", err)
	}
	must(t, c.Tidy(t.Context(), func(string) bool { return false }))
	if !there(offered) || there(needed) {
		t.Errorf("nothing is needed any more: on offer: %t, the other: %t", there(offered), there(needed))
	}
	must(t, os.RemoveAll(written))
	must(t, os.Rename(store, store+".away"))
	must(t, c.Tidy(t.Context(), func(string) bool { return false }))
	must(t, os.Rename(store+".away", store))
}
