package project_test

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/bothy-env/bothy/internal/delivery/project"
)

// files makes a tree of empty files; a name with " = " has the text after it.
func files(names ...string) fstest.MapFS {
	tree := fstest.MapFS{}
	for _, name := range names {
		name, text, _ := strings.Cut(name, " = ")
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return tree
}

func TestRecognise(t *testing.T) {
	for name, c := range map[string]struct {
		tree  fstest.MapFS
		kinds []project.Kind
		why   string
		steps []string
	}{
		"a Go module":      {files("go.mod", "main.go"), []project.Kind{project.Go}, "go.mod", []string{"build", "vet", "test"}},
		"a Go workspace":   {files("go.mod", "go.work"), []project.Kind{project.Go}, "go.work", []string{"build", "vet", "test"}},
		"a Debian package": {files("debian/control", "go.mod"), []project.Kind{project.Debian, project.Go}, "debian/control", []string{"dependencies", "build"}},
		"a folder called debian": {
			files("debian/notes", "Makefile = all:\n\ttrue\n"), []project.Kind{project.Make}, "Makefile", []string{"build"},
		},
		"Python with tests": {
			files("pyproject.toml", "requirements.txt", "tests/test_a.py"), []project.Kind{project.Python}, "pyproject.toml",
			[]string{"environment", "requirements", "build", "test"},
		},
		"Python requirements alone": {files("requirements.txt"), []project.Kind{project.Python}, "requirements.txt", []string{"environment", "requirements"}},
		"CMake beside a Makefile": {
			files("CMakeLists.txt", "Makefile = test:\n"), []project.Kind{project.CMake, project.Make}, "CMakeLists.txt", []string{"configure", "build", "test"},
		},
		"Meson":                  {files("meson.build"), []project.Kind{project.Meson}, "meson.build", []string{"tools", "configure", "build", "test"}},
		"a release of Autotools": {files("configure", "configure.ac"), []project.Kind{project.Autotools}, "configure", []string{"configure", "build", "test"}},
		"a clone of Autotools":   {files("configure.ac"), []project.Kind{project.Autotools}, "configure.ac", []string{"generate", "configure", "build", "test"}},
		"Node": {
			files(`package.json = {"scripts": {"test": "node --test", "start": "node ."}}`, "package-lock.json"), []project.Kind{project.Node}, "package.json",
			[]string{"tools", "install", "test"},
		},
		"a package.json that is none": {files(`package.json = [`), []project.Kind{project.Node}, "package.json", []string{"tools", "install"}},
		"make with a test": {
			files("Makefile = CC := cc\ntest := no\nall: a\na:\n\tcc\ntest : a\n\t./a\n"), []project.Kind{project.Make}, "Makefile", []string{"build", "test"},
		},
		"a variable is no target": {files("Makefile = test := no\ncheck::=no\n"), []project.Kind{project.Make}, "Makefile", []string{"build"}},
	} {
		t.Run(name, func(t *testing.T) {
			found, err := project.Recognise(c.tree)
			if err != nil {
				t.Fatal(err)
			}
			var kinds []project.Kind
			for _, f := range found {
				kinds = append(kinds, f.Kind)
			}
			var steps []string
			for _, s := range found[0].Steps {
				steps = append(steps, s.Name)
				if s.Run == "" {
					t.Errorf("step %s runs nothing", s.Name)
				}
			}
			if !slices.Equal(kinds, c.kinds) || found[0].Why != c.why || !slices.Equal(steps, c.steps) {
				t.Errorf("got %v by %s with steps %v, want %v by %s with %v", kinds, found[0].Why, steps, c.kinds, c.why, c.steps)
			}
		})
	}
}

func TestRecogniseNothing(t *testing.T) {
	tree := files("notes.txt", "sub/go.mod")
	tree["go.mod"] = &fstest.MapFile{Mode: fs.ModeNamedPipe}
	tree["pyproject.toml"] = &fstest.MapFile{Mode: fs.ModeDir}
	if found, err := project.Recognise(tree); !errors.Is(err, project.ErrUnknown) || !strings.Contains(err.Error(), "go.mod") {
		t.Errorf("got %v, %v; want that nothing is known, and what is looked for", found, err)
	}
}

// TestRecogniseHugeFiles: a repository's files are claims. A makefile of 100 MB, or with one line of 2 MB, costs no more than a small one.
func TestRecogniseHugeFiles(t *testing.T) {
	for name, text := range map[string]string{
		"lines": "test:\n" + strings.Repeat("a:\n", 1<<20), "a line": "test:\n" + strings.Repeat("a", 2<<20), "one line": strings.Repeat("a", 2<<20),
	} {
		found, err := project.Recognise(fstest.MapFS{"Makefile": {Data: []byte(text)}})
		if err != nil || found[0].Kind != project.Make {
			t.Errorf("%s: got %+v, %v; want make", name, found, err)
		}
	}
}
