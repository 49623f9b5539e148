package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
)

// testLine matches the summary lines of the package's own test suite (Automake's), and the end of the build.
var testLine = regexp.MustCompile(`^(PASS|FAIL|XFAIL|XPASS|SKIP|ERROR): |^# (TOTAL|PASS|FAIL|ERROR): |^dpkg-deb: building package`)

var testCount = regexp.MustCompile(`(?m)^# (TOTAL|PASS|FAIL|ERROR): +(\d+)$`)

// tests counts the package's own tests in a build's output. It is an error if there were none, or if any failed.
func tests(output string) (int, error) {
	count := map[string]int{}
	for _, m := range testCount.FindAllStringSubmatch(output, -1) {
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return 0, fmt.Errorf("read the test summary: %w", err)
		}
		count[m[1]] += n
	}
	if count["TOTAL"] == 0 {
		return 0, fmt.Errorf("read the test summary: the build ran no tests")
	}
	if bad := count["FAIL"] + count["ERROR"]; bad > 0 || count["PASS"] == 0 {
		return count["TOTAL"], fmt.Errorf("of %s, %d passed and %d failed", plural(count["TOTAL"], "test"), count["PASS"], bad)
	}
	return count["TOTAL"], nil
}

// debFile matches the binary package's file name and its parts: version, architecture.
var debFile = regexp.MustCompile(`(?m)^hello_([0-9][^_\s]*)_([a-z0-9-]+)\.deb$`)

// sourceFile matches the source package's description and its version.
var sourceFile = regexp.MustCompile(`(?m)^hello_([0-9][^_\s]*)\.dsc$`)

// built is a binary package in a directory listing.
type built struct{ file, version, architecture string }

// findDeb finds the built package, and checks that its version is the one that was fetched.
func findDeb(listing string) (built, error) {
	deb, source := debFile.FindStringSubmatch(listing), sourceFile.FindStringSubmatch(listing)
	switch {
	case source == nil:
		return built{}, fmt.Errorf("find the package: there is no source of hello in %q", listing)
	case deb == nil:
		return built{}, fmt.Errorf("find the package: there is no hello_VERSION_ARCHITECTURE.deb in %q", listing)
	case deb[1] != source[1]:
		return built{}, fmt.Errorf("find the package: built is version %s, fetched was %s", deb[1], source[1])
	}
	return built{file: deb[0], version: deb[1], architecture: deb[2]}, nil
}

var controlField = regexp.MustCompile(`(?m)^ ([A-Z][A-Za-z-]*): (.*)$`)

// checkControl compares the control data, as printed by `dpkg-deb -I`, with the file name.
func checkControl(info string, deb built) error {
	fields := map[string]string{}
	for _, m := range controlField.FindAllStringSubmatch(info, -1) {
		fields[m[1]] = m[2]
	}
	for _, want := range [][2]string{{"Package", "hello"}, {"Version", deb.version}, {"Architecture", deb.architecture}} {
		if got := fields[want[0]]; got != want[1] {
			return fmt.Errorf("check the control data: %s is %q, want %q", want[0], got, want[1])
		}
	}
	for _, name := range []string{"Maintainer", "Depends", "Installed-Size"} {
		if fields[name] == "" {
			return fmt.Errorf("check the control data: %s is missing", name)
		}
	}
	return nil
}

// allowedLate is bothy's promise: no environment outlives its lease by more.
const allowedLate = 15 * time.Second

// lateness is how long after the end of its lease an environment was gone.
func lateness(env wire.Environment) (time.Duration, error) {
	switch {
	case env.Lease.End == nil:
		return 0, fmt.Errorf("%s was never handed over: %s", env.Name, strings.TrimSpace(env.State+" "+env.Reason))
	case env.DestroyedAt == nil:
		return 0, fmt.Errorf("%s is not gone: %s", env.Name, strings.TrimSpace(env.State+" "+env.Reason))
	}
	return env.DestroyedAt.Sub(*env.Lease.End), nil
}
