package terraform_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner"
)

func TestCreate(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	spec.Owner.Generation = 3
	var events recorder
	h, err := d.Create(t.Context(), spec, events.add)
	if err != nil {
		t.Fatal(err)
	}
	if h.Sandbox.ID != "made" || len(h.Resources) != 1 || !strings.Contains(string(h.State), `"lineage"`) {
		t.Errorf("handle %+v", h)
	}
	if want := int64(3<<20 + 1); h.Serial != want {
		t.Errorf("serial %d, want %d: later attempts must have higher ones", h.Serial, want)
	}
	events.want(t, "created", 1)
	events.want(t, "error", 0)
	var phases []string
	for _, e := range events.all() {
		if e.At.IsZero() {
			t.Errorf("no time: %+v", e)
		}
		phases = append(phases, e.Phase)
	}
	if diff := cmp.Diff([]string{"plan", "plan", "create", "create"}, phases); diff != "" {
		t.Error(diff)
	}
	for path, mode := range map[string]os.FileMode{"": 0o700, "bothy.auto.tfvars.json": 0o600, "terraform.tfstate": 0o600} {
		if info, err := os.Stat(filepath.Join(workdir(s, spec), path)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: %v, want mode %v (%v)", path, info.Mode(), mode, err)
		}
	}
}

func TestTerraformSeesOnlyWhatIsAllowed(t *testing.T) {
	for _, name := range []string{"TF_CLI_ARGS", "TF_VAR_bothy", "TF_VAR_shm_mib", "TF_WORKSPACE", "TF_DATA_DIR", "TF_PLUGIN_CACHE_DIR", "TF_REATTACH_PROVIDERS", "DOCKER_HOST", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, "canary")
	}
	t.Setenv("HTTPS_PROXY", "http://proxy.example")
	s, d, spec := playing(t, script{}, nil)
	h, err := d.Create(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Destroy(t.Context(), spec, h.State, nil); err != nil {
		t.Fatal(err)
	}
	allowed := []string{
		"BOTHY_TERRAFORM_DRIVER", "BOTHY_TERRAFORM_RUN", "CHECKPOINT_DISABLE", "GOGC", "HOME", "PATH",
		"TF_CLI_CONFIG_FILE", "TF_IN_AUTOMATION", "TMPDIR",
	}
	for _, c := range s.calls("") {
		names := slices.DeleteFunc(c.envNames(), func(n string) bool { return n == "PWD" }) // set by os/exec with Dir
		if diff := cmp.Diff(allowed, names); diff != "" {
			t.Errorf("%s:\n%s", c.Verb, diff)
		}
		for _, v := range c.Env {
			if strings.Contains(v, "canary") {
				t.Errorf("%s sees %s", c.Verb, v)
			}
		}
		for _, arg := range c.Args {
			if strings.HasPrefix(arg, "-var") {
				t.Errorf("%s %s", c.Verb, arg)
			}
		}
	}
	if home, _ := s.calls("apply")[0].env("HOME"); home != workdir(s, spec) {
		t.Errorf("HOME %q", home)
	}
}

