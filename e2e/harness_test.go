package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/e2e/rig"
	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

const (
	// patience bounds waits for things that take Terraform and Docker; a slow machine must not fail a test.
	patience = 3 * time.Minute
	// engineSocket is where the machine's Docker engine listens.
	engineSocket = "/var/run/docker.sock"
)

// binDir holds the binaries under test, built once.
var binDir string

func TestMain(m *testing.M) {
	os.Exit(rig.InFolder("bothy-e2e-", func(dir string) int {
		binDir = dir
		build := exec.Command("go", "build", "-o", dir, "github.com/bothy-env/bothy/cmd/...")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the binaries: %v\n%s", err, out)
			return 1
		}
		return pgtest.Main(m)
	}))
}

func needsEngine(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the Docker engine and Terraform; left out by -short")
	}
}

// daemon is one bothyd with a state directory, a socket and an instance of its own.
type daemon struct {
	t        *testing.T
	dir      string
	args     []string
	env      []string // more of the daemon's environment
	cmd      *exec.Cmd
	done     chan struct{}
	log      *rig.Buffer
	client   *client.Client
	instance string
}

// start runs a daemon. At the end of the test it is stopped, and whatever its instance left is removed.
func start(t *testing.T, args ...string) *daemon {
	t.Helper()
	if err := rig.TouchSources(); err != nil {
		t.Fatal(err)
	}
	// A unix socket's path has a short limit; t.TempDir may be too long.
	dir, err := os.MkdirTemp("", "bothy-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, dir: dir, args: args, log: &rig.Buffer{}}
	t.Cleanup(d.cleanup)
	c, err := client.New(client.Options{Host: d.host()})
	if err != nil {
		t.Fatal(err)
	}
	d.client = c
	d.launch()
	return d
}

func (d *daemon) host() string  { return "unix://" + filepath.Join(d.dir, "s", "bothyd.sock") }
func (d *daemon) state() string { return filepath.Join(d.dir, "state") }
func (d *daemon) command(extra ...string) *exec.Cmd {
	args := append([]string{
		"--state-dir", d.state(), "--listen-unix", filepath.Join(d.dir, "s", "bothyd.sock"), "--log-format", "text",
	}, d.args...)
	cmd := exec.Command(filepath.Join(binDir, "bothyd"), append(args, extra...)...)
	cmd.Env = append(rig.CleanEnv(), d.env...)
	if testing.Short() {
		// Not even where one runs: or a short test comes to need it, and fails only where there is none.
		cmd.Env = append(cmd.Env, "BOTHY_ENGINE_HOST=unix://"+filepath.Join(d.dir, "no-engine.sock"))
	}
	return cmd
}

// launch starts the process and waits until it answers.
func (d *daemon) launch(extra ...string) {
	d.t.Helper()
	cmd := d.command(extra...)
	cmd.Stdout, cmd.Stderr = d.log, d.log
	d.launchAs(cmd)
}

// launchAs is launch for a command whose streams are set.
func (d *daemon) launchAs(cmd *exec.Cmd) {
	d.t.Helper()
	d.cmd = cmd
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait() // the state is read from cmd
		close(done)
	}(d.cmd, d.done)
	d.eventually("bothyd answers", func() bool {
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

// kill ends it as a power cut would.
func (d *daemon) kill() {
	d.t.Helper()
	if err := d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.t.Fatal(err)
	}
	<-d.done
}

// terminate asks it to stop and gives its exit code.
func (d *daemon) terminate() int {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		d.t.Fatal(err)
	}
	select {
	case <-d.done:
	case <-time.After(patience):
		d.t.Fatalf("bothyd did not stop\n%s", d.log)
	}
	return d.cmd.ProcessState.ExitCode()
}

func (d *daemon) cleanup() {
	if d.t.Failed() {
		d.t.Logf("bothyd's log:\n%s", d.log)
	}
	d.giveBack()
	if d.cmd != nil && d.cmd.Process != nil {
		_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		select {
		case <-d.done:
		case <-time.After(patience):
			_ = d.cmd.Process.Kill() // the last resort of a cleanup
			<-d.done
		}
	}
	if d.instance != "" {
		sweepInstance(d.t, d.instance)
	}
	if err := os.RemoveAll(d.dir); err != nil {
		d.t.Errorf("remove state: %v", err)
	}
}

// giveBack lets the daemon take its environments away itself, started once more if need be: with
// the last of them go its firewall rules, which no label tells. What it does not do, the sweep by label does.
func (d *daemon) giveBack() {
	if d.cmd == nil || d.instance == "" || len(remains(d.t, "container", d.instance))+len(remains(d.t, "network", d.instance)) == 0 {
		return
	}
	select {
	case <-d.done:
		again := d.command()
		again.Stdout, again.Stderr = d.log, d.log
		if err := again.Start(); err != nil {
			d.t.Errorf("start bothyd to clean up: %v", err)
			return
		}
		d.cmd, d.done = again, make(chan struct{})
		go func(done chan struct{}) {
			_ = again.Wait() // how it ends does not matter here
			close(done)
		}(d.done)
	default:
	}
	poll(func() bool {
		_, err := d.client.Version(context.Background())
		return err == nil
	})
	if r := d.bothy("down", "--all-tenants", "--yes", "--as-platform", "end of the test"); r.code != 0 {
		d.t.Logf("clean up: %s", r)
	}
}

// bothy runs the command line against this daemon.
func (d *daemon) bothy(args ...string) result { return d.bothyIn(d.dir, nil, args...) }

func (d *daemon) bothyIn(dir string, stdin io.Reader, args ...string) result {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(binDir, "bothy"), args...)
	cmd.Dir, cmd.Stdin, cmd.Env = dir, stdin, append(rig.CleanEnv(), "BOTHY_HOST="+d.host())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		d.t.Fatalf("bothy %v: %v", args, err)
	}
	return result{args: args, code: cmd.ProcessState.ExitCode(), out: out.String(), err: errs.String()}
}

