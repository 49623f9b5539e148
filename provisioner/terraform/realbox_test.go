package terraform_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
	"github.com/bothy-env/bothy/provisioner/terraform/confine"
)

// boxed skips where there is no whole box.
func (s *site) boxed(t *testing.T) {
	t.Helper()
	// Asked of the machine, not of the driver: one that takes no box has to fail.
	if mode, missing := confine.New(confine.Config{Name: "probe"}).Mode(t.Context()); missing != "" {
		t.Skipf("no whole box here (%s): %s", mode, missing)
	}
	if mode, missing := s.driver.Confinement(t.Context()); missing != "" {
		t.Errorf("the driver's box (%s) lacks: %s", mode, missing)
	}
}

// withLine is the build blueprint with something more in it.
func withLine(t *testing.T, text string) provisioner.Blueprint {
	t.Helper()
	return changedModule(t, func(name, have string) string {
		if name == "main.tf" {
			return have + "\n" + text + "\n"
		}
		return have
	})
}

// Issue 17, F4, F5: whatever a blueprint's text says, Terraform reads no file of the machine and starts no program of it. Each is first
// shown to be possible without a box.
func TestRealBlueprintReachesNothingOfTheMachine(t *testing.T) {
	away := t.TempDir()
	key := filepath.Join(away, "key")
	if err := os.WriteFile(key, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	canary := filepath.Join(away, "canary")
	reads := func(path string) string { return fmt.Sprintf("locals {\n  stolen = file(%q)\n}", path) }
	runs := func(command, more string) string {
		return fmt.Sprintf("resource \"terraform_data\" \"x\" {\n  provisioner \"local-exec\" {\n    command = %q\n    %s\n  }\n}", command, more)
	}
	cases := map[string]struct{ text, says string }{
		"a system file":          {reads("/etc/hostname"), "no file exists at"},
		"a secret file":          {reads("/etc/shadow"), "no file exists at"},
		"the daemon's key":       {reads(key), "no file exists at"},
		"its parent's variables": {reads("/proc/" + strconv.Itoa(os.Getpid()) + "/environ"), "no file exists at"},
		"a list of a folder":     {fmt.Sprintf("locals {\n  stolen = one(fileset(%q, \"k*\"))\n  n = length(local.stolen)\n}\noutput \"n\" {\n  value = local.n\n}", away), "argument must not be null"},
		"a shell":                {runs("cat "+key+" > "+canary, ""), "fork/exec /bin/sh: no such file"},
		"another program":        {runs(canary, "interpreter = [\"/usr/bin/install\", \""+key+"\"]"), "fork/exec /usr/bin/install: no such file"},
	}
	for _, warm := range []bool{false, true} {
		for name, c := range cases {
			if warm && name != "a shell" {
				continue // read before any provider is asked
			}
			t.Run(fmt.Sprintf("%s, warm %v", name, warm), func(t *testing.T) {
				if name == "a secret file" && os.Getuid() != 0 {
					t.Skip("only root reads it outside")
				}
				bare := newSite(t, func(cfg *terraform.Config) { cfg.Warm, cfg.Confinement = warm, confine.Off })
				s := newSite(t, func(cfg *terraform.Config) { cfg.Warm = warm })
				s.boxed(t)
				try := func(s *site) error {
					spec := s.spec(t)
					spec.Blueprint = withLine(t, c.text)
					h, err := s.driver.Create(t.Context(), spec, nil)
					return errors.Join(err, s.driver.Destroy(t.Context(), spec, h.State, nil))
				}
				if err := try(bare); err != nil {
					t.Fatalf("it proves nothing, it fails without a box: %v", err)
				}
				if err := os.Remove(canary); err != nil && strings.Contains(c.text, canary) {
					t.Fatalf("it proves nothing, without a box it did not run: %v", err)
				}
				wantError(t, try(s), provisioner.Permanent, false, c.says)
				if exists(canary) {
					t.Error("a program of the machine was run")
				}
				if left := s.containers(t, s.instance); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		}
	}
}

// A version manager's shim is told as what it is, not as a file that is missing; without a box it is run.
func TestAScriptDoesNotFitInABox(t *testing.T) {
	shim := filepath.Join(t.TempDir(), "terraform")
	if err := os.WriteFile(shim, []byte("#!/bin/sh\necho '{\"terraform_version\":\"1.11.4\"}'\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	cfg := terraform.Config{Binary: shim, WorkDir: driverDir(t), Logger: testLogger(t)}
	d := open(t, cfg)
	if mode, missing := d.Confinement(t.Context()); mode == string(confine.None) {
		t.Skipf("no box here: %s", missing)
	}
	wantError(t, d.Ready(t.Context()), provisioner.Transient, true, "it is a script, which cannot run confined: set terraform.binary")
	cfg.Confinement, cfg.WorkDir = confine.Off, driverDir(t)
	if err := open(t, cfg).Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// Issue 17, F22: what asks for more than its bounds is ended with a sentence that names the bound, is not worth another try, and no
// process takes more.
func TestRealBlueprintIsBounded(t *testing.T) {
	// What is to run into its memory has so much time that a slow machine gets there first.
	const short, ample = 3 * time.Second, 5 * time.Minute
	cases := map[string]struct {
		text string
		cpu  time.Duration
		says string
	}{
		"h01 bcrypt":     {"locals {\n  x = bcrypt(\"x\", 24)\n}", short, "Terraform needed more than 3s of processor time"},
		"h02 setproduct": {"locals {\n  x = length(setproduct(range(1000), range(1000), range(60)))\n}", ample, "Terraform needed more than 512 MiB of memory"},
		"h03 format":     {"locals {\n  x = length(format(\"%-2000000000s\", \"x\"))\n}", ample, "Terraform needed more than 512 MiB of memory"},
		"h06 nesting":    {"locals {\n  x = " + strings.Repeat("[", 260_000) + "\n}", ample, "Terraform needed more than 512 MiB of memory"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(cfg *terraform.Config) { cfg.Memory, cfg.CPU = 512<<20, c.cpu })
			s.boxed(t)
			spec := s.spec(t)
			spec.Blueprint = withLine(t, c.text)
			begun := time.Now()
			h, err := s.driver.Create(t.Context(), spec, nil)
			wantError(t, err, provisioner.Permanent, false, c.says)
			if err := s.driver.Destroy(t.Context(), spec, h.State, nil); err != nil {
				t.Error(err)
			}
			t.Logf("%s: %v", time.Since(begun).Round(10*time.Millisecond), err)
		})
	}
}

// Issue 17, F4: a provider under another address is refused by its name, and a program that lies in the mirror in its place never runs.
func TestRealForeignProviderIsRefused(t *testing.T) {
	for name, source := range map[string]string{"of another registry": "localhost:8443/foreign/docker", "of another author": "foreign/docker"} {
		t.Run(name, func(t *testing.T) {
			canary := filepath.Join(t.TempDir(), "canary")
			held := t.TempDir()
			address := source
			if !strings.Contains(source, ":") {
				address = "registry.terraform.io/" + source
			}
			at := filepath.Join(held, address, "4.9.9", "linux_amd64")
			if err := os.MkdirAll(at, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(at, "terraform-provider-docker_v4.9.9"), []byte("#!/bin/sh\n: > "+canary+"\n"), 0o700); err != nil { //nolint:gosec // a program
				t.Fatal(err)
			}
			blueprint := module(t, map[string]string{"main.tf": fmt.Sprintf("terraform {\n  required_providers {\n    docker = { source = %q }\n  }\n}\nresource \"docker_container\" \"x\" {}\n", source)})
			foreign := newSite(t, func(c *terraform.Config) {
				c.Mirror, c.Confinement, c.Providers = held, confine.Off, []string{address}
			})
			if err := foreign.driver.Prepare(t.Context(), blueprint); err == nil || !exists(canary) {
				t.Fatalf("it proves nothing: allowed and without a box it did not run (%v)", err)
			}
			if err := os.Remove(canary); err != nil {
				t.Fatal(err)
			}
			// The box is off: it is the sources and the allow-list that keep it from being run.
			s := newSite(t, func(c *terraform.Config) { c.Mirror, c.Confinement, c.Warm = held, confine.Off, true })
			wantError(t, s.driver.Prepare(t.Context(), blueprint), provisioner.Permanent, false, address)
			// Nor does another configuration of Terraform's lead to it.
			rc := filepath.Join(t.TempDir(), "rc")
			if err := os.WriteFile(rc, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", held), 0o600); err != nil {
				t.Fatal(err)
			}
			s = newSite(t, func(c *terraform.Config) { c.CLIConfig, c.Confinement, c.Warm = rc, confine.Off, true })
			wantError(t, s.driver.Prepare(t.Context(), blueprint), provisioner.Permanent, false, "uses the provider "+address)
			if exists(canary) {
				t.Error("the foreign provider ran")
			}
			if mode, missing := s.driver.Confinement(t.Context()); !strings.Contains(missing, "may name other sources of providers") {
				t.Errorf("%s, missing %q", mode, missing)
			}
		})
	}
}

// forward serves the engine at a socket of its own, as an environment's broker does.
func forward(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() { // ends with the listener
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				engine, err := net.Dial("unix", engineSocket)
				if err != nil {
					return
				}
				defer engine.Close()
				go func() { _, _ = io.Copy(engine, conn); _ = engine.Close() }()
				_, _ = io.Copy(conn, engine)
			}()
		}
	}()
}

// Each environment is made and removed through a socket of its own, which there was not when a warm provider started; the
// driver's own setting leads nowhere.
func TestRealThroughASocketOfItsOwn(t *testing.T) {
	for _, warm := range []bool{false, true} {
		t.Run(fmt.Sprintf("warm=%v", warm), func(t *testing.T) {
			sockets, err := os.MkdirTemp("", "brokers")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := os.RemoveAll(sockets); err != nil {
					t.Error(err)
				}
			})
			s := newSite(t, func(c *terraform.Config) {
				c.Warm, c.EngineHost, c.EngineSockets = warm, "unix:///nonexistent/docker.sock", sockets
			})
			for i := range 2 {
				spec := s.spec(t)
				prepare(t, s, spec)
				path := filepath.Join(sockets, fmt.Sprintf("%d.sock", i))
				forward(t, path)
				spec.Sandbox.Engine = "unix://" + path
				h, err := s.driver.Create(t.Context(), spec, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.driver.Settled(t.Context(), spec); err != nil {
					t.Fatal(err)
				}
				if exists(filepath.Join(s.cfg.WorkDir, "work", spec.Owner.Environment)) {
					t.Error("the state lies in clear after it was settled")
				}
				if err := s.driver.Destroy(t.Context(), spec, h.State, nil); err != nil {
					t.Fatal(err)
				}
			}
			if stats := s.driver.Stats(); warm && (stats.Plain > 0 || stats.Fallbacks > 0) {
				t.Errorf("%+v", stats)
			}
			if left := s.containers(t, s.instance); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
		})
	}
}

// The same as a plain user, who may use the engine: root runs some of these tests once more as nobody.
func TestRealAsAPlainUser(t *testing.T) {
	realEngine(t)
	if os.Getuid() != 0 {
		t.Skip("this is a plain user already")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("there is no setpriv to become a plain user with")
	}
	info, err := os.Stat(engineSocket)
	if err != nil {
		t.Fatal(err)
	}
	group := info.Sys().(*syscall.Stat_t).Gid
	dir, err := os.MkdirTemp("", "plain")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	// What this user may not read where it is.
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.MkdirAll(dir+"/a/b", 0o755), os.CopyFS(dir+"/cache/mirror", os.DirFS(mirror())), os.CopyFS(dir+"/modules", os.DirFS("../../modules")),
		os.CopyFS(dir+"/bin", os.DirFS(filepath.Dir(self))), os.Mkdir(dir+"/tmp", 0o700), os.Chown(dir+"/tmp", 65534, 65534))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("chmod", "-R", "a+rX", dir+"/a", dir+"/cache", dir+"/modules", dir+"/bin").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // others read it
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, setpriv, "--reuid=65534", "--regid=65534", fmt.Sprintf("--groups=%d", group), filepath.Join(dir, "bin", filepath.Base(self)),
		"-test.v", "-test.run=^(TestRealWarmAndPlainMakeTheSame|TestRealCancelInTheMiddle|TestRealThroughASocketOfItsOwn|TestRealBlueprintIsBounded)$")
	cmd.Dir = dir + "/a/b"
	cmd.Env = []string{"TMPDIR=" + dir + "/tmp", "HOME=" + dir + "/tmp", "PATH=" + os.Getenv("PATH"), "BOTHY_CACHE=" + dir + "/cache"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := strings.Count(string(out), "--- PASS: "); n < 4 {
		t.Errorf("only %d passed:\n%s", n, out)
	}
	t.Logf("%d passed, %d skipped", strings.Count(string(out), "--- PASS: "), strings.Count(string(out), "--- SKIP: "))
}
