package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/bothy-env/bothy/e2e/rig"
	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// restoring is one daemon whose state is put back to earlier copies. The provider's world lies apart and goes on.
type restoring struct {
	t     *testing.T
	d     *daemon
	cmd   *exec.Cmd
	world *fake.World
	// holders are the environments that somebody was given and has not given back, and by what name.
	mu      sync.Mutex
	holders map[string]string
	asked   int
}

// The ways in which an earlier state is kept and put back.
const (
	byFolder   = "folder"   // the whole of it, as a snapshot of its disk
	byDatabase = "database" // of such a snapshot the database alone
	byDump     = "dump"     // bothyd backup and bothyd restore
)

var waysBack = []string{byFolder, byDatabase, byDump}

// TestRandomRestores (R1, R4): earlier copies of the folder, of the database alone, or by bothyd backup, taken at one moment of a
// daemon under work, are put back after more work, while clients ask for environments and give them back. Nothing that somebody has
// is handed to anybody else or taken away, before and after everything was adopted.
func TestRandomRestores(t *testing.T) {
	chance := seeded(t)
	r := newRestoring(t)
	for round := range pick(3, 20) {
		way := waysBack[chance.IntN(len(waysBack))]
		if round < len(waysBack) {
			way = waysBack[round]
		}
		stop := r.clients(2, round)
		r.work(chance.IntN(3))
		saved := r.copy(way)
		r.work(1 + chance.IntN(3))
		r.untilMarked(saved.mark)
		r.kill()
		r.restore(saved)
		r.launch()
		if err := until(t.Context(), "safe mode", func() (bool, string, error) {
			report, err := r.d.client.Orphans(t.Context())
			return err == nil && report.Safe, report.Reason, nil
		}); err != nil {
			t.Fatalf("round %d (by %s): %v\n%s", round, way, err, r.d.lastLog())
		}
		r.work(2)
		r.wantAll("in safe mode")
		report, err := r.d.client.AdoptOrphans(t.Context(), wire.OrphanRequest{All: true})
		if err != nil || report.Safe || len(report.Orphans)+len(report.Doubted) > 0 {
			t.Fatalf("round %d (by %s): adopt all: %v, %+v", round, way, err, report)
		}
		r.work(1)
		r.wantAll("after everything was adopted")
		stop()
	}
}

// clients ask for environments and give them back, one after the other, until stop. What they ask for while the daemon is down or was set
// back may be lost, as for anybody.
func (r *restoring) clients(n, round int) (stop func()) {
	ctx, cancel := context.WithCancel(r.t.Context())
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for turn := 0; ctx.Err() == nil; turn++ {
				r.client(ctx, fmt.Sprintf("c%d-%d-%d", i, round, turn))
			}
		})
	}
	stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
	})
	r.t.Cleanup(stop)
	return stop
}

// client asks for one environment, has it for a moment and gives it back.
func (r *restoring) client(ctx context.Context, name string) {
	env, _, err := r.d.client.Create(ctx, wire.CreateRequest{Name: name, Size: "small"}, name)
	for err == nil && env.State != "leased" && env.State != "destroyed" {
		env, err = r.d.client.Get(ctx, env.ID)
		pause(ctx)
	}
	if err != nil || env.State != "leased" {
		pause(ctx) // it was lost with the state that was set back, or the daemon is down
		return
	}
	if !r.hold(env.ID, name) {
		return
	}
	pause(ctx)
	r.mu.Lock()
	delete(r.holders, env.ID)
	r.mu.Unlock()
	_, _ = r.d.client.Release(ctx, env.ID) // a daemon that does not know it any more has it as an orphan
}

// pause keeps a client from asking without rest.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(20 * time.Millisecond):
	}
}

// hold notes that somebody has an environment; false, and the test fails, when somebody else has it.
func (r *restoring) hold(id, name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if has := r.holders[id]; has != "" {
		r.t.Errorf("%s was given what is %s's\n%s", name, has, r.d.lastLog())
		return false
	}
	r.holders[id] = name
	return true
}

// held gives what somebody has now.
func (r *restoring) held() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.holders)
}