type result struct {
	args     []string
	code     int
	out, err string
}

func (r result) String() string {
	return fmt.Sprintf("bothy %s: exit code %d\nstdout: %s\nstderr: %s", strings.Join(r.args, " "), r.code, r.out, r.err)
}

// want checks the exit code and that every text is on stdout or stderr.
func (r result) want(t *testing.T, code int, texts ...string) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("want exit code %d: %s", code, r)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			t.Fatalf("%q is missing: %s", text, r)
		}
	}
	return r
}

// create asks for an environment without waiting for it.
func (d *daemon) create(req wire.CreateRequest) wire.Environment {
	d.t.Helper()
	env, _, err := d.client.Create(d.t.Context(), req, "")
	if err != nil {
		d.t.Fatalf("create: %v", err)
	}
	return env
}

func (d *daemon) get(name string) (wire.Environment, error) { return d.client.Get(d.t.Context(), name) }

// untilState waits until an environment is in one of the states.
func (d *daemon) untilState(name string, states ...string) wire.Environment {
	d.t.Helper()
	var env wire.Environment
	d.eventually(fmt.Sprintf("%s is %v", name, states), func() bool {
		var err error
		if env, err = d.get(name); err != nil {
			return false
		}
		for _, s := range states {
			if env.State == s {
				return true
			}
		}
		return false
	})
	return env
}

// untilEvent waits until an environment's record has an entry with this text, and gives it.
func (d *daemon) untilEvent(name, text string) (message string) {
	d.t.Helper()
	d.eventually("the record says "+text, func() bool {
		events, err := d.client.Events(d.t.Context(), name, 0, 500)
		if err != nil {
			return false
		}
		for _, e := range events {
			if strings.Contains(e.Message, text) {
				message = e.Message
				return true
			}
		}
		return false
	})
	return message
}

func (d *daemon) eventually(what string, cond func() bool) {
	d.t.Helper()
	if !poll(cond) {
		d.t.Fatalf("waited in vain until %s\n%s", what, d.log)
	}
}

func poll(cond func() bool) bool {
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline:
			return false
		case <-tick.C:
		}
	}
	return true
}

// ---- the oracle: what the engine itself says, without any code of bothy's -----

