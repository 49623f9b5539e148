package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/bothy-env/bothy/internal/daemon"
	"github.com/bothy-env/bothy/internal/engine/sweep"
	"github.com/bothy-env/bothy/provisioner"
)

// TestLeftHosts: what the folder keeps of hosts that are not declared any more is found, and goes whole; what is of declared ones stays.
func TestLeftHosts(t *testing.T) {
	d := &stateDir{path: t.TempDir()}
	for _, folder := range []string{
		"hosts/lost/terraform/work/e1", "hosts/lost/etc/live", "hosts/lost/sockets", "hosts/kept/terraform/work/e2", "terraform/work/e3", "etc",
	} {
		if err := os.MkdirAll(d.join(filepath.FromSlash(folder)), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	find := func(declared ...daemon.Host) map[string]sweep.LeftHost {
		t.Helper()
		all, err := leftHosts(d, declared)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]sweep.LeftHost{}
		for _, l := range all {
			found[l.Name] = l
		}
		return found
	}
	if found := find(daemon.Host{Target: provisioner.Target{Name: localHost}}, daemon.Host{Target: provisioner.Target{Name: "kept"}}, daemon.Host{Target: provisioner.Target{Name: "lost"}}); len(found) != 0 {
		t.Errorf("of declared hosts %+v are left", found)
	}
	found := find(daemon.Host{Target: provisioner.Target{Name: "kept"}})
	if len(found) != 2 {
		t.Fatalf("left are %+v, want lost and %s", found, localHost)
	}
	for name, environment := range map[string]string{"lost": "e1", localHost: "e3"} {
		kept, err := found[name].Work.Kept(t.Context())
		if err != nil || len(kept) != 1 || kept[0] != environment {
			t.Errorf("of %s there are %v, %v; want %s", name, kept, err, environment)
		}
		if err := found[name].Work.Discard(t.Context(), environment); err != nil {
			t.Fatal(err)
		}
		if err := found[name].Remove(); err != nil {
			t.Fatal(err)
		}
	}
	for _, gone := range []string{"hosts/lost", "terraform", "etc"} {
		if _, err := os.Lstat(d.join(filepath.FromSlash(gone))); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", gone, err)
		}
	}
	if _, err := os.Lstat(d.join("hosts", "kept", "terraform", "work", "e2")); err != nil {
		t.Errorf("what is of a declared host went: %v", err)
	}
	if found := find(daemon.Host{Target: provisioner.Target{Name: "kept"}}); len(found) != 0 {
		t.Errorf("found again: %+v", found)
	}
}

// TestHalfWrittenFilesGo: a process that is killed while it writes leaves a file that may hold the key.
func TestHalfWrittenFilesGo(t *testing.T) {
	path := t.TempDir()
	for _, name := range []string{".key-123", ".marks-9", ".restore-77"} {
		if err := os.WriteFile(filepath.Join(path, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mine := filepath.Join(path, ".keep-1")
	if err := os.WriteFile(mine, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := openStateDir(path)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close() //nolint:errcheck // its end is not what is tried
	left, err := filepath.Glob(filepath.Join(path, ".*-*"))
	if err != nil || len(left) != 1 || left[0] != mine {
		t.Errorf("left are %v, %v; want what is not ours alone", left, err)
	}
}
