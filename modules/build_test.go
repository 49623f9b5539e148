package modules_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/bothy-env/bothy/provisioner/terraform"
)

// hostConfig is the part of a container's settings that keeps it apart from the machine.
type hostConfig struct {
	NetworkMode, IpcMode, CgroupnsMode, PidMode, UTSMode, UsernsMode string
	CapAdd, CapDrop, SecurityOpt, Binds, GroupAdd                    []string
	Mounts, Devices, DeviceRequests                                  []any
	PortBindings                                                     map[string]any
	Privileged, AutoRemove, PublishAllPorts, Init                    bool
	Memory, MemorySwap, CpuPeriod, CpuQuota, ShmSize                 int64
	Tmpfs                                                            map[string]string
	RestartPolicy                                                    struct{ Name string }
	LogConfig                                                        struct {
		Type   string
		Config map[string]string
	}
	Ulimits []struct {
		Name       string
		Soft, Hard int64
	}
}

// What the module makes of typed values, to the letter: a change of any default must be meant.
func TestTheSandboxIsHardened(t *testing.T) {
	for name, root := range map[string]bool{"root allowed": true, "root not allowed": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			labels := map[string]string{"bothy.test": b.name, "bothy.owner": "a \"quoted\" ${owner}"}
			id := b.apply(t, root, labels)

			var got []struct {
				HostConfig hostConfig
				Config     struct {
					User, Hostname, StopSignal string
					Labels                     map[string]string
				}
				NetworkSettings struct{ Networks map[string]any }
			}
			must(t, json.Unmarshal([]byte(b.docker(t, "inspect", id)), &got))
			want := hostConfig{
				NetworkMode: b.name, IpcMode: "private", CgroupnsMode: "private",
				CapDrop: []string{"ALL"}, SecurityOpt: []string{"no-new-privileges:true"},
				Init:   true,
				Memory: 512 << 20, MemorySwap: 512 << 20, CpuPeriod: 100000, CpuQuota: 150000, ShmSize: 32 << 20,
				Tmpfs: map[string]string{"/run/bothy": "rw,nosuid,nodev,noexec,size=1m,mode=0700,uid=1000,gid=1000"},
			}
			want.RestartPolicy.Name = "no"
			want.LogConfig.Type = "json-file"
			want.LogConfig.Config = map[string]string{"max-file": "3", "max-size": "10m"}
			want.Ulimits = []struct {
				Name       string
				Soft, Hard int64
			}{{"core", 0, 0}, {"nofile", 4096, 16384}}
			user := "65534:65534"
			if root {
				user = "0:0"
				want.CapAdd = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID"}
			}
			host := got[0].HostConfig
			for i, c := range host.CapAdd { // older and newer engines spell them with and without the prefix
				host.CapAdd[i] = "CAP_" + strings.TrimPrefix(c, "CAP_")
			}
			if diff := cmp.Diff(want, host, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if c := got[0].Config; c.User != user || c.StopSignal != "SIGKILL" {
				t.Errorf("user %q, stop signal %q", c.User, c.StopSignal)
			}
			for k, v := range labels {
				if got[0].Config.Labels[k] != v {
					t.Errorf("label %s is %q, want %q", k, got[0].Config.Labels[k], v)
				}
			}
			if n := got[0].NetworkSettings.Networks; len(n) != 1 || n[b.name] == nil {
				t.Errorf("it is on the networks %v, want %s alone", n, b.name)
			}
			b.inside(t, id, root)
			b.terraform(t, "destroy", "-auto-approve", "-no-color", "-input=false")
			if left := b.docker(t, "ps", "-aq", "--filter", "label=bothy.test="+b.name); left != "" {
				t.Errorf("after destroy there is still %s", left)
			}
		})
	}
}

// inside looks at the sandbox from within, as its users.
func (b *bench) inside(t *testing.T, id string, root bool) {
	t.Helper()
	status := func(user string) string {
		return b.docker(t, "exec", "-u", user, id, "sed", "-nE", `s/^(CapEff|NoNewPrivs|Seccomp):\s*//p`, "/proc/self/status")
	}
	if got := status("dev"); got != "0000000000000000\n1\n2" {
		t.Errorf("dev has capabilities, no_new_privs, seccomp %q", got)
	}
	capabilities := "0000000000000000"
	if root {
		capabilities = "00000000000000cb" // the five that apt and dpkg need
	}
	if got := status("root"); got != capabilities+"\n1\n2" {
		t.Errorf("root has capabilities, no_new_privs, seccomp %q, want %s first", got, capabilities)
	}
	for what, c := range map[string]struct{ user, script, want string }{
		"the workspace is dev's":    {"dev", "touch /workspace/x && echo yes", "yes"},
		"secrets are dev's":         {"dev", "touch /run/bothy/x && echo yes", "yes"},
		"secrets are nobody else's": {"nobody", "ls /run/bothy 2>/dev/null || echo no", "no"},
		"secrets hold no programs":  {"dev", "cp /bin/true /run/bothy/x && /run/bothy/x 2>/dev/null || echo no", "no"},
		"no socket":                 {"dev", "ls /var/run/docker.sock 2>/dev/null || echo no", "no"},
	} {
		if got := b.docker(t, "exec", "-u", c.user, id, "sh", "-c", c.script); got != c.want {
			t.Errorf("%s: got %q, want %q", what, got, c.want)
		}
	}
	// The shell dies of it as well, so its exit code says nothing.
	_, _ = b.try("docker", "exec", "-u", "dev", id, "sh", "-c", "kill -9 -1")
	if got := b.docker(t, "inspect", "-f", "{{.State.Running}}", id); got != "true" {
		t.Errorf("after dev killed everything it may, the sandbox runs: %s", got)
	}
}

