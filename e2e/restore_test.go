package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bothy-env/bothy/internal/api/wire"
	"github.com/bothy-env/bothy/internal/client"
	"github.com/bothy-env/bothy/internal/store"
	"github.com/bothy-env/bothy/internal/store/storetest/pgtest"
	"github.com/bothy-env/bothy/provisioner"
)

// copyState copies the state folder of a daemon that is not running, as an operator's `cp -a` does. What the fake provider
// keeps in it is the engine's and stays.
func (d *daemon) copyState(from, to string) {
	d.t.Helper()
	entries, err := os.ReadDir(from)
	if err != nil {
		d.t.Fatal(err)
	}
	args := []string{"-a"}
	for _, e := range entries {
		if e.Name() != "fake" {
			args = append(args, filepath.Join(from, e.Name()))
		}
	}
	if out, err := exec.Command("cp", append(args, to)...).CombinedOutput(); err != nil {
		d.t.Fatalf("copy %s: %v\n%s", from, err, out)
	}
}

// restoreState puts a copy in the place of the state folder.
func (d *daemon) restoreState(from string) {
	d.t.Helper()
	entries, err := os.ReadDir(d.state())
	if err != nil {
		d.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "fake" {
			continue
		}
		if err := os.RemoveAll(filepath.Join(d.state(), e.Name())); err != nil {
			d.t.Fatal(err)
		}
	}
	d.copyState(from, d.state())
}

func (d *daemon) orphans() wire.OrphanReport {
	d.t.Helper()
	report, err := d.client.Orphans(d.t.Context())
	if err != nil {
		d.t.Fatalf("orphans: %v\n%s", err, d.log)
	}
	return report
}

// untilWarm waits until one environment is ready in a pool.
func (d *daemon) untilWarm() wire.Environment {
	d.t.Helper()
	var warm wire.Environment
	d.eventually("one is warm", func() bool {
		all, err := d.client.List(d.t.Context(), client.ListOptions{AllTenants: true})
		i := slices.IndexFunc(all, func(e wire.Environment) bool { return e.State == "warm" })
		if err == nil && i >= 0 {
			warm = all[i]
		}
		return err == nil && i >= 0
	})
	return warm
}

