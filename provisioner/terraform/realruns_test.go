package terraform_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/terraform"
)

// What is made is the same with warm providers and without, and can be removed by either.
func TestRealWarmAndPlainMakeTheSame(t *testing.T) {
	var states []map[string]any
	for _, warm := range []bool{false, true} {
		s := newSite(t, func(c *terraform.Config) { c.Warm = warm })
		spec := s.spec(t)
		prepare(t, s, spec)
		var events recorder
		h, err := s.driver.Create(t.Context(), spec, events.add)
		if err != nil {
			t.Fatal(err)
		}
		events.want(t, "created", 1)
		events.want(t, "error", 0)
		if got := s.containers(t, s.instance); len(got) != 1 || got[0] != h.Sandbox.ID || len(h.Resources) != 1 || h.Serial <= 0 {
			t.Fatalf("containers %v, handle %+v", got, h)
		}
		if stats := s.driver.Stats(); stats.Warm == 1 != warm {
			t.Errorf("%+v", stats)
		}
		states = append(states, stripped(t, string(h.State), h.Sandbox.ID, s.instance))

		// By a daemon with the other setting, that knows nothing but the state.
		cfg := s.cfg
		cfg.WorkDir, cfg.Warm = driverDir(t), !warm
		if err := open(t, cfg).Destroy(t.Context(), spec, h.State, events.add); err != nil {
			t.Fatal(err)
		}
		events.want(t, "gone", 1)
		if left := s.containers(t, s.instance); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	if diff := cmp.Diff(states[0], states[1]); diff != "" {
		t.Error(diff)
	}
}

// stripped takes from a state what differs from one environment to the next.
func stripped(t *testing.T, state, id, instance string) map[string]any {
	t.Helper()
	state = strings.NewReplacer(id, "ID", id[:12], "SHORT", instance, "INSTANCE").Replace(state)
	var all map[string]any
	if err := json.Unmarshal([]byte(state), &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "lineage")
	var drop func(any)
	drop = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range []string{"network_data", "labels", "private"} { // addresses, the time and its MAC
				delete(v, name)
			}
			for _, inner := range v {
				drop(inner)
			}
		case []any:
			for _, inner := range v {
				drop(inner)
			}
		}
	}
	drop(all)
	return all
}

func prepare(t *testing.T, s *site, spec provisioner.Spec) {
	t.Helper()
	if err := s.driver.Prepare(t.Context(), spec.Blueprint); err != nil {
		t.Fatal(err)
	}
	if s.cfg.Warm {
		eventually(t, "a spare", func() bool { return s.driver.Stats().Idle > 0 })
	}
}

func TestRealConflictWithAForeignContainer(t *testing.T) {
	s := newSite(t, warm)
	spec := s.spec(t)
	status, body := s.call(t, http.MethodPost, "/containers/create?name="+spec.Owner.ResourceName(),
		map[string]any{"Image": sandboxImage, "Labels": map[string]string{provisioner.LabelInstance: s.instance}})
	if status != http.StatusCreated {
		t.Fatal(body)
	}
	_, err := s.driver.Create(t.Context(), spec, nil)
	wantError(t, err, provisioner.Conflict, false, "already in use")
	if err := s.driver.Destroy(t.Context(), spec, nil, nil); err != nil {
		t.Error(err)
	}
	if left := s.containers(t, s.instance); len(left) != 1 {
		t.Errorf("the foreign container was touched: %v", left)
	}
}

func TestRealSandboxThatExitsAtOnce(t *testing.T) {
	s := newSite(t, nil)
	spec := s.spec(t)
	spec.Blueprint = changedModule(t, func(name, text string) string {
		return strings.ReplaceAll(text, `["sleep", "infinity"]`, `["/nonexistent"]`)
	})
	h, err := s.driver.Create(t.Context(), spec, nil)
	if err == nil {
		// The provider looked while it still ran. Then it is for the caller to look once more.
		eventually(t, "the engine tells that it has ended", func() bool {
			_, body := s.call(t, http.MethodGet, "/containers/"+h.Sandbox.ID+"/json", nil)
			return strings.Contains(body, `"Status":"exited"`)
		})
	} else {
		wantError(t, err, provisioner.Permanent, false, "right after it was started")
	}
	if err := s.driver.Destroy(t.Context(), spec, h.State, nil); err != nil {
		t.Error(err)
	}
	if left := s.containers(t, s.instance); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// changedModule is the build blueprint with a change.
func changedModule(t *testing.T, change func(name, text string) string) provisioner.Blueprint {
	t.Helper()
	files := map[string]string{}
	for _, path := range glob(t, "../../modules/build", "*.tf") {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(path)] = change(filepath.Base(path), string(data))
	}
	return module(t, files)
}

func TestRealEngineAway(t *testing.T) {
	s := newSite(t, func(c *terraform.Config) { c.Warm, c.EngineHost = true, "unix:///nonexistent/docker.sock" })
	spec := s.spec(t)
	_, err := s.driver.Create(t.Context(), spec, nil)
	wantError(t, err, provisioner.Transient, true, "Cannot connect to the Docker daemon")
	// And back: the same working directory, destroyed and made anew.
	cfg := s.cfg
	cfg.EngineHost = ""
	if err := s.driver.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d := open(t, cfg)
	if err := d.Destroy(t.Context(), spec, nil, nil); err != nil {
		t.Fatal(err)
	}
	cycle(t, d, spec)
}

