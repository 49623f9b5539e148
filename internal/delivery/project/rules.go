package project

import (
	"bytes"
	"encoding/json"
	"regexp"
)

// rule recognises one kind. An empty why means that the project is not of that kind.
type rule struct {
	kind  Kind
	match func(t tree) (why string, steps []Step, err error)
}

// lookedFor names the files of the rules, for errors.
const lookedFor = "debian/control, go.mod, pyproject.toml, setup.py, CMakeLists.txt, meson.build, configure, configure.ac, package.json and Makefile"

// rules are in the order of preference: the first that matches names the golden path.
var rules = []rule{
	{Debian, debian}, {Go, golang}, {Python, python}, {CMake, cmake}, {Meson, meson}, {Autotools, autotools}, {Node, node}, {Make, makefile},
}

// install is a step that installs Debian packages unless the image has the program.
func install(program, packages string) Step {
	return Step{
		Name: "tools", Root: true,
		Run: "command -v " + program + " || { apt-get update && apt-get install -y --no-install-recommends " + packages + "; }",
	}
}

func debian(t tree) (string, []Step, error) {
	if !t.dir("debian") {
		return "", nil, nil
	}
	control, err := t.read("debian/control")
	if err != nil || control == nil {
		return "", nil, err
	}
	return "debian/control", []Step{
		{Name: "dependencies", Run: "apt-get update && apt-get build-dep -y --no-install-recommends ./", Root: true},
		// dpkg-buildpackage writes the packages beside the source, where the workspace may not be written.
		{Name: "build", Run: `dir=$(mktemp -d) && cp -a . "$dir/source" && ` +
			`(cd "$dir/source" && dpkg-buildpackage --unsigned-source --unsigned-changes --build=binary) && ` +
			`mkdir -p dist && find "$dir" -maxdepth 1 -type f -exec mv -t dist {} +`},
	}, nil
}

func golang(t tree) (string, []Step, error) {
	why := t.first("go.work", "go.mod")
	if why == "" {
		return "", nil, nil
	}
	return why, []Step{
		{Name: "build", Run: "go build ./..."},
		{Name: "vet", Run: "go vet ./..."},
		{Name: "test", Run: "go test ./..."},
	}, nil
}

func python(t tree) (string, []Step, error) {
	why := t.first("pyproject.toml", "setup.py", "setup.cfg", "requirements.txt")
	if why == "" {
		return "", nil, nil
	}
	steps := []Step{{Name: "environment", Run: "python3 -m venv --system-site-packages .venv"}}
	if t.file("requirements.txt") {
		steps = append(steps, Step{Name: "requirements", Run: ".venv/bin/pip install --requirement requirements.txt"})
	}
	if t.first("pyproject.toml", "setup.py") != "" {
		steps = append(steps, Step{Name: "build", Run: ".venv/bin/pip install --editable ."})
	}
	if t.dir("tests") || t.dir("test") {
		steps = append(steps, Step{Name: "test", Run: "if .venv/bin/python -c 'import pytest' 2>/dev/null; then .venv/bin/python -m pytest; else .venv/bin/python -m unittest discover; fi"})
	}
	return why, steps, nil
}

func cmake(t tree) (string, []Step, error) {
	if !t.file("CMakeLists.txt") {
		return "", nil, nil
	}
	return "CMakeLists.txt", []Step{
		{Name: "configure", Run: "cmake -S . -B build -D CMAKE_BUILD_TYPE=RelWithDebInfo"},
		{Name: "build", Run: "cmake --build build --parallel"},
		{Name: "test", Run: "ctest --test-dir build --output-on-failure"},
	}, nil
}

func meson(t tree) (string, []Step, error) {
	if !t.file("meson.build") {
		return "", nil, nil
	}
	return "meson.build", []Step{
		install("meson", "meson ninja-build"),
		{Name: "configure", Run: "meson setup build"},
		{Name: "build", Run: "meson compile -C build"},
		{Name: "test", Run: "meson test -C build --print-errorlogs"},
	}, nil
}

func autotools(t tree) (string, []Step, error) {
	why := t.first("configure", "autogen.sh", "configure.ac", "configure.in")
	if why == "" {
		return "", nil, nil
	}
	var steps []Step
	switch why {
	case "configure":
	case "autogen.sh":
		steps = append(steps, Step{Name: "generate", Run: "NOCONFIGURE=1 sh ./autogen.sh"})
	default:
		steps = append(steps, Step{Name: "generate", Run: "autoreconf --force --install"})
	}
	return why, append(steps,
		Step{Name: "configure", Run: "sh ./configure"},
		Step{Name: "build", Run: `make --jobs="$(nproc)"`},
		Step{Name: "test", Run: "make check"},
	), nil
}

func node(t tree) (string, []Step, error) {
	text, err := t.read("package.json")
	if err != nil || text == nil {
		return "", nil, err
	}
	var pkg struct {
		Scripts map[string]string `json:"scripts"`
	}
	// A file that npm cannot read fails the first step, with npm's own words.
	_ = json.Unmarshal(text, &pkg)
	steps := []Step{install("npm", "nodejs npm"), {Name: "install", Run: "npm install"}}
	if t.file("package-lock.json") {
		steps[1].Run = "npm ci"
	}
	for _, name := range []string{"lint", "build", "test"} {
		if pkg.Scripts[name] != "" {
			steps = append(steps, Step{Name: name, Run: "npm run " + name})
		}
	}
	return "package.json", steps, nil
}

// target is the name of a rule of a makefile.
var target = regexp.MustCompile(`^([A-Za-z0-9_.-]+)\s*::?([^=:]|$)`)

func makefile(t tree) (string, []Step, error) {
	why := t.first("GNUmakefile", "makefile", "Makefile")
	if why == "" {
		return "", nil, nil
	}
	text, err := t.read(why)
	if err != nil {
		return "", nil, err
	}
	targets := map[string]bool{}
	for line := range bytes.Lines(text) {
		if m := target.FindSubmatch(bytes.TrimRight(line, "\r\n")); m != nil {
			targets[string(m[1])] = true
		}
	}
	steps := []Step{{Name: "build", Run: "make"}}
	for _, name := range []string{"test", "check"} {
		if targets[name] {
			steps = append(steps, Step{Name: "test", Run: "make " + name})
			break
		}
	}
	return why, steps, nil
}