var engineHTTP = &http.Client{Transport: &http.Transport{
	DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", engineSocket)
	},
}}

func engineCall(method, path string, into any) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://docker/v1.41"+path, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := engineHTTP.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil
	}
	if resp.StatusCode >= 300 {
		text, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return errors.Join(fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text), err)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

type dockerObject struct {
	ID     string `json:"Id"`
	Name   string
	Names  []string
	Labels map[string]string
}

func objects(t *testing.T, kind, instance string) []dockerObject {
	t.Helper()
	out, err := list(kind, instance)
	if err != nil {
		t.Fatalf("ask the engine: %v", err)
	}
	return out
}

// remains is objects for a clean-up, which goes on with its other steps when the engine does not answer.
func remains(t *testing.T, kind, instance string) []dockerObject {
	t.Helper()
	out, err := list(kind, instance)
	if err != nil {
		t.Errorf("clean up: ask the engine: %v", err)
	}
	return out
}

// list is empty in a short run, whose daemons reach no engine.
func list(kind, instance string) ([]dockerObject, error) {
	if testing.Short() {
		return nil, nil
	}
	filter := url.QueryEscape(fmt.Sprintf(`{"label":["bothy.instance=%s"]}`, instance))
	path := "/containers/json?all=true&filters="
	switch kind {
	case "network":
		path = "/networks?filters="
	case "volume":
		var all struct{ Volumes []dockerObject }
		err := engineCall(http.MethodGet, "/volumes?filters="+filter, &all)
		return all.Volumes, err
	}
	var out []dockerObject
	err := engineCall(http.MethodGet, path+filter, &out)
	return out, err
}

// containersOf lists an environment's containers, by its label.
func (d *daemon) containersOf(id string) []dockerObject {
	d.t.Helper()
	var mine []dockerObject
	for _, o := range objects(d.t, "container", d.instance) {
		if o.Labels["bothy.environment"] == id {
			mine = append(mine, o)
		}
	}
	return mine
}

// sandboxes lists an instance's containers, without those that hold the networks it keeps ready.
func sandboxes(t *testing.T, instance string) []dockerObject {
	t.Helper()
	return slices.DeleteFunc(objects(t, "container", instance), func(o dockerObject) bool { return o.Labels["bothy.slot"] != "" })
}

// checkOracle: every container of the instance belongs to an environment that the store holds as live.
func (d *daemon) checkOracle() {
	d.t.Helper()
	for _, o := range sandboxes(d.t, d.instance) {
		env, err := d.get(o.Labels["bothy.environment"])
		if err != nil || env.State == "destroyed" {
			d.t.Errorf("container %v exists, but its environment is %q (%v)", o.Names, env.State, err)
		}
	}
}

// sweepInstance removes what an instance left, so that a failing test leaves nothing either.
func sweepInstance(t *testing.T, instance string) {
	t.Helper()
	for _, o := range remains(t, "container", instance) {
		t.Logf("removing leftover container %v", o.Names)
		if err := engineCall(http.MethodDelete, "/containers/"+o.ID+"?force=true&v=true", nil); err != nil {
			t.Errorf("clean up: %v", err)
		}
	}
	for _, o := range remains(t, "network", instance) {
		t.Logf("removing leftover network %s", o.Name)
		if err := engineCall(http.MethodDelete, "/networks/"+o.ID, nil); err != nil {
			t.Errorf("clean up: %v", err)
		}
	}
	for _, o := range remains(t, "volume", instance) {
		t.Logf("removing leftover volume %s", o.Name)
		if err := engineCall(http.MethodDelete, "/volumes/"+o.Name, nil); err != nil {
			t.Errorf("clean up: %v", err)
		}
	}
}

// script writes an executable shell script.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	return path
}

// realTerraform is the program that wrapper scripts run.
func realTerraform(t *testing.T) string {
	t.Helper()
	for _, path := range terraform.Candidates("", filepath.Join(rig.CacheDir(), "bin")) {
		return path
	}
	t.Fatal("neither terraform nor tofu is there; run: make setup")
	return ""
}
