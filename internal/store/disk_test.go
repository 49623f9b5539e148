package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/bothy-env/bothy/internal/fleet"
	"github.com/bothy-env/bothy/internal/store"
)

// mount mounts a tmpfs of a size and unmounts it when the test ends.
func mount(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("bothy-storetest", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a tmpfs here (needs root): %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill admits and changes environments, numbered from first, until the disk is
// full. It gives what was acknowledged, and the error.
func fill(t *testing.T, s *store.Store, first int) (acknowledged []fleet.Environment, full error) {
	t.Helper()
	for n := first; n < first+100_000; n++ {
		admitted, err := s.Admit(t.Context(), store.Admission{Env: fleet.Environment{
			ID: fmt.Sprint("id", n), Name: fmt.Sprint("name", n), State: fleet.Pending, Reason: strings.Repeat("why ", 500),
		}})
		if err != nil {
			return acknowledged, err
		}
		acknowledged = append(acknowledged, admitted.Env)
		env, err := s.Change(t.Context(), admitted.Env.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
			e.State = fleet.Provisioning
			return store.Writes{Events: []fleet.Event{{Kind: "begun", Message: strings.Repeat("more ", 300)}}}, nil
		})
		if err != nil {
			return acknowledged, err
		}
		acknowledged[len(acknowledged)-1] = env
	}
	t.Fatal("the disk was never full")
	return nil, nil
}

// wantExactly checks that what was acknowledged is there and nothing else:
// each environment as it was, with one event for each revision.
func wantExactly(t *testing.T, s *store.Store, want []fleet.Environment) {
	t.Helper()
	live, err := s.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(live) != len(want) {
		t.Fatalf("%d environments are there, %d were acknowledged", len(live), len(want))
	}
	for _, env := range want {
		got, err := s.Get(t.Context(), env.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(env, got); diff != "" {
			t.Fatalf("%s is not as it was acknowledged (-want +got):\n%s", env.ID, diff)
		}
		events, err := s.Events(t.Context(), env.ID, 0, 0)
		if err != nil || int64(len(events)) != env.Revision {
			t.Fatalf("%s at revision %d has %d events, error %v", env.ID, env.Revision, len(events), err)
		}
	}
}

func TestFullDisk(t *testing.T) {
	dir := mount(t, "2m")
	// What will be freed later.
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), dsn(dir))
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	defer func() {
		if !closed {
			_ = s.Close()
		}
	}()
	acknowledged, err := fill(t, s, 0)
	wantFault(t, err, fleet.CodeUnavailable, "disk")
	for i := range 3 { // a smaller write may still fit; then it is an error again
		more, again := fill(t, s, 100_000*(i+1))
		wantFault(t, again, fleet.CodeUnavailable, "disk")
		acknowledged = append(acknowledged, more...)
	}
	wantExactly(t, s, acknowledged)

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	last := acknowledged[len(acknowledged)-1]
	if _, err := s.Change(t.Context(), last.ID, store.Expect{}, func(e *fleet.Environment) (store.Writes, error) {
		e.State = fleet.Destroying
		return store.Writes{Events: []fleet.Event{{Kind: "released"}}}, nil
	}); err != nil {
		t.Fatalf("after space was freed: %v", err)
	}
	closed = true
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, dsn(dir))
	acknowledged[len(acknowledged)-1], err = s.Get(t.Context(), last.ID)
	if err != nil || acknowledged[len(acknowledged)-1].State != fleet.Destroying {
		t.Fatalf("opened again: %+v, %v", acknowledged[len(acknowledged)-1].State, err)
	}
	wantExactly(t, s, acknowledged)
}

// TestFullDatabase is TestFullDisk for those who may not mount: SQLite reports
// its own limit of pages as it reports a full disk.
func TestFullDatabase(t *testing.T) {
	s := openAt(t, dsn(t.TempDir()))
	if _, err := s.WriteDB().ExecContext(t.Context(), "PRAGMA max_page_count = 100"); err != nil {
		t.Fatal(err)
	}
	acknowledged, err := fill(t, s, 0)
	wantFault(t, err, fleet.CodeUnavailable, "the disk is full")
	wantExactly(t, s, acknowledged)
	if _, err := s.WriteDB().ExecContext(t.Context(), "PRAGMA max_page_count = 100000"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Instance(t.Context(), "x"); err != nil {
		t.Fatalf("after space was freed: %v", err)
	}
}

func TestOpenOnFullDisk(t *testing.T) {
	dir := mount(t, "64k")
	if err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 60<<10), 0o600); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	wantFault(t, openFails(t, dsn(dir)), fleet.CodeUnavailable, "disk")
}

func TestOpenReadOnlyMount(t *testing.T) {
	dir := mount(t, "4m")
	s, err := store.Open(t.Context(), dsn(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	wantFault(t, openFails(t, dsn(dir)), fleet.CodeUnavailable, "must exist and be writable")
}
