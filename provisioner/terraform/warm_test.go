package terraform_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

func warm(c *terraform.Config) { c.Warm = true }

// cycle creates and destroys one environment.
func cycle(t *testing.T, d *terraform.Driver, spec provisioner.Spec) {
	t.Helper()
	h, err := d.Create(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Destroy(t.Context(), spec, h.State, nil); err != nil {
		t.Fatal(err)
	}
}

func prepared(t *testing.T, d *terraform.Driver, spec provisioner.Spec) {
	t.Helper()
	if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a spare", func() bool { return d.Stats().Idle == 1 })
}

func TestWarmProcessIsKeptAndReused(t *testing.T) {
	s, d, spec := playing(t, script{}, warm)
	prepared(t, d, spec)
	for range 3 {
		cycle(t, d, spec)
	}
	if got, want := d.Stats(), (terraform.Stats{Warm: 6, Running: 1, Idle: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if n := len(s.calls("provider")); n != 1 {
		t.Errorf("%d providers were started, want 1", n)
	}
	provider := s.calls("provider")[0]
	for _, c := range append(s.calls("apply"), s.calls("destroy")...) {
		// Under the address that this Terraform knows the provider by, not the one it tells.
		info, _ := c.env("TF_REATTACH_PROVIDERS")
		if !strings.Contains(info, `{"registry.example/bothy/fake":{`) || !strings.Contains(info, provider.Dir+"/plugin1") {
			t.Errorf("%s: %s", c.Verb, info)
		}
	}
	for _, c := range append(s.calls("init"), s.calls("validate")...) {
		if _, ok := c.env("TF_REATTACH_PROVIDERS"); ok {
			t.Errorf("%s with reattach: it would write no lock", c.Verb)
		}
	}
}

func TestWarmProcessHasAPrivateFolder(t *testing.T) {
	t.Setenv("DOCKER_HOST", "canary")
	s, d, spec := playing(t, script{}, warm)
	prepared(t, d, spec)
	c := s.calls("provider")[0]
	tmp, _ := c.env("TMPDIR")
	info, err := os.Stat(tmp)
	if err != nil || info.Mode().Perm() != 0o700 || tmp != c.Dir {
		t.Errorf("TMPDIR %q: %v (%v)", tmp, info.Mode(), err)
	}
	if len(tmp)+len("/plugin1234567890") > 107 {
		t.Errorf("%s is too long for a socket", tmp)
	}
	for _, v := range c.Env {
		if strings.Contains(v, "canary") {
			t.Errorf("it sees %s", v)
		}
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if exists(tmp) || running(c.Pid) {
		t.Error("something is left after Close")
	}
}

func TestWarmProcessesMeetDemand(t *testing.T) {
	s, d, spec := playing(t, script{Apply: "hang"}, func(c *terraform.Config) { c.Warm, c.WarmLimits.Max = true, 3 })
	prepared(t, d, spec)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		spec := spec
		spec.Owner.Environment = id
		wg.Go(func() {
			_, err := d.Create(ctx, spec, nil)
			wantError(t, err, provisioner.Cancelled, false, "")
		})
	}
	eventually(t, "five at once", func() bool { return len(s.calls("apply")) == 5 })
	used := map[string]int{}
	for _, c := range s.calls("apply") {
		info, _ := c.env("TF_REATTACH_PROVIDERS")
		used[info]++
	}
	if used[""] != 2 || len(used) != 4 {
		t.Errorf("two Terraforms in one process, or not 3 of them: %v", used)
	}
	cancel()
	wg.Wait()
	eventually(t, "a cancel ends all that a process ever does, so all are gone", func() bool { return d.Stats().Running == 0 })
	if got := d.Stats(); got.Warm != 3 || got.Plain != 2 || got.Recycled != 3 {
		t.Errorf("%+v", got)
	}
}

func TestWarmProcessIsReplaced(t *testing.T) {
	t.Run("after its uses", func(t *testing.T) {
		s, d, spec := playing(t, script{}, func(c *terraform.Config) { c.Warm, c.WarmLimits.Uses = true, 2 })
		prepared(t, d, spec)
		cycle(t, d, spec)
		eventually(t, "another spare", func() bool { return d.Stats().Idle == 1 && len(s.calls("provider")) == 2 })
		if got := d.Stats(); got.Recycled != 1 || got.Plain != 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("after an error", func(t *testing.T) {
		s, d, spec := playing(t, script{Apply: "diagnostic", Says: "No such image"}, warm)
		prepared(t, d, spec)
		_, err := d.Create(t.Context(), spec, nil)
		wantError(t, err, provisioner.Permanent, false, "No such image")
		if got := d.Stats(); got.Recycled != 1 || got.Plain != 0 || got.Fallbacks != 0 || running(s.calls("provider")[0].Pid) {
			t.Errorf("%+v: an error of the blueprint is no fault of the process, but may have left something in it", got)
		}
	})
	t.Run("when it was killed while idle", func(t *testing.T) {
		s, d, spec := playing(t, script{}, warm)
		prepared(t, d, spec)
		kill(t, s.calls("provider")[0].Pid)
		eventually(t, "it is noticed", func() bool { return d.Stats().Idle == 0 })
		cycle(t, d, spec)
		if got := d.Stats(); got.Warm != 2 || got.Plain != 0 || got.Fallbacks != 0 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("when idle for long", func(t *testing.T) {
		s, d, spec := playing(t, script{}, func(c *terraform.Config) { c.Warm, c.WarmLimits.Idle = true, 200*time.Millisecond })
		if err := d.Prepare(t.Context(), spec.Blueprint); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it was there and is gone", func() bool { return len(s.calls("provider")) == 1 && d.Stats().Running == 0 })
		if got := d.Stats(); got.Recycled != 0 {
			t.Errorf("%+v: this is not a replacement", got)
		}
		cycle(t, d, spec)
		if got := d.Stats(); got.Warm != 2 {
			t.Errorf("%+v", got)
		}
	})
}

func kill(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}

func TestFaultsFallBackToThePlainStart(t *testing.T) {
	lost := "Plugin did not respond: The plugin encountered an error"
	cases := []struct {
		name   string
		script script
		err    bool // of Create
		stats  terraform.Stats
	}{
		{name: "it does not start", script: script{Provider: "exit"}, stats: terraform.Stats{Plain: 2, Fallbacks: 1}},
		{name: "it says nothing", script: script{Provider: "silent"}, stats: terraform.Stats{Plain: 2, Fallbacks: 1}},
		{name: "it says nonsense", script: script{Provider: "garbage"}, stats: terraform.Stats{Plain: 2, Fallbacks: 1}},
		{name: "it listens to the network", script: script{Provider: "tcp"}, stats: terraform.Stats{Plain: 2, Fallbacks: 1}},
		{
			name:   "Terraform cannot talk to it",
			script: script{Apply: "diagnostic", Destroy: "diagnostic", OnlyWarm: true, Says: lost},
			stats:  terraform.Stats{Warm: 2, Plain: 2, Fallbacks: 2, Recycled: 2},
		},
		{ // A create is not begun twice; the destroy that follows is.
			name: "it fails in the middle", err: true,
			script: script{Apply: "begun-diagnostic", Destroy: "begun-diagnostic", OnlyWarm: true, Says: lost},
			stats:  terraform.Stats{Warm: 2, Plain: 1, Fallbacks: 1, Recycled: 2},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, d, spec := playing(t, c.script, func(cfg *terraform.Config) {
				cfg.Warm, cfg.WarmLimits.Start = true, 20*time.Second
				if c.script.Provider == "silent" {
					cfg.WarmLimits.Start = 300 * time.Millisecond
				}
			})
			h, err := d.Create(t.Context(), spec, nil)
			if c.err {
				wantError(t, err, provisioner.Transient, false, "Plugin did not respond")
				h.State = []byte(stateOf("a", 1, 1))
			} else if err != nil {
				t.Fatal(err)
			}
			if err := d.Destroy(t.Context(), spec, h.State, nil); err != nil {
				t.Fatal(err)
			}
			got := d.Stats()
			got.Running, got.Idle = 0, 0
			if got != c.stats {
				t.Errorf("%+v, want %+v", got, c.stats)
			}
			for _, p := range s.calls("provider") {
				if c.script.Provider != "" && running(p.Pid) {
					t.Error("a process that did not come up still runs")
				}
			}
		})
	}
}

// A driver that was not closed stands for a daemon that was killed where the kernel ended nothing.
func TestNewEndsWhatAnEarlierDaemonLeft(t *testing.T) {
	s, d, spec := playing(t, script{}, warm)
	prepared(t, d, spec)
	other := newStage(t) // not of this driver
	stranger := exec.Command(filepath.Join(other.dir, "terraform-provider-fake_v1.0.0"), "-debug")
	stranger.Env = append(os.Environ(), "BOTHY_TERRAFORM_DRIVER="+s.config().WorkDir+"2")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stranger.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = stranger.Wait() // killed
	})
	eventually(t, "stranger runs", func() bool { return len(other.calls("provider")) == 1 })

	open(t, s.config())
	if running(s.calls("provider")[0].Pid) {
		t.Error("the earlier daemon's provider still runs")
	}
	if !running(stranger.Process.Pid) {
		t.Error("a process of another driver was ended")
	}
}

// Nothing that was started outlives a daemon that is killed, not even until the next start.
func TestEverythingEndsWithTheDaemon(t *testing.T) {
	s := newStage(t)
	s.play(script{Apply: "stubborn"})
	writeJSON(t, filepath.Join(s.dir, "blueprint.json"), module(t, nil))
	daemon := exec.Command(filepath.Join(s.dir, "daemon"))
	stdout, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // should the promise be broken
		_ = daemon.Process.Kill() // it mostly has ended
		if d, err := terraform.New(s.config()); err != nil {
			t.Error(err)
		} else if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() || lines.Text() != "ready" {
		t.Errorf("the daemon says %q", lines.Text())
	}
	eventually(t, "Terraform runs", func() bool { return len(s.calls("apply")) == 1 })
	kill(t, daemon.Process.Pid)
	_ = daemon.Wait() // killed
	provider, apply := s.calls("provider")[0].Pid, s.calls("apply")[0].Pid
	eventually(t, "provider and Terraform end", func() bool { return !running(provider) && !running(apply) })
}