// bench is a folder with the module's files and a network of its own.
type bench struct{ name, dir, binary, config string }

func newBench(t *testing.T) *bench {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the Docker engine and Terraform; left out by -short")
	}
	b := &bench{dir: t.TempDir()}
	// Unique among tests that run at once on one engine.
	b.name = "bothy-test-" + strconv.Itoa(os.Getpid()) + "-" + filepath.Base(b.dir)
	cache := os.Getenv("BOTHY_CACHE")
	if cache == "" {
		base, err := os.UserCacheDir()
		must(t, err)
		cache = filepath.Join(base, "bothy")
	}
	if found := terraform.Candidates("", filepath.Join(cache, "bin")); len(found) > 0 {
		b.binary = found[0]
	}
	mirror := filepath.Join(cache, "mirror")
	_, mirrorErr := os.Stat(mirror)
	_, imageErr := b.try("docker", "image", "inspect", "bothy/build")
	if b.binary == "" || mirrorErr != nil || imageErr != nil {
		missing := "Terraform, its mirror or the image bothy/build is missing here; make setup gets them"
		if os.Getenv("CI") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	files, err := filepath.Glob("build/*.tf")
	must(t, err)
	for _, file := range files {
		data, err := os.ReadFile(file)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(b.dir, filepath.Base(file)), data, 0o600))
	}
	b.config = filepath.Join(t.TempDir(), "rc")
	must(t, os.WriteFile(b.config, []byte("provider_installation {\n  filesystem_mirror {\n    path = \""+mirror+"\"\n  }\n}\n"), 0o600))
	t.Cleanup(func() {
		if left := b.docker(t, "ps", "-aq", "--filter", "label=bothy.test="+b.name); left != "" {
			b.docker(t, append([]string{"rm", "-f"}, strings.Fields(left)...)...)
		}
		b.docker(t, "network", "rm", b.name)
	})
	b.docker(t, "network", "create", "--label", "bothy.test="+b.name, b.name)
	return b
}

// apply makes the sandbox and gives its id as the module tells it.
func (b *bench) apply(t *testing.T, root bool, labels map[string]string) string {
	t.Helper()
	values, err := json.Marshal(map[string]any{"shm_mib": 32, "bothy": map[string]any{
		"instance": "test", "environment": "env1", "name": b.name, "size": "small", "cpus": 1.5, "memory_mib": 512, "pids": 64,
		"image": b.docker(t, "image", "inspect", "-f", "{{.Id}}", "bothy/build"), "network": b.name, "root": root, "labels": labels,
		"engine":        engineHost(),
		"security_opts": []string{"no-new-privileges:true"},
		"ulimits": []map[string]any{
			{"name": "core", "soft": 0, "hard": 0}, {"name": "nofile", "soft": 4096, "hard": 16384},
		},
	}})
	must(t, err)
	must(t, os.WriteFile(filepath.Join(b.dir, "bothy.auto.tfvars.json"), values, 0o600))
	b.terraform(t, "init", "-no-color", "-input=false")
	b.terraform(t, "validate", "-no-color")
	b.terraform(t, "apply", "-auto-approve", "-no-color", "-input=false")
	var out struct{ ID string }
	must(t, json.Unmarshal([]byte(b.terraform(t, "output", "-json", "bothy")), &out))
	return out.ID
}

func engineHost() string {
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		return host
	}
	return "unix:///var/run/docker.sock"
}

func (b *bench) terraform(t *testing.T, args ...string) string {
	t.Helper()
	out, err := b.try(b.binary, args...)
	if err != nil {
		t.Fatalf("terraform %s: %v\n%s", args[0], err, out)
	}
	return out
}

func (b *bench) docker(t *testing.T, args ...string) string {
	t.Helper()
	out, err := b.try("docker", args...)
	if err != nil {
		t.Errorf("docker %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func (b *bench) try(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+b.config, "CHECKPOINT_DISABLE=1")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return strings.TrimSpace(out.String()), err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