// restoredFolder (R1, R4): the whole state folder is put back to a copy from before a claim, an extension and a cold request. All
// of them are kept, and none is handed to anybody else.
func restoredFolder(t *testing.T, d *daemon) {
	d.bothy("pool", "set", "p", "--blueprint", "build", "--size", "small", "--target", "1", "--max", "1").want(t, 0)
	warm := d.untilWarm()
	d.bothy("up", "--source", "none", "--fresh", "--name", "old", "--ttl", "60s").want(t, 0)
	if code := d.terminate(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	backup := t.TempDir()
	d.copyState(d.state(), backup)

	d.launch()
	d.bothy("extend", "old", "--by", "50m").want(t, 0)
	d.bothyIn(d.dir, strings.NewReader("ALICE-SECRET"), "up", "--source", "none", "--name", "alice", "--secret", "tok=-").want(t, 0)
	if got := d.untilState("alice", "leased"); got.ID != warm.ID {
		t.Fatalf("alice was given %s, want %s", got.ID, warm.ID)
	}
	d.bothy("up", "--source", "none", "--fresh", "--name", "new").want(t, 0)
	kept := map[string]string{}
	for _, name := range []string{"old", "alice", "new"} {
		env := d.untilState(name, "leased")
		kept[env.ID] = name
		d.bothy("exec", name, "--", "touch", "/workspace/"+name).want(t, 0)
	}
	d.kill()
	d.restoreState(backup)

	d.launch()
	d.eventually("safe mode", func() bool { return d.orphans().Safe })
	d.eventually("doctor tells of safe mode", func() bool { return strings.Contains(d.check("safe-mode").Message, "lost or restored") })
	d.bothy("up", "--source", "none", "--name", "bob").want(t, 0)
	if bob := d.untilState("bob", "leased"); kept[bob.ID] != "" {
		t.Fatalf("bob was given what is %s's", kept[bob.ID])
	}
	listed := d.bothy("orphans").want(t, 0).out
	for id, name := range kept {
		if !strings.Contains(listed, id) {
			t.Errorf("%s (%s) is not listed: %s", id, name, listed)
		}
	}
	d.bothy("orphans", "adopt", "--all").want(t, 0, "No orphans.")
	if d.orphans().Safe {
		t.Error("safe mode goes on")
	}
	for id, name := range kept {
		env := d.untilState(id, "leased")
		if env.Lease.End == nil || !env.Lease.End.After(time.Now()) {
			t.Errorf("the lease of %s is %+v", name, env.Lease)
		}
		d.bothy("exec", id, "--", "test", "-e", "/workspace/"+name).want(t, 0)
	}
	d.bothy("exec", warm.ID, "--", "cat", "/run/bothy/tok").want(t, 0, "ALICE-SECRET")
}

func TestFakeRestoredFolder(t *testing.T) {
	t.Parallel()
	restoredFolder(t, startFake(t).daemon)
}

// TestRestoredFolder does the same with Terraform and Docker, where the mark is a volume; it goes with the last environment.
func TestRestoredFolder(t *testing.T) {
	needsEngine(t)
	t.Parallel()
	d := start(t)
	restoredFolder(t, d)
	d.bothy("pool", "rm", "p").want(t, 0)
	d.bothy("down", "--all-tenants", "--yes", "--as-platform", "end of the test").want(t, 0)
	d.eventually("nothing is left", func() bool { return len(sandboxes(t, d.instance)) == 0 })
	d.terminate()
	if left := objects(t, "volume", d.instance); len(left) > 0 {
		t.Errorf("volumes are left: %+v", left)
	}
}

// TestFakeWrongDatabase (R17): a start with the address of another installation's database is refused and leaves no trace: the
// right installation works on as if it had not been.
func TestFakeWrongDatabase(t *testing.T) {
	t.Parallel()
	other, d := startFake(t), startFake(t)
	other.terminate()
	d.bothy("up", "--source", "none", "--name", "mine").want(t, 0)
	d.terminate()
	instance, err := os.ReadFile(filepath.Join(d.state(), "instance"))
	if err != nil {
		t.Fatal(err)
	}
	wrong := "sqlite://" + filepath.Join(other.state(), "bothy.db")
	out, err := d.command("--database", wrong).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another key") {
		t.Fatalf("it was not refused: %v\n%s", err, out)
	}
	if now, err := os.ReadFile(filepath.Join(d.state(), "instance")); err != nil || string(now) != string(instance) {
		t.Errorf("the installation is %q now, %v; it was %q", now, err, instance)
	}
	// With its key it is refused as well: the folder is of one installation, the database of another.
	key := filepath.Join(d.state(), "key")
	mine, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.ReadFile(filepath.Join(other.state(), "key"))
	if err == nil {
		err = os.WriteFile(key, theirs, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err = d.command("--database", wrong).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "belongs to installation") {
		t.Fatalf("it was not refused: %v\n%s", err, out)
	}
	if err := os.WriteFile(key, mine, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, each := range []fakeDaemon{other, d} {
		each.launch()
		if report := each.orphans(); report.Safe {
			t.Errorf("safe mode: %s", report.Reason)
		}
	}
	d.bothy("down", "mine").want(t, 0)
}

// TestFakeKeyFile (R7): a key that was lost is told as lost and not made anew; one that an editor touched is taken, and closed to
// others.
func TestFakeKeyFile(t *testing.T) {
	t.Parallel()
	d := startFake(t)
	d.bothy("up", "--source", "none", "--name", "begun").want(t, 0)
	d.terminate()
	key := filepath.Join(d.state(), "key")
	kept, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, without := range []string{"key", "instance"} {
		if err := os.Remove(filepath.Join(d.state(), without)); err != nil {
			t.Fatal(err)
		}
		out, err := d.command().CombinedOutput()
		if err == nil || !strings.Contains(string(out), "key is missing: "+key) {
			t.Fatalf("it was not refused: %v\n%s", err, out)
		}
		if _, err := os.Lstat(key); err == nil {
			t.Fatal("another key lies in its place")
		}
	}
	if err := os.WriteFile(key, append(kept, '\n'), 0o644); err != nil { //nolint:gosec // that is what is to be mended
		t.Fatal(err)
	}
	d.launch()
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if d.orphans().Safe {
		t.Error("safe mode is on")
	}
	d.bothy("up", "--source", "none", "--name", "works").want(t, 0)
}

// isMark reports whether something is a mark that a daemon keeps at its engine.
func isMark(f provisioner.Found) bool { return f.Labels[provisioner.LabelMark] != "" }

// bothyd runs a command of the daemon's program with its configuration.
func (d *daemon) bothyd(args ...string) (string, error) {
	d.t.Helper()
	cmd := d.command()
	cmd.Args = append(append(cmd.Args[:1:1], args...), cmd.Args[1:]...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestFakeBackupAndRestore(t *testing.T) {
	t.Parallel()
	backupAndRestore(t, startFake(t))
}

// TestFakeBackupAndRestorePostgres does the same by pg_dump and pg_restore.
func TestFakeBackupAndRestorePostgres(t *testing.T) {
	t.Parallel()
	server := pgtest.Shared(t)
	dsn := server.Database(t)
	d := startFake(t, "--database", dsn)
	d.env = []string{"PATH=" + server.Programs() + ":" + os.Getenv("PATH")}
	file := backupAndRestore(t, d)

	d.terminate()
	// Another daemon of the same database is running.
	other, err := store.Open(t.Context(), dsn)
	if err == nil {
		err = other.Ping(t.Context()) // it has a connection from here on
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.bothyd("restore", file)
	if closed := other.Close(); closed != nil {
		t.Fatal(closed)
	}
	if err == nil || !strings.Contains(out, "running bothyd use it") {
		t.Errorf("a restore under another daemon: %v\n%s", err, out)
	}
	// Somebody else's database is at the address.
	foreign := server.Database(t)
	other, err = store.Open(t.Context(), foreign)
	if err == nil {
		_, err = other.Instance(t.Context(), "theirs")
		err = errors.Join(err, other.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	own := d.args
	d.args = append(slices.Clone(own), "--database", foreign)
	out, err = d.bothyd("restore", file)
	d.args = own
	if err == nil || !strings.Contains(out, "the existing database of theirs") {
		t.Errorf("a restore over another installation's database: %v\n%s", err, out)
	}
	if _, err := os.Lstat(filepath.Join(d.state(), "restored")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused restore has changed the folder: %v", err)
	}
	d.launch()
	if report := d.orphans(); report.Safe {
		t.Errorf("safe mode after refused restores: %s", report.Reason)
	}
}

// backupAndRestore: README's one way. A backup is made while clients work; what was given since is neither handed to
// anybody else nor taken away once it is restored. It gives the backup.
func backupAndRestore(t *testing.T, d fakeDaemon) (file string) {
	d.bothy("pool", "set", "p", "--blueprint", "build", "--size", "small", "--target", "2", "--max", "2").want(t, 0)
	warm := d.untilWarm()
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for i := range 2 {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				env, _, err := d.client.Create(ctx, wire.CreateRequest{Name: fmt.Sprintf("busy-%d-%d", i, n), NoPool: true}, "")
				if err == nil {
					_, err = d.client.Release(ctx, env.ID)
				}
				if err != nil && ctx.Err() == nil {
					t.Errorf("while it is backed up: %v", err)
				}
			}
		})
	}
	file = filepath.Join(t.TempDir(), "backup.tar")
	for _, f := range []string{filepath.Join(t.TempDir(), "first.tar"), file} {
		if out, err := d.bothyd("backup", f); err != nil {
			t.Fatalf("backup: %v\n%s", err, out)
		}
	}
	stop()
	clients.Wait()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup is %v, %v", info.Mode(), err)
	}
	if out, err := d.bothyd("backup", file); err == nil || !strings.Contains(out, "the file exists") {
		t.Errorf("a backup over a backup: %v\n%s", err, out)
	}
	d.bothyIn(d.dir, strings.NewReader("ALICE-SECRET"), "up", "--source", "none", "--name", "alice", "--secret", "tok=-").want(t, 0)
	alice := d.untilState("alice", "leased")
	d.bothy("up", "--source", "none", "--fresh", "--name", "new").want(t, 0)
	fresh := d.untilState("new", "leased")

	if out, err := d.bothyd("restore", file); err == nil || !strings.Contains(out, "uses state directory") {
		t.Errorf("a restore under a running daemon: %v\n%s", err, out)
	}
	d.terminate()
	if out, err := d.bothyd("restore", file); err != nil || !strings.Contains(out, "bothy orphans") {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	d.launch()
	d.eventually("safe mode", func() bool { return d.orphans().Safe })
	if report := d.orphans(); !strings.Contains(report.Reason, "restored from a backup of") {
		t.Errorf("safe mode: %s", report.Reason)
	}
	d.bothy("up", "--source", "none", "--name", "bob").want(t, 0)
	if bob := d.untilState("bob", "leased"); bob.ID == alice.ID || bob.ID == warm.ID {
		t.Fatal("bob was given what was there before")
	}
	d.bothy("orphans", "adopt", "--all").want(t, 0, "No orphans.")
	for _, env := range []wire.Environment{alice, fresh} {
		d.bothy("exec", env.ID, "--", "true").want(t, 0)
	}
	d.bothy("exec", alice.ID, "--", "cat", "/run/bothy/tok").want(t, 0, "ALICE-SECRET")
	d.kill()
	d.launch()
	if report := d.orphans(); report.Safe {
		t.Errorf("safe mode again: %s", report.Reason)
	}
	return file
}
