package terraform_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

// What the provider and the engine really said, by class.
func TestDiagnosticsHaveAClass(t *testing.T) {
	cases := []struct {
		says        string
		class       provisioner.Class
		unavailable bool
	}{
		{`Unable to create container: Error response from daemon: Conflict. The container name "/x" is already in use by container "4c7". You have to remove (or rename) that container to be able to reuse that name.`, provisioner.Conflict, false},
		{`Unable to create network: Error response from daemon: network with name x already exists`, provisioner.Conflict, false},
		{`failed to create Docker client: Error pinging Docker server, please make sure that unix:///var/run/nope.sock is reachable and has a  '_ping' endpoint. Error: Cannot connect to the Docker daemon at unix:///var/run/nope.sock. Is the docker daemon running?`, provisioner.Transient, true},
		{`Error stopping container 1: error during connect: Post "http://%2Fvar%2Frun%2Fdocker.sock/v1.41/containers/1/stop": EOF`, provisioner.Transient, true},
		{`dial unix /var/run/docker.sock: connect: no such file or directory`, provisioner.Transient, true},
		{`dial unix /var/run/docker.sock: connect: permission denied`, provisioner.Transient, true},
		{`Get "http://10.0.0.1:2375/_ping": dial tcp 10.0.0.1:2375: i/o timeout`, provisioner.Transient, true},
		{`Unable to create network: could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network`, provisioner.Quota, false},
		{`Error response from daemon: all predefined address pools have been fully subnetted`, provisioner.Quota, false},
		{`Unable to start container: mkdir /var/lib/docker/overlay2/1: no space left on device`, provisioner.Quota, false},
		{`Plugin did not respond: The plugin encountered an error, and failed to respond to the plugin.(*GRPCProvider).ApplyResourceChange call.`, provisioner.Transient, false},
		{`Request cancelled: The plugin6.(*GRPCProvider).ApplyResourceChange request was cancelled.`, provisioner.Transient, false},
		{`Failed to load plugin schemas: Error while loading schemas for plugin components: Failed to obtain provider schema: Could not load the schema for provider x: failed to instantiate provider "x" to obtain schema: connection refused.`, provisioner.Transient, false},
		{`Unable to create container with image nope/nope:1: unable to pull image nope/nope:1: error pulling image nope/nope:1: Error response from daemon: Get "https://registry.example/v2/": net/http: TLS handshake timeout`, provisioner.Permanent, false},
		{`Resource postcondition failed: The sandbox ended right after it was started`, provisioner.Permanent, false},
		{`Error response from daemon: network x not found`, provisioner.Permanent, false},
		{`Invalid value for input variable: a number is required.`, provisioner.Permanent, false},
		{`The word geoffrey holds no end of file`, provisioner.Permanent, false},
	}
	s, d, spec := playing(t, script{}, nil)
	for i, c := range cases {
		s.play(script{Apply: "diagnostic", Says: c.says})
		spec.Owner.Environment = "env-" + strconv.Itoa(i)
		var events recorder
		_, err := d.Create(t.Context(), spec, events.add)
		wantError(t, err, c.class, c.unavailable, strings.Fields(c.says)[0])
		events.want(t, "error", 1)
	}
}

func TestTerraformFailsWithoutADiagnostic(t *testing.T) {
	cases := []struct {
		does, says  string
		class       provisioner.Class
		unavailable bool
		sentence    string
	}{
		{"panic", "", provisioner.Transient, false, "Terraform crashed: panic: runtime error"},
		{"garbage", "Segmentation fault", provisioner.Permanent, false, "Segmentation fault"},
		{"stderr", "Error: The cause\n\n" + strings.Repeat("It goes on.\n", 5000), provisioner.Permanent, false, "The cause"},
		{"flood", "", provisioner.Permanent, false, "Terraform printed more than 16 MiB and was ended"},
		{"126", "", provisioner.Transient, true, "cannot be run"},
		{"127", "", provisioner.Transient, true, "cannot be run"},
		{"suicide", "", provisioner.Transient, false, "ended from outside"},
		{"stderr", "╷\n│ Error: Inconsistent dependency lock file\n│ \n│ The following dependency selections\n│ are inconsistent\n╵", provisioner.Permanent, false, "Inconsistent dependency lock file: The following dependency selections are inconsistent"},
	}
	for _, c := range cases {
		t.Run(c.does, func(t *testing.T) {
			_, d, spec := playing(t, script{Apply: c.does, Says: c.says}, nil)
			_, err := d.Create(t.Context(), spec, nil)
			wantError(t, err, c.class, c.unavailable, c.sentence)
			if s := provisioner.Sentence(err); strings.ContainsAny(s, "\n\x00") || len(s) > 800 {
				t.Errorf("not one sentence: %q", s)
			}
		})
	}
}

