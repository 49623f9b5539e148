package main

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/internal/api/wire"
)

const summary = `PASS: tests/greeting-1
============================================================================
Testsuite summary for GNU Hello 2.10
============================================================================
# TOTAL: 5
# PASS:  5
# SKIP:  0
# XFAIL: 0
# FAIL:  0
# XPASS: 0
# ERROR: 0
`

func TestTestsAreCounted(t *testing.T) {
	for _, c := range []struct {
		name, output, wrong string
		want                int
	}{
		{"all pass", summary, "", 5},
		{"in two folders", summary + summary, "", 10},
		{"one fails", strings.Replace(strings.Replace(summary, "PASS:  5", "PASS:  4", 1), "FAIL:  0", "FAIL:  1", 1), "4 passed and 1 failed", 5},
		{"one errs", strings.Replace(summary, "ERROR: 0", "ERROR: 1", 1), "1 failed", 5},
		{"all are skipped", strings.Replace(summary, "PASS:  5", "PASS:  0", 1), "0 passed", 5},
		{"none ran", "make[1]: Nothing to be done for 'check'.\n", "ran no tests", 0},
		{"a total of none", strings.ReplaceAll(summary, "5", "0"), "ran no tests", 0},
	} {
		got, err := tests(c.output)
		if got != c.want || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %d, %v; want %d and an error with %q", c.name, got, err, c.want, c.wrong)
		}
	}
}

const listing = `hello_2.10-3.debian.tar.xz
hello_2.10-3.dsc
hello_2.10-3_amd64.buildinfo
hello_2.10-3_amd64.deb
hello_2.10.orig.tar.gz
`

func TestFindDeb(t *testing.T) {
	got, err := findDeb(listing)
	want := built{file: "hello_2.10-3_amd64.deb", version: "2.10-3", architecture: "amd64"}
	if err != nil || got != want {
		t.Errorf("findDeb = %v, %v; want %v", got, err, want)
	}
	for _, c := range []struct{ name, listing, wrong string }{
		{"no package", strings.ReplaceAll(listing, ".deb\n", ".txt\n"), "no hello_VERSION_ARCHITECTURE.deb"},
		{"no source", strings.ReplaceAll(listing, ".dsc\n", ".txt\n"), "no source"},
		{"another version", strings.ReplaceAll(listing, "3_amd64.deb", "2_amd64.deb"), "built is version 2.10-2, fetched was 2.10-3"},
		{"a path", "../" + listing, ""},
	} {
		got, err := findDeb(c.listing)
		if c.wrong == "" {
			if err != nil || got != want {
				t.Errorf("%s: %v, %v; want %v", c.name, got, err, want)
			}
		} else if err == nil || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.wrong)
		}
	}
	if _, err := findDeb("hello_2.10-3.dsc\nx/hello_2.10-3_amd64.deb\nhello_2.10-3_../x.deb\n"); err == nil {
		t.Error("a name with a folder in it is taken for the package")
	}
}

const control = ` new Debian package, version 2.0.
 size 53076 bytes: control archive=1868 bytes.
 Package: hello
 Version: 2.10-3
 Architecture: amd64
 Maintainer: Santiago Vila <sanvila@debian.org>
 Installed-Size: 277
 Depends: libc6 (>= 2.34)
 Description: example package based on GNU hello
  The GNU hello program produces a familiar, friendly greeting.
`

func TestCheckControl(t *testing.T) {
	deb := built{file: "hello_2.10-3_amd64.deb", version: "2.10-3", architecture: "amd64"}
	if err := checkControl(control, deb); err != nil {
		t.Errorf("right control data: %v", err)
	}
	for _, c := range []struct{ old, new, wrong string }{
		{"Package: hello", "Package: goodbye", `Package is "goodbye", want "hello"`},
		{"Version: 2.10-3", "Version: 2.10-30", `Version is "2.10-30"`},
		{"Architecture: amd64", "Architecture: all", `Architecture is "all"`},
		{" Maintainer: Santiago", " Uploader: Santiago", "Maintainer is missing"},
		{" Depends:", " Pre-Depends:", "Depends is missing"},
		{"Installed-Size: 277", "Installed-Size: ", "Installed-Size is missing"},
		{control, "", `Package is ""`},
	} {
		err := checkControl(strings.Replace(control, c.old, c.new, 1), deb)
		if err == nil || !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("with %q: %v, want an error with %q", c.new, err, c.wrong)
		}
	}
}

// briefGone is an environment that was gone so long after the end of its lease.
func briefGone(late time.Duration) wire.Environment {
	end := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	gone := end.Add(late)
	return wire.Environment{
		Name: "brief", State: "destroyed", DestroyedAt: &gone, Lease: wire.Lease{End: &end},
		Cost: wire.Cost{Currency: "USD", AccruedMicros: 58},
	}
}

func TestReportFailsWhenAPromiseDoesNotHold(t *testing.T) {
	good := func() found {
		return found{
			ready: 3200 * time.Millisecond, sinceStart: 3600 * time.Millisecond, prepare: 22900 * time.Millisecond, build: 87400 * time.Millisecond,
			tests: 5, deb: built{file: "hello_2.10-3_amd64.deb"},
			hello: wire.Environment{State: "destroyed", Cost: wire.Cost{Currency: "USD", AccruedMicros: 1252}},
			brief: ending{env: briefGone(900 * time.Millisecond)},
		}
	}
	want := strings.TrimPrefix(`
ok    time to ready            3.2s  bothy up: created by Terraform, source in place; 3.6s after the demo's start
ok    build                 1m27.4s  hello_2.10-3_amd64.deb, its 5 tests passed; 22.9s before that for build dependencies and source
ok    20 s lease expired  0.9s late  gone that long after its end; at most 15s is promised
ok    cost                $0.001310  hello $0.001252, brief $0.000058
ok    left at Docker              0  containers, networks, volumes with this daemon's label`, "\n")
	if diff := cmp.Diff(want, strings.Join(table(good().report()), "\n")); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		name   string
		change func(*found)
		fails  string
	}{
		{"just in time", func(f *found) { f.brief.env = briefGone(15 * time.Second) }, ""},
		{"too late", func(f *found) { f.brief.env = briefGone(15*time.Second + 1) }, "20 s lease"},
		{"too early", func(f *found) { f.brief.env = briefGone(-1) }, "20 s lease"},
		{"never gone", func(f *found) { f.brief.env.DestroyedAt = nil }, "20 s lease"},
		{"never handed over", func(f *found) { f.brief.env.Lease.End = nil }, "20 s lease"},
		{"gone, but not at Docker", func(f *found) { f.brief.left = []string{"container abc"} }, "20 s lease"},
		{"free of charge", func(f *found) { f.hello.Cost.AccruedMicros, f.brief.env.Cost.AccruedMicros = 0, 0 }, "cost"},
		{"still running up costs", func(f *found) { f.hello.State = "destroying" }, "cost"},
		{"a network is left", func(f *found) { f.left = []string{"network abc"} }, "left at Docker"},
	} {
		f := good()
		c.change(&f)
		for _, r := range f.report() {
			if r.failed != (c.fails != "" && strings.HasPrefix(r.what, c.fails)) {
				t.Errorf("%s: row %q failed: %t", c.name, r.what, r.failed)
			}
		}
	}
}