func TestRealInputOfTheWrongType(t *testing.T) {
	s := newSite(t, nil)
	spec := s.spec(t)
	spec.Inputs = map[string]any{"shm_mib": "${file(\"/etc/passwd\")}"}
	_, err := s.driver.Create(t.Context(), spec, nil)
	wantError(t, err, provisioner.Permanent, false, "a number is required")
	if strings.Contains(fmt.Sprint(err), "root:") {
		t.Errorf("an input was evaluated: %v", err)
	}
}

func TestRealSandboxRemovedByHand(t *testing.T) {
	s := newSite(t, warm)
	spec := s.spec(t)
	h, err := s.driver.Create(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	s.remove(t, h.Sandbox.ID)
	for range 2 {
		if err := s.driver.Destroy(t.Context(), spec, h.State, nil); err != nil {
			t.Error(err)
		}
	}
	if stats := s.driver.Stats(); stats.Fallbacks > 0 {
		t.Errorf("%+v", stats)
	}
}

// A Terraform or a provider killed at any moment: the error says so, and
// destroying, with a look by label for what no state knows, leaves nothing.
func TestRealKilledInTheMiddle(t *testing.T) {
	victims := map[string]struct {
		warm bool
		mark string // of the environment's process that is killed
		exe  string
	}{
		"Terraform":     {false, "environment-", ""},
		"provider":      {false, "environment-", "terraform-provider-"},
		"warm provider": {true, "warm-", "terraform-provider-"},
	}
	for name, v := range victims {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, func(c *terraform.Config) { c.Warm = v.warm })
			if v.exe == "" { // terraform or tofu
				v.exe = filepath.Base(terraform.Candidates(s.cfg.Binary, s.cfg.BinDir)[0])
			}
			for range 2 {
				spec := s.spec(t)
				prepare(t, s, spec)
				var once sync.Once
				h, err := s.driver.Create(t.Context(), spec, func(e provisioner.Event) {
					if strings.Contains(e.Message, "Creating...") {
						once.Do(func() { killMarked(t, s.cfg.WorkDir, v.mark, v.exe) })
					}
				})
				if err != nil {
					wantError(t, err, provisioner.Transient, false, "")
				} // else it was done before the kill: as good
				if err := s.driver.Destroy(t.Context(), spec, h.State, nil); err != nil {
					t.Fatal(err)
				}
				for _, id := range s.containers(t, s.instance) {
					s.remove(t, id)
				}
				// As another environment: what the killed one had asked for may land at a busy engine only now.
				cycle(t, s.driver, s.spec(t))
				for _, id := range s.containers(t, s.instance) {
					if id == h.Sandbox.ID {
						t.Errorf("left: %v, which was destroyed", id)
					}
					s.remove(t, id)
				}
			}
			t.Logf("%+v", s.driver.Stats())
		})
	}
}

// killMarked kills this driver's processes of one kind; the marks say that they are ours.
func killMarked(t *testing.T, workDir, run, exe string) {
	t.Helper()
	n := 0
	for _, dir := range glob(t, "/proc", "[0-9]*") {
		environ, err := os.ReadFile(dir + "/environ")
		if err != nil || !strings.Contains(string(environ), "BOTHY_TERRAFORM_DRIVER="+workDir+"\x00") || !strings.Contains(string(environ), "BOTHY_TERRAFORM_RUN="+run) {
			continue
		}
		target, err := os.Readlink(dir + "/exe")
		if err != nil || !strings.HasPrefix(filepath.Base(target), exe) || !strings.Contains(exe, "provider") && strings.Contains(target, "provider") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			t.Error(err)
			continue
		}
		kill(t, pid)
		n++
	}
	if n == 0 {
		t.Error("nothing to kill was found")
	}
}

func TestRealCancelInTheMiddle(t *testing.T) {
	for _, warm := range []bool{false, true} {
		t.Run(fmt.Sprintf("warm=%v", warm), func(t *testing.T) {
			s := newSite(t, func(c *terraform.Config) { c.Warm = warm })
			spec := s.spec(t)
			prepare(t, s, spec)
			ctx, cancel := context.WithCancel(t.Context())
			h, err := s.driver.Create(ctx, spec, func(e provisioner.Event) {
				if strings.Contains(e.Message, "Creating...") {
					cancel()
				}
			})
			wantError(t, err, provisioner.Cancelled, false, "")
			if err := s.driver.Destroy(t.Context(), spec, h.State, nil); err != nil {
				t.Fatal(err)
			}
			for _, id := range s.containers(t, s.instance) {
				s.remove(t, id) // made, but cancelled before the provider could tell
			}
			cycle(t, s.driver, spec)
		})
	}
}

// A process that was cancelled serves no one else, and those at work beside it are not disturbed.
func TestRealManyAtOnce(t *testing.T) {
	s := newSite(t, warm)
	first := s.spec(t)
	prepare(t, s, first)
	cancelled, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for i := range 6 {
		spec := first
		if i > 0 {
			spec = s.spec(t)
		}
		wg.Go(func() {
			if i == 0 {
				_, err := s.driver.Create(cancelled, spec, func(e provisioner.Event) {
					if strings.Contains(e.Message, "Creating...") {
						cancel()
					}
				})
				wantError(t, err, provisioner.Cancelled, false, "")
				return
			}
			h, err := s.driver.Create(t.Context(), spec, nil)
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.driver.Destroy(t.Context(), spec, h.State, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	t.Logf("%+v", s.driver.Stats())
	if stats := s.driver.Stats(); stats.Fallbacks > 0 || stats.Plain > 0 || stats.Recycled != 1 {
		t.Errorf("%+v", stats)
	}
}
