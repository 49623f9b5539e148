//go:build linux

package isolation_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/e2e/rig"
	"github.com/bothy-env/bothy/internal/client"
)

// daemon is one bothyd with a state directory, a socket and an instance of its own, on the machine's engine.
type daemon struct {
	t        *testing.T
	dir      string
	cmd      *exec.Cmd
	done     chan struct{}
	log      *rig.Buffer
	client   *client.Client
	instance string
}

// start runs a daemon. At the end of the test it gives its environments back and is stopped; whatever its instance left
// is removed, and is an error.
func start(t *testing.T, args ...string) *daemon {
	t.Helper()
	// A unix socket's path has a short limit; t.TempDir may be too long.
	dir, err := os.MkdirTemp("", "bothy-iso-")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, dir: dir, log: &rig.Buffer{}, done: make(chan struct{})}
	t.Cleanup(d.cleanup)
	if d.client, err = client.New(client.Options{Host: "unix://" + d.socket()}); err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--state-dir", d.state(), "--listen-unix", d.socket(), "--log-format", "text"}, args...)
	d.cmd = exec.Command(filepath.Join(binDir, "bothyd"), args...)
	d.cmd.Env = append(rig.CleanEnv(), "BOTHY_CONFIG="+os.DevNull)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait() // how it ended is read from cmd
		close(d.done)
	}()
	return d
}

func (d *daemon) socket() string { return filepath.Join(d.dir, "s", "bothyd.sock") }
func (d *daemon) state() string  { return filepath.Join(d.dir, "state") }

// answers waits until the daemon does.
func (d *daemon) answers() {
	d.t.Helper()
	eventually(d.t, "bothyd answers", func() bool {
		select {
		case <-d.done:
			d.t.Fatalf("bothyd ended: %v\n%s", d.cmd.ProcessState, d.log)
		default:
		}
		v, err := d.client.Version(d.t.Context())
		if err == nil {
			d.instance = v.Instance
		}
		return err == nil
	})
}

func (d *daemon) cleanup() {
	if d.t.Failed() {
		d.t.Logf("bothyd's log:\n%s", d.log)
	}
	if d.cmd != nil && d.cmd.Process != nil {
		if d.instance != "" {
			if r := d.bothy("", "down", "--all", "--yes"); r.code != 0 {
				d.t.Errorf("give the environments back: %s", r)
			}
		}
		_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-d.done:
		case <-time.After(patience):
			d.t.Errorf("bothyd does not stop")
			_ = d.cmd.Process.Kill() // the last resort of a cleanup
			<-d.done
		}
	}
	if d.instance != "" {
		for _, kind := range []string{"container", "network", "volume"} {
			for _, name := range labelled(d.t, kind, "bothy.instance="+d.instance) {
				d.t.Errorf("bothyd left the %s %s", kind, name)
				remove(d.t, kind, name)
			}
		}
	}
	if err := os.RemoveAll(d.dir); err != nil {
		d.t.Errorf("remove the state: %v", err)
	}
}

// result is how a command ended.
type result struct {
	args     []string
	code     int
	out, err string
}

func (r result) String() string {
	return fmt.Sprintf("bothy %s: exit code %d\nstdout: %s\nstderr: %s", strings.Join(r.args, " "), r.code, r.out, r.err)
}

func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("want exit code %d: %s", code, r)
	}
	return r
}

// bothy runs the command line against this daemon.
func (d *daemon) bothy(stdin string, args ...string) result {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binDir, "bothy"), args...)
	cmd.Dir, cmd.Stdin, cmd.Env = d.dir, strings.NewReader(stdin), append(rig.CleanEnv(), "BOTHY_HOST=unix://"+d.socket())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		d.t.Errorf("bothy %v: %v", args, err)
		return result{args: args, code: -1}
	}
	return result{args: args, code: cmd.ProcessState.ExitCode(), out: out.String(), err: errs.String()}
}

// up makes an environment of the built-in blueprint, and gives its sandbox's container.
func (d *daemon) up(name string, args ...string) sandbox {
	d.t.Helper()
	d.bothy("canary\n", append([]string{"up", "--source", "none", "--name", name}, args...)...).want(d.t, 0)
	env, err := d.client.Get(d.t.Context(), name)
	if err != nil {
		d.t.Fatal(err)
	}
	var boxes []string
	for _, id := range labelled(d.t, "container", "bothy.environment="+env.ID) {
		if must(d.t, "docker", "inspect", "-f", `{{index .Config.Labels "bothy.slot"}}`, id) == "" {
			boxes = append(boxes, id)
		}
	}
	if len(boxes) != 1 {
		d.t.Fatalf("environment %s has the containers %v, want one", name, boxes)
	}
	s := sandbox{d: d, name: name, id: env.ID, container: boxes[0]}
	s.holder = strings.TrimPrefix(must(d.t, "docker", "inspect", "-f", "{{.HostConfig.NetworkMode}}", s.container), "container:")
	s.network = must(d.t, "docker", "inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}", s.holder)
	s.address = must(d.t, "docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", s.holder)
	s.gateway = gatewayOf(d.t, s.network)
	s.bridge = must(d.t, "docker", "network", "inspect", "-f", `{{index .Options "com.docker.network.bridge.name"}}`, s.network)
	d.bothy("", "cp", "-u", "root", probePath(), name+":"+inside).want(d.t, 0)
	return s
}

// sandbox is a leased environment, and what the engine says of it.
type sandbox struct {
	d         *daemon
	name, id  string
	container string
	// holder is the container whose network the sandbox has.
	holder, network, bridge, address, gateway string
}

// inside is where the probe lies in a sandbox, and setuidCopy a copy of it that is root's and has the setuid bit.
const (
	inside     = "/usr/local/bin/bothy-probe"
	setuidCopy = "/usr/local/bin/bothy-probe-setuid"
)

// listen has the sandbox answer at a port until the end of the test, and gives what it hears.
func (s sandbox) listen(port string) *rig.Buffer {
	s.d.t.Helper()
	cmd := exec.Command(filepath.Join(binDir, "bothy"), "exec", s.name, "--", inside, "listen", ":"+port)
	cmd.Dir, cmd.Env = s.d.dir, append(rig.CleanEnv(), "BOTHY_HOST=unix://"+s.d.socket())
	return background(s.d.t, cmd)
}

// background runs a command that says a line when it is ready, until the end of the test. It gives what the command says.
func background(t *testing.T, cmd *exec.Cmd) *rig.Buffer {
	t.Helper()
	out := &rig.Buffer{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()         // by that signal
	})
	eventually(t, strings.Join(cmd.Args, " ")+" is ready", func() bool { return strings.Contains(out.String(), "\n") })
	return out
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			t.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}