func TestInputsArriveAsTheyAre(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	hostile := "${file(\"/etc/passwd\")}\n-chdir=/ \"'`$(id)"
	spec.Inputs = map[string]any{"text": hostile, "flag": true, "big": int64(1<<62 + 1), "part": 0.25}
	if _, err := d.Create(t.Context(), spec, nil); err != nil {
		t.Fatal(err)
	}
	made := s.calls("apply")[0]
	dec := json.NewDecoder(strings.NewReader(made.Inputs))
	dec.UseNumber()
	var got map[string]any
	if err := dec.Decode(&got); err != nil {
		t.Fatal(err)
	}
	labels := map[string]any{}
	for k, v := range spec.Labels {
		labels[k] = v
	}
	want := map[string]any{
		"text": hostile, "flag": true, "big": json.Number("4611686018427387905"), "part": json.Number("0.25"),
		"bothy": map[string]any{
			"instance": "inst", "environment": "env-1", "name": "bothy-inst-env-1", "size": "small", "cpus": json.Number("1.5"),
			"memory_mib": json.Number("64"), "pids": json.Number("10"), "image": "sha256:1", "network": "net", "root": true,
			"labels": labels, "engine": "unix:///engine.sock", "security_opts": []any{}, "ulimits": []any{},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if all := strings.Join(append(made.Args, made.Env...), " "); strings.Contains(all, "passwd") {
		t.Errorf("an input got outside of its file: %s", all)
	}
}

func TestCreateRefusesWhatIsNotASpec(t *testing.T) {
	change := map[string]func(*provisioner.Spec){
		"standard variable": func(s *provisioner.Spec) { s.Inputs = map[string]any{"bothy": "x"} },
		"meta-argument":     func(s *provisioner.Spec) { s.Inputs = map[string]any{"count": int64(1)} },
		"odd name":          func(s *provisioner.Spec) { s.Inputs = map[string]any{"a b": "x"} },
		"empty name":        func(s *provisioner.Spec) { s.Inputs = map[string]any{"": "x"} },
		"odd type":          func(s *provisioner.Spec) { s.Inputs = map[string]any{"x": []string{"y"}} },
		"untyped nil":       func(s *provisioner.Spec) { s.Inputs = map[string]any{"x": nil} },
		"id climbs":         func(s *provisioner.Spec) { s.Owner.Environment = "../x" },
		"id empty":          func(s *provisioner.Spec) { s.Owner.Environment = "" },
		"id dot":            func(s *provisioner.Spec) { s.Owner.Environment = "." },
		"id with NUL":       func(s *provisioner.Spec) { s.Owner.Environment = "a\x00b" },
	}
	for name, change := range change {
		t.Run(name, func(t *testing.T) {
			s, d, spec := playing(t, script{}, nil)
			change(&spec)
			_, err := d.Create(t.Context(), spec, nil)
			wantError(t, err, provisioner.Permanent, false, "")
			if n := len(s.calls("apply")); n > 0 {
				t.Errorf("%d applies", n)
			}
			if left := glob(t, filepath.Join(s.dir, "driver", "work"), "*"); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// With checksums in its lock file each Terraform reads and hashes the whole provider; the template keeps them.
func TestWorkingDirectoryIsLinkedToItsTemplate(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	if _, err := d.Create(t.Context(), spec, nil); err != nil {
		t.Fatal(err)
	}
	lock, err := os.ReadFile(filepath.Join(workdir(s, spec), ".terraform.lock.hcl"))
	if err != nil || strings.Contains(string(lock), "h1:") || !strings.Contains(string(lock), `version = "1.0.0"`) {
		t.Errorf("lock file (%v):\n%s", err, lock)
	}
	target, err := os.Readlink(filepath.Join(workdir(s, spec), ".terraform"))
	if err != nil {
		t.Fatal(err)
	}
	lock, err = os.ReadFile(filepath.Join(filepath.Dir(target), ".terraform.lock.hcl"))
	if err != nil || !strings.Contains(string(lock), "h1:") {
		t.Errorf("the template's lock file (%v):\n%s", err, lock)
	}
	if n := len(s.calls("init")); n != 1 {
		t.Errorf("%d inits", n)
	}
}

func TestCreateMeetsALeftover(t *testing.T) {
	s, d, spec := playing(t, script{}, nil)
	first, err := d.Create(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Create(t.Context(), spec, nil)
	wantError(t, err, provisioner.Conflict, false, "earlier attempt")
	if n := len(s.calls("apply")); n != 1 {
		t.Errorf("%d applies", n)
	}
	if err := d.Destroy(t.Context(), spec, first.State, nil); err != nil {
		t.Fatal(err)
	}
	if _, err = d.Create(t.Context(), spec, nil); err != nil {
		t.Errorf("after destroy: %v", err)
	}
}

func TestWhatApplyLeaves(t *testing.T) {
	cases := []struct {
		does, sentence string
		id             string
		state          bool
	}{
		{does: "", id: "made", state: true},
		{does: "errored", id: "made", state: true},
		{does: "no-output", sentence: `no output "bothy"`, state: true},
		{does: "stopped", sentence: "exited right after it was started", id: "made", state: true},
		{does: "truncated", sentence: "no state that can be read"},
	}
	for _, c := range cases {
		t.Run(c.does, func(t *testing.T) {
			_, d, spec := playing(t, script{Apply: c.does}, nil)
			h, err := d.Create(t.Context(), spec, nil)
			if c.sentence == "" {
				if err != nil {
					t.Fatal(err)
				}
			} else {
				wantError(t, err, provisioner.Permanent, false, c.sentence)
			}
			if h.Sandbox.ID != c.id || (len(h.State) > 0) != c.state {
				t.Errorf("handle %+v", h)
			}
		})
	}
}