func newRestoring(t *testing.T) *restoring {
	t.Helper()
	dir, err := os.MkdirTemp("", "bothy-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	world := filepath.Join(dir, "world")
	hosts := filepath.Join(dir, "hosts.yaml")
	if err := os.WriteFile(hosts, fmt.Appendf(nil, "hosts:\n  - name: shared\n    endpoint: fake://%s\n", world), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := newDaemon(dir, "d0", "--driver=fake", "--hosts="+hosts, "--timing-sweep=1s", "--timing-orphan-grace=1s", "--timing-work-lease=3s")
	if err != nil {
		t.Fatal(err)
	}
	r := &restoring{t: t, d: d, world: fake.New(fake.Options{Dir: world}), holders: map[string]string{}}
	t.Cleanup(func() {
		r.kill()
		d.client.Close()
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	r.launch()
	most := int64(4)
	if err := until(t.Context(), "the pool is set", func() (bool, string, error) {
		_, err := d.client.SetPool(t.Context(), "p", wire.PoolRequest{Blueprint: "build", Size: "small", Target: 2, Max: &most, Surge: 2})
		return err == nil, fmt.Sprint(err), nil
	}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *restoring) launch() {
	r.t.Helper()
	var err error
	if r.cmd, err = r.d.launch(""); err == nil {
		err = r.d.answers(r.t.Context())
	}
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.d.lastLog())
	}
}

// kill ends the daemon as a power cut would.
func (r *restoring) kill() {
	if r.cmd == nil {
		return
	}
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.t.Error(err)
	}
	_ = r.cmd.Wait() // it says that it was killed
	r.cmd = nil
}

// work asks for some environments, warm or not, and checks that none is somebody's. Every other is extended.
func (r *restoring) work(n int) {
	r.t.Helper()
	ctx := r.t.Context()
	for range n {
		r.asked++
		name := fmt.Sprintf("e%d", r.asked)
		req := wire.CreateRequest{Name: name, Size: "small", NoPool: r.asked%3 == 0, Secrets: map[string][]byte{"token": []byte(name)}}
		var env wire.Environment
		if err := until(ctx, name+" is there", func() (bool, string, error) {
			var err error
			if env.ID == "" {
				if env, _, err = r.d.client.Create(ctx, req, name); err != nil {
					return false, err.Error(), nil
				}
			}
			env, err = r.d.client.Get(ctx, env.ID)
			return err == nil && env.State == "leased" && env.Reason == "", env.State + " " + env.Reason, nil
		}); err != nil {
			r.t.Fatalf("%v\n%s", err, r.d.lastLog())
		}
		if !r.hold(env.ID, name) {
			r.t.FailNow()
		}
		if r.asked%2 == 0 {
			if _, err := r.d.client.Extend(ctx, env.ID, 10*time.Minute); err != nil {
				r.t.Fatalf("extend %s: %v", name, err)
			}
		}
	}
}

// saved is an earlier state: a copy of the folder, or a backup, and the mark at the provider then.
type saved struct{ way, path, mark string }

// bothyd runs a command of the daemon's program with its configuration.
func (r *restoring) bothyd(args ...string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), filepath.Join(binDir, "bothyd"), append(args, r.d.args...)...)
	cmd.Env = append(rig.CleanEnv(), "BOTHY_CONFIG="+os.DevNull)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("bothyd %v: %v\n%s", args, err, out)
	}
}

// copy takes the state as it is at one moment.
func (r *restoring) copy(way string) saved {
	r.t.Helper()
	if way == byDump {
		s := saved{way, filepath.Join(r.t.TempDir(), "backup.tar"), r.mark()}
		r.bothyd("backup", s.path)
		return s
	}
	to := filepath.Join(r.t.TempDir(), "state")
	if err := r.d.stopOutside(r.world); err != nil {
		r.t.Fatal(err)
	}
	out, err := exec.CommandContext(r.t.Context(), "cp", "-a", filepath.Join(r.d.dir, "state"), to).CombinedOutput()
	s := saved{way, to, r.mark()}
	if err := errors.Join(err, r.d.signal(syscall.SIGCONT)); err != nil {
		r.t.Fatalf("copy the state: %v\n%s", err, out)
	}
	return s
}

// mark is what the provider holds of how far the records are.
func (r *restoring) mark() string {
	r.t.Helper()
	all, err := r.world.All()
	if err != nil {
		r.t.Fatal(err)
	}
	var marks []string
	for _, f := range all {
		if text := f.Labels[provisioner.LabelMark]; text != "" {
			marks = append(marks, text)
		}
	}
	return strings.Join(marks, ", ")
}

// untilMarked waits until the provider knows of what came after a copy.
func (r *restoring) untilMarked(before string) {
	r.t.Helper()
	if err := until(r.t.Context(), "the mark follows", func() (bool, string, error) {
		now := r.mark()
		return now != "" && now != before, now, nil
	}); err != nil {
		r.t.Fatal(err)
	}
}

// restore puts an earlier state back.
func (r *restoring) restore(s saved) {
	r.t.Helper()
	if s.way == byDump {
		r.bothyd("restore", s.path)
		return
	}
	from, whole := s.path, s.way == byFolder
	state := filepath.Join(r.d.dir, "state")
	names, err := filepath.Glob(filepath.Join(state, "bothy.db*"))
	if whole {
		names = []string{state}
	}
	for _, name := range names {
		err = errors.Join(err, os.RemoveAll(name))
	}
	sources, globErr := filepath.Glob(filepath.Join(from, "bothy.db*"))
	args := append([]string{"-a"}, append(sources, state)...)
	if whole {
		args = []string{"-a", from, state}
	}
	out, copyErr := exec.CommandContext(r.t.Context(), "cp", args...).CombinedOutput()
	if err := errors.Join(err, globErr, copyErr); err != nil {
		r.t.Fatalf("restore: %v\n%s", err, out)
	}
}

// wantAll checks, after sweeps that would have removed them, that what everybody has exists.
func (r *restoring) wantAll(when string) {
	r.t.Helper()
	r.sweeps()
	before := r.held()
	all, err := r.world.All()
	if err != nil {
		r.t.Fatal(err)
	}
	there := map[string]bool{}
	for _, f := range all {
		if f.Kind == "container" {
			there[f.Labels[provisioner.LabelEnvironment]] = true
		}
	}
	after := r.held()
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if after[id] != "" && !there[id] {
			r.t.Fatalf("%s what %s has is gone: %s\n%s", when, before[id], id, r.d.lastLog())
		}
	}
}

// sweeps waits until a few have run, whose last step fails meanwhile.
func (r *restoring) sweeps() {
	r.t.Helper()
	in, err := r.world.Inject(fake.Fault{Op: fake.OpReconcile, Times: fake.Always})
	if err != nil {
		r.t.Fatal(err)
	}
	err = until(r.t.Context(), "sweeps have run", func() (bool, string, error) {
		n, err := in.Taken()
		return n >= 4, fmt.Sprint(n, " sweeps"), err
	})
	if err := errors.Join(err, in.Lift()); err != nil {
		r.t.Fatal(err)
	}
}
