package fake_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bothy-env/bothy/provisioner"
	"github.com/bothy-env/bothy/provisioner/fake"
)

// A world opened anew holds what the one before did, files in sandboxes and logs too.
func TestAFolderIsFoundAgain(t *testing.T) {
	dir := t.TempDir()
	s, spec := open(t, fake.Options{Dir: dir}), spec()
	handle, err := s.create(t.Context(), spec)
	must(t, err)
	run(t, s, handle.Sandbox.ID, "sh", "-c", "echo kept >/tmp/file")
	must(t, s.Say(handle.Sandbox.ID, "said", true))
	before, err := s.All()
	must(t, err)

	again := open(t, fake.Options{Dir: dir})
	after, err := again.All()
	must(t, err)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if got := run(t, again, handle.Sandbox.ID, "cat", "/tmp/file"); got != "kept\n" {
		t.Errorf("the file holds %q", got)
	}
	var said []string
	must(t, again.runtime.Logs(t.Context(), handle.Sandbox.ID, provisioner.LogsRequest{}, func(l provisioner.LogLine) error {
		said = append(said, fmt.Sprint(l.Text, l.Stderr))
		return nil
	}))
	if diff := cmp.Diff([]string{"saidtrue"}, said); diff != "" {
		t.Error(diff)
	}
	_, err = again.create(t.Context(), spec)
	wantClass(t, err, provisioner.Conflict)
	must(t, again.driver.Destroy(t.Context(), spec, nil, nil)) // by the working file
	if got := s.kinds(t, spec); got != "" {
		t.Errorf("the first world still sees %q", got)
	}
}

func run(t *testing.T, s stage, id string, command ...string) string {
	t.Helper()
	var out strings.Builder
	code, err := s.runtime.Exec(t.Context(), id, provisioner.ExecRequest{Command: command}, provisioner.Streams{Stdout: &out})
	if code != 0 || err != nil {
		t.Fatalf("%q: exit code %d, %v", command, code, err)
	}
	return out.String()
}

// Two worlds on one folder, as in two processes, see each other's work, faults and switches.
func TestAFolderIsShared(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, fake.Options{Dir: dir}), open(t, fake.Options{Dir: dir})
	const each = 20
	var group sync.WaitGroup
	for _, s := range []stage{a, b} {
		for range each {
			group.Go(func() {
				if _, err := s.create(t.Context(), spec()); err != nil {
					t.Errorf("Create: %v", err)
				}
			})
		}
	}
	group.Wait()
	for _, s := range []stage{a, b} {
		all, err := provisioner.ListAll(t.Context(), s.runtime, provisioner.Selector{Instance: instance})
		if err != nil || len(all) != 2*each {
			t.Errorf("%d found, %v; want %d", len(all), err, 2*each)
		}
	}

	in := a.inject(t, fake.Hang(fake.OpInventory, fake.Before))
	done := make(chan error, 1)
	go func() {
		_, err := provisioner.ListAll(t.Context(), b.runtime, provisioner.Selector{Instance: instance})
		done <- err
	}()
	must(t, in.Reached(t.Context()))
	must(t, in.Lift())
	must(t, <-done)

	must(t, a.SetAvailable(false))
	if err := b.runtime.Ready(t.Context()); !provisioner.IsUnavailable(err) {
		t.Errorf("switched off by the other: %v", err)
	}
	must(t, b.SetAvailable(true))
	must(t, a.runtime.Ready(t.Context()))
}

func TestAFolderThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	w := fake.New(fake.Options{Dir: file})
	if err := w.Runtime().Ready(t.Context()); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a folder that is a file: %v; want an error that names it", err)
	}
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "resources"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "resources", "x.json"), []byte("{"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "lock"), []byte{0, 0, 0, 0, 0, 0, 0, 9}, 0o600))
	if _, err := fake.New(fake.Options{Dir: dir}).All(); err == nil || !strings.Contains(err.Error(), "x.json") {
		t.Errorf("a broken file: %v; want an error that names it", err)
	}
}

const crashDir = "BOTHY_TEST_FAKE_CRASH_DIR"

// TestCrashHelper is the process that TestKilled kills; it makes and removes environments for ever.
func TestCrashHelper(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("it is a helper process of TestKilled")
	}
	s := open(t, fake.Options{Dir: dir})
	fmt.Println("ready")
	for {
		a, b := spec(), spec()
		for _, one := range []*provisioner.Spec{&a, &b} {
			// Ids of their own, whichever process makes them.
			one.Owner.Environment = fmt.Sprintf("p%d-%s", os.Getpid(), one.Owner.Environment)
			one.Labels = key.Labels(one.Owner)
		}
		ha, errA := s.create(t.Context(), a)
		_, errB := s.create(t.Context(), b)
		must(t, errors.Join(errA, errB, s.driver.Destroy(t.Context(), a, ha.State, nil)))
	}
}

// A process killed at any point leaves a folder that opens, with whole resources that can be removed.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	for round := range 10 {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestCrashHelper$")
		cmd.Env = append(os.Environ(), crashDir+"="+dir)
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
			t.Fatalf("the helper said %q, %v", line, err)
		}
		s := open(t, fake.Options{Dir: dir})
		// It is killed wherever it is when there are enough; that differs from round to round.
		for enough := false; !enough; {
			all, err := s.All()
			must(t, err)
			enough = len(all) > 3*round
		}
		must(t, cmd.Process.Kill())
		// It was killed, so that it ended badly says nothing.
		_ = cmd.Wait()
		stop()

		found, err := provisioner.ListAll(t.Context(), s.runtime, provisioner.Selector{Instance: instance})
		must(t, err)
		reopened, err := fake.New(fake.Options{Dir: dir}).All()
		must(t, err)
		if diff := cmp.Diff(found, reopened); diff != "" {
			t.Fatalf("the running world and a new one differ (-running +new):\n%s", diff)
		}
		for _, f := range found {
			if !key.Verify(f.Labels) {
				t.Errorf("%s %s: its labels do not verify", f.Kind, f.Name)
			}
			must(t, s.runtime.Remove(t.Context(), f.Ref, f.Environment()))
		}
	}
	all, err := fake.New(fake.Options{Dir: dir}).All()
	if err != nil || len(all) != 0 {
		t.Errorf("%d are left, %v", len(all), err)
	}
}

func BenchmarkCreateAmongTenThousand(b *testing.B) {
	w := fake.New(fake.Options{Key: key, Instance: instance})
	driver, runtime := w.Driver(), w.Runtime()
	if err := driver.Prepare(b.Context(), blueprint); err != nil {
		b.Fatal(err)
	}
	create := func() {
		if _, err := driver.Create(b.Context(), spec(), nil); err != nil {
			b.Fatal(err)
		}
	}
	for range 10_000 {
		create()
	}
	b.Run("create", func(b *testing.B) {
		for b.Loop() {
			create()
		}
	})
	b.Run("inventory", func(b *testing.B) {
		for b.Loop() {
			if _, err := provisioner.ListAll(b.Context(), runtime, provisioner.Selector{Instance: instance}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
