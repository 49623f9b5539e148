//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestCount: what `go test -json` says becomes numbers, the innermost failures and the reasons of skips.
func TestCount(t *testing.T) {
	said := `{"Action":"start","Package":"p"}
{"Action":"run","Test":"TestA"}
{"Action":"pass","Test":"TestA/one"}
{"Action":"output","Test":"TestA/two","Output":"    a_test.go:7: want this\n"}
{"Action":"fail","Test":"TestA/two"}
{"Action":"fail","Test":"TestA"}
not of the suite
{"Action":"output","Test":"TestB","Output":"=== RUN   TestB\n"}
{"Action":"output","Test":"TestB","Output":"    b_test.go:9: no kernel for it\n"}
{"Action":"output","Test":"TestB","Output":"--- SKIP: TestB (0.00s)\n"}
{"Action":"skip","Test":"TestB"}
{"Action":"fail","Package":"p"}
`
	var got tried
	got.count([]byte(said))
	want := tried{Passed: 1, Failed: 2, Broken: []string{"TestA/two"}, Skipped: []skipped{{"TestB", "no kernel for it"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestReport: every engine has a line for each suite; below are failures with their names, and skips with reason and number.
func TestReport(t *testing.T) {
	good := outcome{cell: cell{"forky", "overlay2", "iptables"}, found: found{
		Engine: facts{"28.5.2", "1.51", "v1 cgroupfs", "overlay2", "iptables"},
		Tried:  []tried{{Suite: "docker", Passed: 9, Skipped: []skipped{{"TestB", "no kernel for it"}}, Took: 3 * time.Second}},
	}}
	bad := outcome{cell: cell{"trixie", "containerd", "iptables"}, found: found{
		Engine: facts{"26.1.5", "1.45", "v1 cgroupfs", "containerd overlayfs", "iptables"},
		Tried:  []tried{{Suite: "docker", Passed: 8, Failed: 1, Broken: []string{"TestA/two"}, Skipped: []skipped{{"TestB", "no kernel for it"}}, Err: "exit status 1; log: L"}},
	}}
	dead := outcome{cell: cell{"trixie", "overlay2", "nftables"}, err: errBoom{}}
	var out bytes.Buffer
	report(&out, []outcome{good, bad, dead})
	for _, want := range []string{
		"forky    28.5.2  1.51  v1 cgroupfs     overlay2              iptables  docker  9", "trixie   26.1.5  1.45  v1 cgroupfs     containerd overlayfs  iptables  docker  8",
		"failed   trixie-containerd-iptables docker: TestA/two\n", "failed   trixie-overlay2-nftables: boom\n", "skipped  TestB (2 of 3 engines): no kernel for it\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in:\n%s", want, &out)
		}
	}
	for _, c := range []struct {
		o    outcome
		want bool
	}{{good, false}, {bad, true}, {dead, true}} {
		if c.o.failed() != c.want {
			t.Errorf("%s failed: got %v", c.o.cell, !c.want)
		}
	}
}

type errBoom struct{}

func (errBoom) Error() string { return "boom" }

// TestConfig: the engine's configuration names an image store that the engine knows, and no option that older engines do not.
func TestConfig(t *testing.T) {
	for c, want := range map[cell]map[string]any{
		{"trixie", "overlay2", "iptables"}: {"storage-driver": "overlay2", "features": map[string]any{"containerd-snapshotter": false}},
		{"sid", "containerd", "nftables"}: {
			"storage-driver": "overlayfs", "features": map[string]any{"containerd-snapshotter": true}, "firewall-backend": "nftables",
		},
	} {
		var got map[string]any
		if err := json.Unmarshal([]byte(c.config()), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c, diff)
		}
	}
}
