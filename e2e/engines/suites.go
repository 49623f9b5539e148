//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// suite is a suite that every engine must pass.
type suite struct {
	name string
	// argv runs it, in the repository's root.
	argv []string
	// tests: it prints the output of `go test -json`.
	tests bool
}

func goTest(folder string, more ...string) []string {
	return append([]string{"go", "test", "-json", "-count", "1", "-timeout", "60m", folder}, more...)
}

var suites = []suite{
	{"docker", goTest("./provisioner/docker/..."), true},
	{"terraform", goTest("./provisioner/terraform", "-run", "Real|Conformance"), true},
	{"isolation", goTest("./e2e/isolation"), true},
	{"demo", []string{"bin/bothy-demo"}, false},
}

func suiteNames() (names []string) {
	for _, s := range suites {
		names = append(names, s.name)
	}
	return names
}

// facts are what an engine reports about itself.
type facts struct{ Version, API, Groups, Store, Firewall string }

// tried is the result of one suite.
type tried struct {
	Suite          string
	Passed, Failed int
	Broken         []string // the failed tests, without their parents
	Skipped        []skipped
	Err            string
	Took           time.Duration
}

type skipped struct{ Test, Why string }

// found is what a machine writes for its starter.
type found struct {
	Engine facts
	Tried  []tried
}

// inside runs the suites on the machine that machine.sh made.
func inside(ctx context.Context, names []string, only, logs, results string) error {
	var f found
	var err error
	if f.Engine, err = ask(ctx); err != nil {
		return err
	}
	fmt.Printf("Docker %s, API %s, control groups %s, images in %s, firewall by %s\n", f.Engine.Version, f.Engine.API, f.Engine.Groups, f.Engine.Store, f.Engine.Firewall)
	for _, name := range names {
		i := slices.IndexFunc(suites, func(s suite) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("unknown suite %q; the suites are %s", name, strings.Join(suiteNames(), ", "))
		}
		t := suites[i].run(ctx, only, logs+"-"+name+".log")
		fmt.Printf("%-10s %4d passed %3d skipped %3d failed  %s\n", name, t.Passed, len(t.Skipped), t.Failed, t.Took.Round(time.Second))
		f.Tried = append(f.Tried, t)
		text, err := json.Marshal(f)
		if err == nil {
			err = os.WriteFile(results, text, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ask asks the engine for its facts, with the docker command and without bothy's code.
func ask(ctx context.Context) (f facts, err error) {
	var said struct {
		ServerVersion, CgroupVersion, CgroupDriver, Driver string
		DriverStatus                                       [][2]string
		FirewallBackend                                    *struct{ Driver string }
	}
	out, err := exec.CommandContext(ctx, "docker", "info", "--format", "{{json .}}").Output()
	if err == nil {
		err = json.Unmarshal(out, &said)
	}
	if err != nil {
		return f, fmt.Errorf("ask the engine: %w", err)
	}
	api, err := exec.CommandContext(ctx, "docker", "version", "--format", "{{.Server.APIVersion}}").Output()
	if err != nil {
		return f, fmt.Errorf("ask the engine for its version: %w", err)
	}
	f = facts{said.ServerVersion, strings.TrimSpace(string(api)), "v" + said.CgroupVersion + " " + said.CgroupDriver, said.Driver, "iptables"}
	if slices.ContainsFunc(said.DriverStatus, func(s [2]string) bool { return strings.HasPrefix(s[1], "io.containerd.") }) {
		f.Store = "containerd " + said.Driver
	}
	if said.FirewallBackend != nil {
		f.Firewall = said.FirewallBackend.Driver
	}
	return f, nil
}

// run runs a suite. Its output goes to a log.
func (s suite) run(ctx context.Context, only, log string) (t tried) {
	began := time.Now()
	t.Suite = s.name
	argv := s.argv
	if only != "" && s.tests {
		argv = append(slices.Clone(argv), "-run", only)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // one of ours
	var said bytes.Buffer
	file, err := os.Create(filepath.Clean(log))
	if err != nil {
		t.Err = err.Error()
		return t
	}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(file, &said), file
	err = errors.Join(cmd.Run(), file.Close())
	t.Took = time.Since(began)
	if s.tests {
		t.count(said.Bytes())
	}
	switch {
	case err == nil && !s.tests:
		t.Passed = 1
	case err != nil && !s.tests:
		t.Failed, t.Broken = 1, []string{s.name}
	}
	if err != nil {
		t.Err = fmt.Sprintf("%v; log: %s", err, log)
	}
	return t
}

// event is a line of `go test -json`.
type event struct{ Action, Test, Output string }

// remark is a test's message, with its place in front.
var remark = regexp.MustCompile(`^\s+\S+\.go:\d+: (.+)\n$`)

// count parses the output of `go test -json`.
func (t *tried) count(said []byte) {
	why := map[string]string{} // test -> its last message
	var broken []string
	for line := range bytes.Lines(said) {
		var e event
		if json.Unmarshal(line, &e) != nil || e.Test == "" {
			continue // of the package, or what a program printed itself
		}
		switch e.Action {
		case "output":
			if m := remarkOf(e.Output); m != "" {
				why[e.Test] = m
			}
		case "pass":
			t.Passed++
		case "skip":
			t.Skipped = append(t.Skipped, skipped{e.Test, why[e.Test]})
		case "fail":
			t.Failed++
			broken = append(broken, e.Test)
		}
	}
	for _, name := range broken {
		if !slices.ContainsFunc(broken, func(other string) bool { return strings.HasPrefix(other, name+"/") }) {
			t.Broken = append(t.Broken, name)
		}
	}
}

func remarkOf(output string) string {
	if m := remark.FindStringSubmatch(output); m != nil {
		return m[1]
	}
	return ""
}