func TestTerraformGoneBetweenPrepareAndCreate(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.dir, "terraform")); err != nil {
		t.Fatal(err)
	}
	_, err := d.Create(t.Context(), spec, nil)
	wantError(t, err, provisioner.Transient, true, "no such file")
}

// startCreate runs Create and returns when Terraform is in the middle of it.
func startCreate(t *testing.T, ctx context.Context, s *stage, d *terraform.Driver, spec provisioner.Spec) <-chan error {
	t.Helper()
	var events recorder
	done := make(chan error, 1)
	go func() {
		_, err := d.Create(ctx, spec, events.add)
		done <- err
	}()
	eventually(t, "apply has begun", func() bool {
		for _, e := range events.all() {
			if strings.Contains(e.Message, "Creating...") {
				return true
			}
		}
		return false
	})
	return done
}

func TestCancel(t *testing.T) {
	for _, does := range []string{"hang", "stubborn", "orphan"} {
		t.Run(does, func(t *testing.T) {
			s, d, spec := playing(t, script{Apply: does}, func(c *terraform.Config) { c.Grace = 300 * time.Millisecond })
			ctx, cancel := context.WithCancel(t.Context())
			done := startCreate(t, ctx, s, d, spec)
			if does == "orphan" {
				eventually(t, "orphan", func() bool { return exists(filepath.Join(s.dir, "orphan")) })
			}
			cancel()
			wantError(t, <-done, provisioner.Cancelled, false, "")
			if running(s.calls("apply")[0].Pid) {
				t.Error("Terraform still runs")
			}
			if does == "orphan" && running(number(t, filepath.Join(s.dir, "orphan"))) {
				t.Error("what Terraform started still runs")
			}
			s.play(script{})
			if err := d.Destroy(t.Context(), spec, nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	s, d, spec := playing(t, script{Apply: "hang"}, nil)
	if err := d.Prepare(t.Context(), spec.Blueprint); err != nil { // without the limit, which a busy machine may not keep
		t.Fatal(err)
	}
	cfg := s.config()
	cfg.Timeout = 2 * time.Second
	_, err := open(t, cfg).Create(t.Context(), spec, nil)
	wantError(t, err, provisioner.Transient, false, "did not finish within 2s")
	if running(s.calls("apply")[0].Pid) {
		t.Error("Terraform still runs")
	}
}

func TestCancelledBeforeItBegins(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := d.Create(ctx, spec, nil)
	wantError(t, err, provisioner.Cancelled, false, "")
	wantError(t, d.Destroy(ctx, spec, nil, nil), provisioner.Cancelled, false, "")
	if n := len(s.calls("apply")); n > 0 || exists(workdir(s, spec)) {
		t.Errorf("%d applies", n)
	}
}

func TestOneTerraformForAnEnvironment(t *testing.T) {
	s, d, spec := playing(t, script{Apply: "hang"}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := startCreate(t, ctx, s, d, spec)
	waiting, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	wantError(t, d.Destroy(waiting, spec, nil, nil), provisioner.Cancelled, false, "")
	if n := len(s.calls("destroy")); n > 0 {
		t.Error("destroy ran beside apply")
	}
	cancel()
	wantError(t, <-done, provisioner.Cancelled, false, "")
	if err := d.Destroy(t.Context(), spec, nil, nil); err != nil {
		t.Error(err)
	}
}

// running reports whether a process lives; a zombie does not.
func running(pid int) bool {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(status, []byte(") "))
	return len(rest) > 0 && rest[0] != 'Z' && rest[0] != 'X'
}

func number(t *testing.T, path string) int {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
